//! Any text as `[database] connection`: it is taken or refused, and nothing of its password is ever
//! shown.

#![no_main]

use cinder_db::ConnectionConfig;
use libfuzzer_sys::fuzz_target;
use secrecy::SecretString;

/// No file of a machine has it, no parameter or error is called so.
const PASSWORD: &str = "Zq9-hunter2-Zq9";

fuzz_target!(|text: &str| {
    // What names a file would be read, and some files never end.
    if text.contains("/dev") || text.contains("/proc") || text.contains("%2") {
        return;
    }
    for url in [text.to_owned(), text.replacen('\0', PASSWORD, 1)] {
        let shown = match ConnectionConfig::parse(&SecretString::from(url)) {
            Ok((config, warnings)) => {
                let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
                format!("{config:?} {}", warnings.join(" "))
            }
            Err(error) => format!("{error} {error:?}"),
        };
        // As the name of a parameter it is shown.
        if !text.contains('?') {
            assert!(!shown.contains(PASSWORD), "{shown}");
        }
    }
});
