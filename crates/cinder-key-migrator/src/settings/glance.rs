//! Where Glance is: `[DEFAULT] glance_*` and `[glance]` (cinder/common/config.py,
//! cinder/image/glance.py). What is not set there is as in `[keystone_authtoken]`.

use openstack_client::{ClientCertificate, GlanceConfig, Interface, ServerTrust};
use oslo_config::{Config, Opt};

use super::Faults;
use super::keystone_authtoken::Session;
use super::session::{named, text};

const DEFAULT: &str = "DEFAULT";

const API_SERVERS: Opt<Option<Vec<String>>> = Opt::list(DEFAULT, "glance_api_servers");
const CATALOG_INFO: Opt<String> =
    Opt::string(DEFAULT, "glance_catalog_info").default("image:glance:publicURL");
const INSECURE: Opt<bool> = Opt::boolean(DEFAULT, "glance_api_insecure").default(false);
const CA_FILE: Opt<Option<String>> = Opt::string(DEFAULT, "glance_ca_certificates_file");
const CERT_FILE: Opt<Option<String>> = Opt::string(DEFAULT, "glance_certfile");
const KEY_FILE: Opt<Option<String>> = Opt::string(DEFAULT, "glance_keyfile");
const REGION_NAME: Opt<Option<String>> = Opt::string("glance", "region_name");

pub(super) fn read(
    conf: &mut Config,
    session: Option<&Session>,
    faults: &mut Faults,
) -> Option<GlanceConfig> {
    conf.register(&API_SERVERS)
        .register(&CATALOG_INFO)
        .register(&INSECURE)
        .register(&CA_FILE)
        .register(&CERT_FILE)
        .register(&KEY_FILE)
        .register(&REGION_NAME);
    let endpoint = read_endpoint(conf, faults);
    let catalog = faults.check(conf.get(&CATALOG_INFO));
    let catalog = catalog.and_then(|info| faults.check(catalog_info(conf, &CATALOG_INFO, &info)));
    let region_name = faults.check(text(conf, &REGION_NAME));
    let trust = read_trust(conf, faults);
    let certificate = read_certificate(conf, faults);
    let (service_type, interface) = catalog?;
    let session = session?;
    Some(GlanceConfig {
        endpoint: endpoint?,
        service_type,
        interface,
        region_name: region_name?.or_else(|| session.region_name.clone()),
        trust: trust?.unwrap_or_else(|| session.trust.clone()),
        certificate: certificate?.or_else(|| session.certificate.clone()),
        timeouts: session.timeouts,
    })
}

/// `type:name:interface`, of which the name does not matter.
pub(super) fn catalog_info(
    conf: &Config,
    option: &Opt<'_, String>,
    info: &str,
) -> Result<(String, Interface), oslo_config::OptionError> {
    let parts: Vec<&str> = info.split(':').collect();
    let parsed = match parts.as_slice() {
        [service_type, _, interface] if !service_type.is_empty() => interface
            .parse()
            .ok()
            .map(|interface| ((*service_type).to_owned(), interface)),
        _ => None,
    };
    parsed.ok_or_else(|| conf.fault(option, "expected TYPE:NAME:INTERFACE, as in a:b:publicURL"))
}

/// The first server: all of them serve the same images. A scheme may be left out.
fn read_endpoint(conf: &Config, faults: &mut Faults) -> Option<Option<::url::Url>> {
    let servers = faults.check(conf.get(&API_SERVERS))?.unwrap_or_default();
    let Some(server) = servers.into_iter().find(|server| !server.is_empty()) else {
        return Some(None);
    };
    let server = match server.contains("://") {
        true => server,
        false => format!("http://{server}"),
    };
    let url = server.parse().ok();
    let url = url.filter(|url: &::url::Url| matches!(url.scheme(), "http" | "https"));
    let url = url.ok_or_else(|| conf.fault(&API_SERVERS, "expected URLs, or HOST:PORT"));
    faults.check(url).map(Some)
}

fn read_trust(conf: &Config, faults: &mut Faults) -> Option<Option<ServerTrust>> {
    let insecure = faults.check(conf.get(&INSECURE));
    let file = faults.check(text(conf, &CA_FILE));
    Some(match (insecure?, file?) {
        (true, _) => Some(ServerTrust::Anything {
            option: named(conf, &INSECURE),
        }),
        (false, file) => file.map(|path| ServerTrust::Bundle {
            path: path.into(),
            option: named(conf, &CA_FILE),
        }),
    })
}

fn read_certificate(conf: &Config, faults: &mut Faults) -> Option<Option<ClientCertificate>> {
    let certificate = faults.check(text(conf, &CERT_FILE));
    let key = faults.check(text(conf, &KEY_FILE));
    let key = key?.map(|path| (path.into(), named(conf, &KEY_FILE)));
    Some(certificate?.map(|path| ClientCertificate {
        certificate: path.into(),
        certificate_option: named(conf, &CERT_FILE),
        key,
    }))
}
