//! `[keystone_authtoken]`: as whom the process signs in.

use openstack_client::{
    ApplicationCredentialRef, Credentials, DomainRef, ProjectRef, ServerTrust, TokenScope, UserRef,
};
use secrecy::ExposeSecret as _;

use super::super::*;
use super::{DATABASE, FIXED_KEY, SIGN_IN, faults_of, key_manager, password};

#[test]
fn keystone_is_signed_in_to_as_keystone_authtoken_says() {
    let config = key_manager(SIGN_IN).keystone;
    assert_eq!(config.section, "keystone_authtoken");
    assert_eq!(config.auth_url.as_str(), "https://keystone:5000/v3");
    assert_eq!(config.trust, ServerTrust::System);
    let password = password(&config);
    assert_eq!(password.password.expose_secret(), "s3cr3t");
    let user = UserRef::Name {
        name: "cinder".into(),
        domain: DomainRef::Name("Default".into()),
    };
    assert_eq!(password.user, user);
    let project = ProjectRef::Name {
        name: "service".into(),
        domain: DomainRef::Id("default".into()),
    };
    assert_eq!(password.scope, TokenScope::Project(project));
}

#[test]
fn auth_section_moves_how_to_sign_in_but_not_the_session() {
    let moved = SIGN_IN.replace("[keystone_authtoken]", "[creds]");
    let config = key_manager(&format!(
        "[keystone_authtoken]\nauth_section = creds\ncafile = /ca.pem\npassword = not-this\n{moved}"
    ));
    let keystone = config.keystone;
    assert_eq!(keystone.section, "creds");
    assert_eq!(password(&keystone).password.expose_secret(), "s3cr3t");
    let ServerTrust::Bundle { path, option } = keystone.trust else {
        panic!("the bundle is lost");
    };
    assert_eq!(path, PathBuf::from("/ca.pem"));
    assert!(
        option.ends_with("0.conf:7: [keystone_authtoken] cafile"),
        "{option}"
    );
}

#[test]
fn former_names_are_understood_with_dashes_too() {
    let config = key_manager(
        "[keystone_authtoken]\nauth_plugin = v3password\nauth_url = http://k/\nuser-name = cinder\n\
         password = x\ntenant_name = service\ndefault_domain_id = default\n",
    );
    let password = password(&config.keystone);
    let domain = DomainRef::Id("default".into());
    let user = UserRef::Name {
        name: "cinder".into(),
        domain: domain.clone(),
    };
    assert_eq!(password.user, user);
    let project = ProjectRef::Name {
        name: "service".into(),
        domain,
    };
    assert_eq!(password.scope, TokenScope::Project(project));
}

#[test]
fn ids_need_no_domain() {
    let config = key_manager(
        "[keystone_authtoken]\nauth_type = password\nauth_url = http://k/\nuser_id = u1\n\
         password = x\ntenant-id = p1\n",
    );
    let password = password(&config.keystone);
    assert_eq!(password.user, UserRef::Id("u1".into()));
    let project = ProjectRef::Id("p1".into());
    assert_eq!(password.scope, TokenScope::Project(project));
}

#[test]
fn a_trust_stands_for_a_project() {
    let sign_in = |scope: &str| {
        format!(
            "[keystone_authtoken]\nauth_type = password\nauth_url = http://k/\nuser_id = u1\n\
             password = x\n{scope}"
        )
    };
    let config = key_manager(&sign_in("trust_id = t1\n"));
    let scope = TokenScope::Trust("t1".into());
    assert_eq!(password(&config.keystone).scope, scope);
    let text = sign_in("trust_id = t1\nproject_id = p1\n");
    assert_eq!(
        faults_of(&format!("{DATABASE}{FIXED_KEY}{text}")),
        [
            "0.conf:11: [keystone_authtoken] project_id: set beside trust_id, which stands for a \
             project; take one of them out"
        ]
    );
}

#[test]
fn a_token_for_no_project_is_refused_with_the_reason() {
    for option in ["system_scope", "domain_id", "domain_name"] {
        let faults = faults_of(&format!(
            "{DATABASE}{FIXED_KEY}{SIGN_IN}{option} = secret\n"
        ));
        assert_eq!(
            faults,
            [format!(
                "0.conf:13: [keystone_authtoken] {option}: asks for a token without a project, and \
                 Barbican keeps secrets in projects; take it out, and set project_name and \
                 project_domain_name"
            )]
        );
    }
}

#[test]
fn an_application_credential_is_found_by_its_id_or_by_its_name() {
    let sign_in = |which: &str| {
        format!(
            "[keystone_authtoken]\nauth_type = v3applicationcredential\nauth_url = http://k/\n\
             application_credential_secret = s3cr3t\n{which}"
        )
    };
    let credential = |which: &str| match key_manager(&sign_in(which)).keystone.credentials {
        Credentials::Application(found) => {
            assert_eq!(found.secret.expose_secret(), "s3cr3t");
            found.credential
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(
        credential("application_credential_id = a1\nusername = cinder\n"),
        ApplicationCredentialRef::Id("a1".into())
    );
    assert_eq!(
        credential("application_credential_name = a\nusername = cinder\nuser_domain_id = d\n"),
        ApplicationCredentialRef::Name {
            name: "a".into(),
            user: UserRef::Name {
                name: "cinder".into(),
                domain: DomainRef::Id("d".into()),
            },
        }
    );
    let faults = faults_of(&format!("{DATABASE}{FIXED_KEY}{}", sign_in("")));
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].contains("application_credential_id is not set"),
        "{faults:?}"
    );
}

#[test]
fn another_way_to_sign_in_is_refused_by_its_option() {
    let text = SIGN_IN.replace("auth_type = password", "auth_type = v3oidcpassword");
    let faults = faults_of(&format!("{DATABASE}{FIXED_KEY}{text}"));
    assert_eq!(
        faults,
        [
            "0.conf:6: [keystone_authtoken] auth_type: expected password, v3password or \
             v3applicationcredential; this program cannot sign in in another way"
        ]
    );
}
