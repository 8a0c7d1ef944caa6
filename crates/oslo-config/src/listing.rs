//! All options as they stand, for whoever wants to see what was read: as oslo.config lists them
//! with `log_opt_values`.

use std::fmt;

use crate::resolution::Resolution;
use crate::{Config, OptionError, Origin};

/// A registered option, and what was read for it.
#[derive(Debug)]
pub struct Setting<'c> {
    /// The group that it stands in.
    pub group: &'c str,
    /// Its name, with underscores.
    pub name: &'c str,
    /// Its value, if that may be shown.
    pub value: Shown,
    /// Where the value was set.
    pub origin: Origin,
}

/// A value as it may be shown to anybody.
#[derive(Debug)]
pub enum Shown {
    /// As Python would print it.
    Text(String),
    /// It is set, and a secret.
    Hidden,
    /// It has none.
    Unset,
    /// It is of no use.
    Fault(OptionError),
}

impl Config {
    /// All registered options in the order of their groups and names.
    pub fn settings(&self) -> impl Iterator<Item = Setting<'_>> {
        self.registry.declarations().map(|option| {
            let entry = self.layers.find(&option.group, &option.name, option);
            let origin = entry.map_or(Origin::Default, |entry| self.layers.origin(entry));
            let mut resolution = Resolution::new(&self.registry, &self.layers);
            let value = resolution.value(&option.group, &option.name, option);
            Setting {
                group: &option.group,
                name: &option.name,
                value: match value {
                    Err(failure) => Shown::Fault(failure.error),
                    Ok(None) => Shown::Unset,
                    Ok(Some(_)) if resolution.has_met_a_secret() => Shown::Hidden,
                    Ok(Some(value)) => Shown::Text(value.as_python_str().to_string()),
                },
                origin,
            }
        })
    }
}

/// `[group] name = value`, and where that was set.
impl fmt::Display for Setting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (group, name, origin) = (self.group, self.name, &self.origin);
        match &self.value {
            Shown::Text(value) => write!(f, "[{group}] {name} = {value} ({origin})"),
            Shown::Hidden => write!(f, "[{group}] {name} = **** ({origin})"),
            Shown::Unset => write!(f, "[{group}] {name} is not set"),
            Shown::Fault(error) => write!(f, "{error}"),
        }
    }
}
