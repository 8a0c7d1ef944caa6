//! Any bytes as a configuration file: it is read or refused, every option has a value or an error,
//! and neither shows a secret.

#![no_main]

use std::cell::OnceCell;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use oslo_config::{Config, Environment, Error, Input, Opt, Registry, Search, Shown, Sources};
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

const HOST: Opt<String> = Opt::string("DEFAULT", "host").default("h$debug");
const DEBUG: Opt<bool> = Opt::boolean("DEFAULT", "debug").default(false);
const WORKERS: Opt<Option<i64>> = Opt::integer("DEFAULT", "workers").range(1, 9);
const BACKENDS: Opt<Option<Vec<String>>> = Opt::list("DEFAULT", "enabled_backends");
const DRIVERS: Opt<Option<Vec<String>>> = Opt::multi("oslo", "driver").deprecated_group("DEFAULT");
const FIXED_KEY: Opt<Option<SecretString>> =
    Opt::secret("key_manager", "fixed_key").deprecated_group("keymgr");

thread_local! {
    /// The one file that is written again and again, in memory where the system has that.
    static FILE: OnceCell<(TempDir, PathBuf)> = const { OnceCell::new() };
}

fuzz_target!(|content: &[u8]| {
    let path = FILE.with(|file| {
        let (_, path) = file.get_or_init(|| {
            let memory = PathBuf::from("/dev/shm");
            let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
            let folder = tempfile::tempdir_in(place).expect("a folder");
            let path = folder.path().join("cinder.conf");
            (folder, path)
        });
        path.clone()
    });
    std::fs::write(&path, content).expect("a file");
    let mut registry = Registry::default();
    registry
        .add(&HOST)
        .add(&DEBUG)
        .add(&WORKERS)
        .add(&BACKENDS)
        .add(&DRIVERS)
        .add(&FIXED_KEY);
    let sources = Sources {
        inputs: vec![Input::File(path)],
        search: Search::new("cinder", "cinder-volume", None).etc("/nonexistent"),
        environment: Environment::default(),
    };
    let conf = match Config::load(&sources, registry) {
        Ok(conf) => conf,
        Err(Error::Syntax { line, .. }) => {
            let lines = content.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
            assert!((1..=lines + 1).contains(&line));
            return;
        }
        Err(other) => panic!("{other}"),
    };
    let key = conf.get(&FIXED_KEY).ok().flatten();
    let key = key.as_ref().map(|key| key.expose_secret());
    for setting in conf.settings() {
        if let (Shown::Text(text), Some(key)) = (&setting.value, key)
            && setting.name == "fixed_key"
        {
            panic!("{key} is shown as {text}");
        }
        _ = setting.to_string();
    }
    for failed in [
        conf.get(&HOST).err(),
        conf.get(&DEBUG).err(),
        conf.get(&WORKERS).err(),
        conf.get(&BACKENDS).err(),
        conf.get(&DRIVERS).err(),
    ]
    .into_iter()
    .flatten()
    {
        assert!(matches!(failed, Error::Option(_)), "{failed}");
    }
});
