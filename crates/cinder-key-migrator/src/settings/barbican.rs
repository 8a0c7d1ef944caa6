//! `[barbican]`: where Barbican is (castellan/key_manager/barbican_key_manager.py). What is not
//! set there is as in `[keystone_authtoken]`.
//!
//! `[barbican_service_user]` and `send_service_user_token` have no part in this: they prolong the
//! tokens of users for whom Cinder acts, and here Cinder's own service user acts for itself.

use openstack_client::{BarbicanConfig, Interface, ServerTrust};
use oslo_config::{Config, Opt, Registry};

use super::default::Machine;
use super::keystone_authtoken::Session;
use super::session::{SessionOpts, named, text};
use super::{Faults, url};

const GROUP: &str = "barbican";

const ENDPOINT: Opt<Option<String>> = Opt::string(GROUP, "barbican_endpoint");
const ENDPOINT_TYPE: Opt<Option<String>> = Opt::string(GROUP, "barbican_endpoint_type");
const REGION_NAME: Opt<Option<String>> = Opt::string(GROUP, "barbican_region_name");
const VERIFY_SSL: Opt<Option<bool>> = Opt::boolean(GROUP, "verify_ssl");
const VERIFY_SSL_PATH: Opt<Option<String>> = Opt::string(GROUP, "verify_ssl_path");
const SESSION: SessionOpts<'static> = SessionOpts::of(GROUP);

pub(super) fn register(registry: &mut Registry) {
    registry
        .add(&ENDPOINT)
        .add(&ENDPOINT_TYPE)
        .add(&REGION_NAME)
        .add(&VERIFY_SSL)
        .add(&VERIFY_SSL_PATH);
    SESSION.register(registry);
}

pub(super) fn read(
    conf: &Config,
    session: Option<&Session>,
    machine: &Machine,
    faults: &mut Faults,
) -> Option<BarbicanConfig> {
    let endpoint = read_endpoint(conf, faults);
    let interface = read_interface(conf, session, faults);
    let region_name = faults.check(text(conf, &REGION_NAME));
    let verify = read_verify(conf, machine, faults);
    let own = SESSION.read(conf, faults)?;
    let session = session?;
    let trust = verify?.over(own.trust.unwrap_or_else(|| session.trust.clone()));
    Some(BarbicanConfig {
        endpoint: endpoint?,
        interface: interface?,
        region_name: region_name?.or_else(|| session.region_name.clone()),
        trust,
        certificate: own.certificate.or_else(|| session.certificate.clone()),
        timeouts: own.timeouts.unwrap_or(session.timeouts),
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

/// What Castellan's own options say, which beat those of a session.
enum Verify {
    As(ServerTrust),
    /// Somehow: by the authorities of this system, if nothing else names some.
    Somehow(ServerTrust),
    NotSaid,
}

impl Verify {
    fn over(self, inherited: ServerTrust) -> ServerTrust {
        match (self, inherited) {
            (Self::As(trust), _) | (Self::Somehow(trust), ServerTrust::Anything { .. }) => trust,
            (_, inherited) => inherited,
        }
    }
}

fn read_verify(conf: &Config, machine: &Machine, faults: &mut Faults) -> Option<Verify> {
    let verify = faults.check(conf.get(&VERIFY_SSL));
    let path = faults.check(text(conf, &VERIFY_SSL_PATH));
    Some(match (verify?, path?) {
        (Some(false), _) => Verify::As(ServerTrust::Anything {
            option: named(conf, &VERIFY_SSL),
        }),
        (_, Some(path)) => Verify::As(ServerTrust::Bundle {
            path: path.into(),
            option: named(conf, &VERIFY_SSL_PATH),
        }),
        (Some(true), None) => Verify::Somehow(machine.trust()),
        (None, None) => Verify::NotSaid,
    })
}
