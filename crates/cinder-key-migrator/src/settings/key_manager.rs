//! `[key_manager]`, formerly `[keymgr]` (castellan/key_manager/__init__.py,
//! cinder/keymgr/conf_key_mgr.py).

use std::sync::Arc;

use key_migration::fixed_key::{BadFixedKey, FixedKey};
use key_migration::settings::KeyManagerBackend;
use oslo_config::{Config, Opt, OptionError, Registry};
use secrecy::{ExposeSecret as _, SecretString};

use super::Faults;

const GROUP: &str = "key_manager";
const BACKEND: Opt<String> = Opt::string(GROUP, "backend")
    .deprecated_name("api_class")
    .default("barbican");
const FIXED_KEY: Opt<Option<SecretString>> =
    Opt::secret(GROUP, "fixed_key").deprecated_group("keymgr");

/// The section, typed.
#[derive(Debug)]
pub(super) struct KeyManagerSection {
    pub(super) backend: KeyManagerBackend,
    pub(super) fixed_key: Option<Arc<FixedKey>>,
}

impl KeyManagerSection {
    /// Whether any request will ever be sent to Barbican: behind a closed gate nothing has to be
    /// known of it.
    pub(super) fn needs_barbican(&self) -> bool {
        self.backend == KeyManagerBackend::Barbican && self.fixed_key.is_some()
    }

    /// That the key may get into swap.
    pub(super) fn warning(&self) -> Option<String> {
        let is_locked = self.fixed_key.as_ref()?.is_locked();
        (!is_locked).then(|| {
            "the memory of the fixed key cannot be locked, so it may be written to swap: raise the \
             limit of locked memory (LimitMEMLOCK, ulimit -l) by one page"
                .to_owned()
        })
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add(&BACKEND).add(&FIXED_KEY);
}

pub(super) fn read(conf: &Config, faults: &mut Faults) -> Option<KeyManagerSection> {
    let backend = faults.check(conf.get(&BACKEND));
    let fixed_key = read_fixed_key(conf, faults);
    Some(KeyManagerSection {
        backend: KeyManagerBackend::from_option(&backend?),
        fixed_key: fixed_key?,
    })
}

/// Where the fixed key is set, and as which option.
pub(super) fn place_of_fixed_key(conf: &Config) -> String {
    conf.origin(&FIXED_KEY).to_string()
}

/// The backend as it is written.
pub(super) fn name_of_backend(conf: &Config) -> Option<(String, String)> {
    let name = conf.get(&BACKEND).ok()?;
    Some((name, conf.origin(&BACKEND).to_string()))
}

fn read_fixed_key(conf: &Config, faults: &mut Faults) -> Option<Option<Arc<FixedKey>>> {
    let digits = faults.check(conf.get(&FIXED_KEY))?;
    let Some(digits) = digits.filter(|digits| !digits.expose_secret().is_empty()) else {
        return Some(None);
    };
    let key = FixedKey::from_hex(digits.expose_secret()).map_err(|bad| bad_key(conf, bad));
    Some(Some(Arc::new(faults.check(key)?)))
}

fn bad_key(conf: &Config, bad: BadFixedKey) -> OptionError {
    let problem = match bad {
        BadFixedKey::OddLength => "an odd number of hexadecimal digits, expected two for each byte",
        BadFixedKey::NotHex => {
            "a character that is no hexadecimal digit, expected only 0-9 and a-f"
        }
    };
    conf.fault(&FIXED_KEY, problem)
        .remedy("copy the key from a cinder.conf or nova.conf that works")
}
