//! Whether what is sent can be read by others: the requests carry a password and keys.

use openstack_client::ServerTrust;
use url::{Host, Url};

use super::barbican::{Answering, BARBICAN};
use super::line::Line;

const CHECK: &str = "TLS";

pub(super) fn check(barbican: Option<&Answering<'_>>) -> Line {
    let Some(barbican) = barbican else {
        return Line::not_done(CHECK, BARBICAN);
    };
    let keystone = barbican.keys.keystone_config();
    let sides = [
        (&keystone.auth_url, &keystone.trust),
        (&barbican.reached.url, &barbican.keys.config().trust),
    ];
    judge(&sides)
}

fn judge(sides: &[(&Url, &ServerTrust)]) -> Line {
    let unprotected: Vec<_> = sides
        .iter()
        .filter(|(url, _)| url.scheme() != "https" && !is_on_this_host(url))
        .map(|(url, _)| url.to_string())
        .collect();
    if !unprotected.is_empty() {
        return Line::warning(
            CHECK,
            format!(
                "Keys or passwords go unencrypted to {}.",
                unprotected.join(", ")
            ),
            "let [keystone_authtoken] auth_url, and [barbican] barbican_endpoint or \
             barbican_endpoint_type, lead to endpoints that begin with https://",
        );
    }
    let unchecked = sides.iter().find_map(|(url, trust)| match trust {
        ServerTrust::Anything { option } if url.scheme() == "https" => Some(option),
        _ => None,
    });
    match unchecked {
        Some(option) => Line::warning(
            CHECK,
            format!(
                "{option} switches the check of certificates off: who stands in between reads \
                     the keys."
            ),
            "take that option out, and let [keystone_authtoken] cafile and [barbican] \
             verify_ssl_path name the authority's certificate",
        ),
        None if sides.iter().all(|(url, _)| url.scheme() == "https") => {
            Line::success(CHECK, "Both certificates are checked and trusted.")
        }
        None => Line::success(CHECK, "What is not encrypted does not leave this host."),
    }
}

fn is_on_this_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::Level;
    use super::*;

    #[test]
    fn only_what_leaves_this_host_must_be_encrypted_and_checked() {
        let unchecked = ServerTrust::Anything {
            option: "[barbican] verify_ssl".into(),
        };
        for (url, trust, level) in [
            (
                "http://127.0.0.1:9311/",
                ServerTrust::System,
                Level::Success,
            ),
            ("http://[::1]/", ServerTrust::System, Level::Success),
            ("http://barbican:9311/", ServerTrust::System, Level::Warning),
            ("http://192.0.2.7/", ServerTrust::System, Level::Warning),
            ("https://192.0.2.7/", ServerTrust::System, Level::Success),
            ("https://192.0.2.7/", unchecked, Level::Warning),
        ] {
            let url: Url = url.parse().expect("a URL");
            assert_eq!(judge(&[(&url, &trust)]).level, level, "{url}");
        }
    }
}
