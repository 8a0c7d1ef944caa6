//! `[barbican]`: where Barbican is (castellan/key_manager/barbican_key_manager.py). What is not
//! set there is as in `[keystone_authtoken]`.

use openstack_client::{BarbicanConfig, Interface, ServerTrust};
use oslo_config::{Config, Opt, Registry};

use super::keystone_authtoken::{Session, named, text};
use super::{Faults, url};

const GROUP: &str = "barbican";

const ENDPOINT: Opt<Option<String>> = Opt::string(GROUP, "barbican_endpoint");
const ENDPOINT_TYPE: Opt<Option<String>> = Opt::string(GROUP, "barbican_endpoint_type");
const REGION_NAME: Opt<Option<String>> = Opt::string(GROUP, "barbican_region_name");
const VERIFY_SSL: Opt<Option<bool>> = Opt::boolean(GROUP, "verify_ssl");
const VERIFY_SSL_PATH: Opt<Option<String>> = Opt::string(GROUP, "verify_ssl_path");

pub(super) fn register(registry: &mut Registry) {
    registry
        .add(&ENDPOINT)
        .add(&ENDPOINT_TYPE)
        .add(&REGION_NAME)
        .add(&VERIFY_SSL)
        .add(&VERIFY_SSL_PATH);
}

pub(super) fn read(
    conf: &Config,
    session: Option<&Session>,
    faults: &mut Faults,
) -> Option<BarbicanConfig> {
    let endpoint = read_endpoint(conf, faults);
    let interface = read_interface(conf, session, faults);
    let region_name = faults.check(text(conf, &REGION_NAME));
    let trust = read_trust(conf, session, faults);
    let session = session?;
    Some(BarbicanConfig {
        endpoint: endpoint?,
        interface: interface?,
        region_name: region_name?.or_else(|| session.region_name.clone()),
        trust: trust?,
        timeouts: session.timeouts,
    })
}

fn read_endpoint(conf: &Config, faults: &mut Faults) -> Option<Option<::url::Url>> {
    match faults.check(text(conf, &ENDPOINT))? {
        None => Some(None),
        Some(value) => faults.check(url(conf, &ENDPOINT, &value)).map(Some),
    }
}

fn read_interface(
    conf: &Config,
    session: Option<&Session>,
    faults: &mut Faults,
) -> Option<Interface> {
    let Some(value) = faults.check(text(conf, &ENDPOINT_TYPE))? else {
        let inherited = session?.interface.as_deref();
        return Some(
            inherited
                .and_then(|name| name.parse().ok())
                .unwrap_or_default(),
        );
    };
    let interface = value
        .parse()
        .map_err(|_| conf.fault(&ENDPOINT_TYPE, "expected public, internal or admin"));
    faults.check(interface)
}

fn read_trust(
    conf: &Config,
    session: Option<&Session>,
    faults: &mut Faults,
) -> Option<ServerTrust> {
    let verify = faults.check(conf.get(&VERIFY_SSL));
    let path = faults.check(text(conf, &VERIFY_SSL_PATH));
    let inherited = &session?.trust;
    Some(match (verify?, path?, inherited) {
        (Some(false), _, _) => ServerTrust::Anything {
            option: named(conf, &VERIFY_SSL),
        },
        (_, Some(path), _) => ServerTrust::Bundle {
            path: path.into(),
            option: named(conf, &VERIFY_SSL_PATH),
        },
        (Some(true), None, ServerTrust::Anything { .. }) => ServerTrust::System,
        (_, None, inherited) => inherited.clone(),
    })
}
