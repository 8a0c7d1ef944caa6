//! `[DEFAULT]`: options of Cinder and of oslo.log (cinder/common/config.py, cinder/cmd/volume.py,
//! oslo_log/_options.py).

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use openstack_client::ServerTrust;
use oslo_config::{Config, Opt, Registry};

use super::Faults;
use crate::logging::LogConfig;

const GROUP: &str = "DEFAULT";

const HOST: Opt<Option<String>> = Opt::string(GROUP, "host");
const MY_IP: Opt<Option<String>> = Opt::string(GROUP, "my_ip");
const STATE_PATH: Opt<String> = Opt::string(GROUP, "state_path").default("/var/lib/cinder");
const CLUSTER: Opt<Option<String>> = Opt::string(GROUP, "cluster");
const ENABLED_BACKENDS: Opt<Option<Vec<String>>> = Opt::list(GROUP, "enabled_backends");
const SERVICE_DOWN_TIME: Opt<Duration> = Opt::seconds(GROUP, "service_down_time")
    .range(0, u32::MAX - 1)
    .default(60);
const DEBUG: Opt<bool> = Opt::boolean(GROUP, "debug").default(false);
const USE_JSON: Opt<bool> = Opt::boolean(GROUP, "use_json").default(false);
const USE_JOURNAL: Opt<bool> = Opt::boolean(GROUP, "use_journal").default(false);
const LOG_DIR: Opt<Option<String>> = Opt::string(GROUP, "log_dir").deprecated_name("logdir");

/// What Cinder asks the machine for where an option is not set.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) hostname: String,
    pub(super) address: String,
    /// The bundle of certificate authorities that Python's `requests` takes where no other is
    /// named, and the environment variable that names it.
    pub(super) ca_bundle: Option<(&'static str, PathBuf)>,
}

impl Machine {
    /// Asks this machine.
    pub(super) fn this() -> Self {
        Self {
            hostname: kernel_hostname(),
            address: own_address().to_string(),
            ca_bundle: ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]
                .into_iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?)))
                .find(|(_, path)| !path.is_empty())
                .map(|(name, path)| (name, path.into())),
        }
    }

    /// Whose certificates are believed where no option says it.
    pub(super) fn trust(&self) -> ServerTrust {
        match &self.ca_bundle {
            None => ServerTrust::System,
            Some((name, path)) => ServerTrust::Bundle {
                path: path.clone(),
                option: format!("environment variable {name}"),
            },
        }
    }
}

/// The section, typed.
#[derive(Debug)]
pub(super) struct DefaultSection {
    pub(super) host: String,
    pub(super) cluster: Option<String>,
    /// Without the empty names, which Cinder passes over.
    pub(super) enabled_backends: Vec<String>,
    pub(super) service_down_time: Duration,
    pub(super) log: LogConfig,
}

pub(super) fn register(registry: &mut Registry, machine: &Machine) {
    registry
        .add(&HOST.default(&machine.hostname))
        .add(&MY_IP.default(&machine.address))
        .add(&STATE_PATH)
        .add(&CLUSTER)
        .add(&ENABLED_BACKENDS)
        .add(&SERVICE_DOWN_TIME)
        .add(&DEBUG)
        .add(&USE_JSON)
        .add(&USE_JOURNAL)
        .add(&LOG_DIR);
}

pub(super) fn read(
    conf: &Config,
    machine: &Machine,
    faults: &mut Faults,
) -> Option<DefaultSection> {
    let host = faults.check(conf.get(&HOST.default(&machine.hostname)));
    let cluster = faults.check(conf.get(&CLUSTER));
    let enabled_backends = faults.check(conf.get(&ENABLED_BACKENDS));
    let service_down_time = faults.check(conf.get(&SERVICE_DOWN_TIME));
    let log = read_log(conf, faults);
    let cluster = cluster?.map(|cluster| cluster.trim().to_owned());
    let mut enabled_backends = enabled_backends?.unwrap_or_default();
    enabled_backends.retain(|backend| !backend.is_empty());
    Some(DefaultSection {
        host: host?,
        cluster: cluster.filter(|cluster| !cluster.is_empty()),
        enabled_backends,
        service_down_time: service_down_time?,
        log: log?,
    })
}

fn read_log(conf: &Config, faults: &mut Faults) -> Option<LogConfig> {
    let debug = faults.check(conf.get(&DEBUG));
    let json = faults.check(conf.get(&USE_JSON));
    let journal = faults.check(conf.get(&USE_JOURNAL));
    let directory = faults.check(conf.get(&LOG_DIR));
    Some(LogConfig {
        debug: debug?,
        json: json?,
        journal: journal?,
        directory: directory?
            .filter(|path| !path.is_empty())
            .map(PathBuf::from),
    })
}

/// What Python's `socket.gethostname()` returns.
pub(crate) fn kernel_hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// The address that packets to elsewhere leave from, as oslo.utils' `get_my_ipv4` finds it. No
/// packet is sent.
fn own_address() -> IpAddr {
    let route = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 0), 80))?;
        socket.local_addr()
    };
    route().map_or(
        Ipv4Addr::LOCALHOST.into(),
        |address: std::net::SocketAddr| address.ip(),
    )
}
