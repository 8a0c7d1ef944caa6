//! What an operator can do, as a command where there is one.

use crate::config::{
    ApplicationCredentialRef, ClientCertificate, Credentials, DomainRef, KeystoneConfig,
    ProjectRef, ServerTrust, TokenScope, UserRef,
};
use crate::token::{Lender, Token};

/// For a 401 from Keystone, which says no more than that.
pub(crate) fn not_let_in(config: &KeystoneConfig) -> String {
    let section = &config.section;
    let credentials = match &config.credentials {
        Credentials::Password(credentials) => credentials,
        Credentials::Application(credential) => {
            let options = match &credential.credential {
                ApplicationCredentialRef::Id(_) => "application_credential_id".to_owned(),
                ApplicationCredentialRef::Name { user, .. } => {
                    format!("application_credential_name, {}", user_options(user))
                }
            };
            return format!(
                "the application credential does not exist or has expired, its secret is wrong, or \
                 its user has lost a role that it was made with: check [{section}] {options}, \
                 application_credential_secret, or make a new one"
            );
        }
    };
    let user = user_options(&credentials.user);
    match &credentials.scope {
        TokenScope::Trust(_) => format!(
            "either the password is wrong, or the trust does not exist, has expired, or is for \
             another user: check [{section}] {user}, password, trust_id"
        ),
        TokenScope::Project(project) => format!(
            "either the password is wrong, or the user has no role at all on the project: check \
             [{section}] {user}, password, {project}, or run: {command}",
            command = role_add_in_configuration(&credentials.user, project),
            project = match project {
                ProjectRef::Id(_) => "project_id".to_owned(),
                ProjectRef::Name { domain, .. } =>
                    format!("project_name, project_{}", domain_option(domain)),
            },
        ),
    }
}

fn user_options(user: &UserRef) -> String {
    match user {
        UserRef::Id(_) => "user_id".to_owned(),
        UserRef::Name { domain, .. } => format!("username, user_{}", domain_option(domain)),
    }
}

fn domain_option(domain: &DomainRef) -> &'static str {
    match domain {
        DomainRef::Id(_) => "domain_id",
        DomainRef::Name(_) => "domain_name",
    }
}

fn role_add_in_configuration(user: &UserRef, project: &ProjectRef) -> String {
    let (user, user_domain) = match user {
        UserRef::Id(id) => (id, None),
        UserRef::Name { name, domain } => (name, Some(domain)),
    };
    let (project, project_domain) = match project {
        ProjectRef::Id(id) => (id, None),
        ProjectRef::Name { name, domain } => (name, Some(domain)),
    };
    role_add(
        user,
        user_domain.map(unless_default),
        project,
        project_domain.map(unless_default),
        "member",
    )
}

fn unless_default(domain: &DomainRef) -> &str {
    match domain {
        DomainRef::Id(id) if id == "default" => "Default",
        DomainRef::Id(domain) | DomainRef::Name(domain) => domain,
    }
}

/// For a 403 from Barbican for want of a role. Which role it wants cannot be seen from outside,
/// but the roles held tell: what is held is not what is wanted.
pub(crate) fn role_missing(token: &Token) -> String {
    let lender = match token.lent_by() {
        None => return role_to_add(token),
        Some(Lender::ApplicationCredential) => {
            "an application credential keeps the roles that it was made with: make a new one with \
             that role (`openstack application credential create --role`) and put it into \
             cinder.conf"
        }
        Some(Lender::Trust) => {
            "a trust keeps the roles that it was made with: make a new one with that role \
             (`openstack trust create --role`) and put its ID into cinder.conf as trust_id"
        }
    };
    format!("{}; then, as {lender}", role_to_add(token))
}

fn role_to_add(token: &Token) -> String {
    let add = |role| {
        role_add(
            &token.user().name,
            Some(&token.user().domain_name),
            &token.project().name,
            Some(&token.project().domain_name),
            role,
        )
    };
    match (token.has_role("creator"), token.has_role("member")) {
        (true, false) => add("member"),
        (false, true) => add("creator"),
        (false, false) => format!(
            "{} (Barbican 18.0.0 and later, as shipped), or {} (before that, or with \
             [oslo_policy] enforce_new_defaults = false in barbican.conf)",
            add("member"),
            add("creator")
        ),
        (true, true) => format!(
            "user {} has the roles member and creator in project {}: see which role the policy of \
             this Barbican asks for (secrets:post, secret_acls:put_patch, secrets:get)",
            token.user(),
            token.project()
        ),
    }
}

fn role_add(
    user: &str,
    user_domain: Option<&str>,
    project: &str,
    project_domain: Option<&str>,
    role: &str,
) -> String {
    let domain = |option, domain: Option<&str>| match domain {
        None | Some("Default") => String::new(),
        Some(domain) => format!(" {option} {}", quoted(domain)),
    };
    format!(
        "openstack role add --user {}{} --project {}{} {role}",
        quoted(user),
        domain("--user-domain", user_domain),
        quoted(project),
        domain("--project-domain", project_domain),
    )
}

/// As a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_.@%+=:,/".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// For a quota of Barbican that is used up (barbican/common/quota.py).
pub(crate) fn quota_reached(token: &Token) -> String {
    format!(
        "raise the quota of secrets of project {project} (ID {id}): PUT /v1/project-quotas/{id} at \
         Barbican as its service admin, or [quotas] quota_secrets in barbican.conf",
        project = token.project(),
        id = token.project().id,
    )
}

/// For a service that does not answer, or does not understand.
pub(crate) fn service_away(
    option: &str,
    section: &str,
    trust: &ServerTrust,
    certificate: Option<&ClientCertificate>,
    cause: &str,
) -> String {
    // As rustls words it.
    if cause.contains("received fatal alert") {
        let certificate = match certificate {
            None => format!("[{section}] certfile and keyfile, which are not set"),
            Some(files) => {
                let key = files
                    .key
                    .as_ref()
                    .map(|(_, option)| format!(" and {option}"));
                format!("{}{}", files.certificate_option, key.unwrap_or_default())
            }
        };
        return format!(
            "the server ended the TLS handshake: where it asks for a certificate, let {certificate} \
             name one that it accepts and that has not expired"
        );
    }
    let certificates = match trust {
        ServerTrust::System => "the certificate authorities of this system".into(),
        ServerTrust::Bundle { path, option } => format!("{option} ({})", path.display()),
        ServerTrust::Anything { .. } => {
            return format!("see that the service is up; check {option}");
        }
    };
    format!(
        "see that the service is up; check {option}, and where its certificate is refused, \
         {certificates}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_a_shell_needs_it_and_the_default_domain_is_left_out() {
        assert_eq!(
            role_add("cinder", Some("Default"), "service", None, "creator"),
            "openstack role add --user cinder --project service creator"
        );
        assert_eq!(
            role_add("o'cinder", Some("My Domain"), "svc", Some("svc"), "member"),
            r"openstack role add --user 'o'\''cinder' --user-domain 'My Domain' --project svc --project-domain svc member"
        );
    }
}
