//! The options of a keystoneauth session, which several sections have (keystoneauth1/loading/
//! session.py).

use std::path::PathBuf;
use std::time::Duration;

use openstack_client::{ClientCertificate, ServerTrust, Timeouts};
use oslo_config::{Config, Opt, Registry};

use super::Faults;

/// The options of one section. There are others, of which none bears on what is sent
/// (`split_loggers`, `collect_timing`).
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionOpts<'s> {
    cafile: Opt<'s, Option<String>>,
    certfile: Opt<'s, Option<String>>,
    keyfile: Opt<'s, Option<String>>,
    insecure: Opt<'s, bool>,
    timeout: Opt<'s, Option<String>>,
}

/// What a section says of it; what is `None` is not set there.
#[derive(Debug, Default)]
pub(super) struct SessionSection {
    pub(super) trust: Option<ServerTrust>,
    pub(super) certificate: Option<ClientCertificate>,
    pub(super) timeouts: Option<Timeouts>,
}

impl<'s> SessionOpts<'s> {
    pub(super) const fn of(section: &'s str) -> Self {
        Self {
            cafile: Opt::string(section, "cafile"),
            certfile: Opt::string(section, "certfile"),
            keyfile: Opt::string(section, "keyfile"),
            insecure: Opt::boolean(section, "insecure").default(false),
            timeout: Opt::string(section, "timeout"),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry
            .add(&self.cafile)
            .add(&self.certfile)
            .add(&self.keyfile)
            .add(&self.insecure)
            .add(&self.timeout);
    }

    pub(super) fn read(&self, conf: &Config, faults: &mut Faults) -> Option<SessionSection> {
        let trust = self.read_trust(conf, faults);
        let certificate = self.read_certificate(conf, faults);
        let timeouts = self.read_timeouts(conf, faults);
        Some(SessionSection {
            trust: trust?,
            certificate: certificate?,
            timeouts: timeouts?,
        })
    }

    fn read_trust(&self, conf: &Config, faults: &mut Faults) -> Option<Option<ServerTrust>> {
        let cafile = faults.check(text(conf, &self.cafile));
        let insecure = faults.check(conf.get(&self.insecure));
        Some(match (insecure?, cafile?) {
            (true, _) => Some(ServerTrust::Anything {
                option: named(conf, &self.insecure),
            }),
            (false, Some(path)) => Some(ServerTrust::Bundle {
                path: path.into(),
                option: named(conf, &self.cafile),
            }),
            (false, None) => None,
        })
    }

    /// The key may be in the certificate's file, as `requests` has it. A key alone is nothing.
    fn read_certificate(
        &self,
        conf: &Config,
        faults: &mut Faults,
    ) -> Option<Option<ClientCertificate>> {
        let certfile = faults.check(text(conf, &self.certfile));
        let keyfile = faults.check(text(conf, &self.keyfile));
        let key = keyfile?.map(|path| (PathBuf::from(path), named(conf, &self.keyfile)));
        Some(certfile?.map(|path| ClientCertificate {
            certificate: path.into(),
            certificate_option: named(conf, &self.certfile),
            key,
        }))
    }

    /// A number of seconds, with or without a fraction, for a whole request.
    fn read_timeouts(&self, conf: &Config, faults: &mut Faults) -> Option<Option<Timeouts>> {
        let Some(value) = faults.check(text(conf, &self.timeout))? else {
            return Some(None);
        };
        let seconds = value.trim().parse().ok().filter(|seconds| *seconds > 0.0);
        let total = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let total =
            total.ok_or_else(|| conf.fault(&self.timeout, "expected a number of seconds above 0"));
        let total = faults.check(total)?;
        let connect = Timeouts::default().connect.min(total);
        Some(Some(Timeouts { connect, total }))
    }
}

/// A text where the empty one stands for none, as it does for keystoneauth.
pub(super) fn text(
    conf: &Config,
    option: &Opt<'_, Option<String>>,
) -> Result<Option<String>, oslo_config::Error> {
    Ok(conf.get(option)?.filter(|text| !text.is_empty()))
}

/// An option with the place where it is set.
pub(super) fn named<T>(conf: &Config, option: &Opt<'_, T>) -> String {
    format!(
        "{}: [{}] {}",
        conf.origin(option),
        option.group(),
        option.name()
    )
}
