//! Which events are written.
//!
//! Libraries print headers, bodies and statements at their lower levels, and our requests carry
//! tokens and keys. So only our own code, which prints none, can be made to speak below INFO,
//! whatever is asked for.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// The environment variable that sets levels by target, as in `openstack_client=trace,info`.
pub(crate) const VARIABLE: &str = "CINDER_KEY_MIGRATOR_LOG";

/// What the targets of our own code begin with.
const OURS: [&str; 5] = [
    "cinder",
    "key_migration",
    "openstack_client",
    "oslo_config",
    "migration_ledger",
];

/// [`VARIABLE`] is not a list of levels.
#[derive(Debug, thiserror::Error)]
#[error(
    "environment variable {VARIABLE}: expected levels, separated by commas, each error, warn, \
     info, debug or trace, with or without `target=` before it"
)]
pub(crate) struct BadLevels;

/// The levels for `[DEFAULT] debug`, changed by what the environment says.
pub(crate) fn levels(debug: bool, overrides: Option<&str>) -> Result<Targets, BadLevels> {
    let default = if debug {
        LevelFilter::DEBUG
    } else {
        LevelFilter::INFO
    };
    let Some(text) = overrides.filter(|text| !text.trim().is_empty()) else {
        return Ok(capped(&Targets::new().with_default(default)));
    };
    let asked: Targets = text.trim().parse().map_err(|_| BadLevels)?;
    let asked = match asked.default_level() {
        None => asked.with_default(default),
        Some(_) => asked,
    };
    Ok(capped(&asked))
}

fn capped(asked: &Targets) -> Targets {
    let default = asked.default_level().unwrap_or(LevelFilter::INFO);
    let capped = |level: LevelFilter| level.min(LevelFilter::INFO);
    Targets::new()
        .with_default(capped(default))
        .with_targets(OURS.map(|target| (target, default)))
        .with_targets(asked.iter().map(|(target, level)| {
            if OURS.iter().any(|ours| target.starts_with(ours)) {
                (target, level)
            } else {
                (target, capped(level))
            }
        }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn info_is_the_default_and_debug_is_for_our_own_code() {
        let quiet = levels(false, None).expect("levels");
        assert!(quiet.would_enable("cinder.keymgr.migration", &Level::INFO));
        assert!(!quiet.would_enable("cinder.keymgr.migration", &Level::DEBUG));
        let debug = levels(true, Some(" ")).expect("levels");
        assert!(debug.would_enable("cinder_db::mysql", &Level::DEBUG));
        assert!(!debug.would_enable("cinder_db::mysql", &Level::TRACE));
        assert!(!debug.would_enable("sqlx::query", &Level::DEBUG));
    }

    #[test]
    fn no_library_can_be_made_to_speak_below_info() {
        for text in [
            "trace",
            "hyper=trace,reqwest=trace,sqlx=trace,rustls=trace,h2=trace",
            "s=trace,hyper::proto=debug,trace",
            "sqlx::query=trace,openstack_client=trace",
        ] {
            let asked = levels(true, Some(text)).expect("levels");
            for library in [
                "hyper::proto::h1",
                "hyper_util::client",
                "reqwest::connect",
                "sqlx::query",
                "rustls::client",
                "h2::codec",
                "tokio_util",
            ] {
                assert!(asked.would_enable(library, &Level::INFO), "{text}");
                assert!(
                    !asked.would_enable(library, &Level::DEBUG),
                    "{text} {library}"
                );
            }
        }
    }

    #[test]
    fn the_environment_makes_our_own_code_speak_at_trace() {
        let all = levels(false, Some("trace")).expect("levels");
        let one = levels(false, Some("openstack_client=trace")).expect("levels");
        assert!(all.would_enable("cinder_db", &Level::TRACE));
        assert!(one.would_enable("openstack_client::session", &Level::TRACE));
        assert!(!one.would_enable("cinder_db", &Level::DEBUG));
        assert!(one.would_enable("cinder_db", &Level::INFO));
    }

    #[test]
    fn what_is_no_level_is_refused() {
        assert!(levels(false, Some("cinder=loud")).is_err());
    }
}
