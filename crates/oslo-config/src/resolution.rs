//! From what a file says to the value of an option: references, then conversion.

use zeroize::Zeroizing;

use crate::layers::Layers;
use crate::opt::Kind;
use crate::registry::{DEFAULT, Declaration, Default, Registry};
use crate::value::Parsed;
use crate::{OptionError, Origin, substitution};

/// Fetches one option and whatever it refers to.
pub(crate) struct Resolution<'c> {
    registry: &'c Registry,
    layers: &'c Layers,
    /// The groups and names being fetched, each referred to by the one before it.
    chain: Vec<(String, String)>,
    met_a_secret: bool,
}

pub(crate) struct Failure {
    pub(crate) error: OptionError,
    /// Whether the cause is a reference to an option that its group does not have. The original
    /// then goes on in DEFAULT, even if it lies deeper than the option it looks for.
    unknown_option: bool,
}

/// The option whose text is being expanded.
struct Site<'s> {
    group: &'s str,
    name: &'s str,
    origin: Origin,
    /// What follows a `$` in a secret may be a part of it.
    secret: bool,
}

impl<'c> Resolution<'c> {
    pub(crate) fn new(registry: &'c Registry, layers: &'c Layers) -> Self {
        Self {
            registry,
            layers,
            chain: Vec::new(),
            met_a_secret: false,
        }
    }

    /// Whether what was fetched is a secret, or refers to one, however deep.
    pub(crate) fn has_met_a_secret(&self) -> bool {
        self.met_a_secret
    }

    /// The value of an option looked up as `group` and `name`; these differ from the option's own
    /// if a reference uses a former name.
    pub(crate) fn value(
        &mut self,
        group: &str,
        name: &str,
        option: &Declaration,
    ) -> Result<Option<Parsed>, Failure> {
        self.chain.push((group.to_owned(), name.to_owned()));
        self.met_a_secret |= option.is_secret();
        if option.kind == Kind::Multi {
            let value = self.several(group, name, option);
            self.chain.pop();
            return value;
        }
        let entry = self.layers.find(group, name, option);
        let origin = entry.map_or(Origin::Default, |entry| self.layers.origin(entry));
        let site = Site {
            group,
            name,
            origin,
            secret: option.is_secret(),
        };
        let value = match entry.map(|entry| entry.value.as_ref()) {
            Some(Some(text)) => self.text(&site, text, option),
            Some(None) => Err(site.failure("expected UTF-8 text")),
            None => self.default(&site, option),
        };
        self.chain.pop();
        value
    }

    /// The values of an option that may be set several times.
    fn several(
        &mut self,
        group: &str,
        name: &str,
        option: &Declaration,
    ) -> Result<Option<Parsed>, Failure> {
        let site = |origin| Site {
            group,
            name,
            origin,
            secret: false,
        };
        let entries = self.layers.find_all(group, name, option);
        if entries.is_empty() {
            return self.default(&site(Origin::Default), option);
        }
        let mut values = Vec::with_capacity(entries.len());
        for entry in entries {
            let site = site(self.layers.origin(entry));
            let Some(text) = &entry.value else {
                return Err(site.failure("expected UTF-8 text"));
            };
            values.push(self.expanded(&site, text)?);
        }
        Ok(Some(Parsed::List(values)))
    }

    fn text(
        &mut self,
        site: &Site<'_>,
        text: &str,
        option: &Declaration,
    ) -> Result<Option<Parsed>, Failure> {
        let text = self.expanded(site, text)?;
        Parsed::read(option.kind, &text).map_err(|expected| site.failure(expected))
    }

    fn default(
        &mut self,
        site: &Site<'_>,
        option: &Declaration,
    ) -> Result<Option<Parsed>, Failure> {
        match &option.default {
            Default::None => Ok(None),
            Default::Text(text) => self.text(site, text, option),
            Default::Integer(value) => Ok(Some(Parsed::Integer(*value))),
            Default::Boolean(value) => Ok(Some(Parsed::Boolean(*value))),
            Default::List(items) => {
                let items = items.iter().map(|item| self.expanded(site, item));
                Ok(Some(Parsed::List(items.collect::<Result<_, _>>()?)))
            }
        }
    }

    fn expanded(&mut self, site: &Site<'_>, text: &str) -> Result<Zeroizing<String>, Failure> {
        substitution::expand(text, |name| {
            let value = self.reference(site, name)?;
            Ok(value.map(|value| value.as_python_str()).unwrap_or_default())
        })
    }

    /// `$name` is sought in the group of the option that has it, then in DEFAULT; `$group.name`
    /// in that group, which must be a known one, then in DEFAULT by its full name.
    fn reference(&mut self, site: &Site<'_>, name: &str) -> Result<Option<Parsed>, Failure> {
        let (group, option) = match name.split_once('.') {
            Some((group, _)) if !self.registry.has_group(group) => {
                return Err(site.unknown(name, false));
            }
            Some((group, option)) => (group, option),
            None => (site.group, name),
        };
        match self.looked_up(site, group, option) {
            Some(Err(failure)) if failure.unknown_option => {
                self.looked_up(site, DEFAULT, name).unwrap_or(Err(failure))
            }
            Some(value) => value,
            None => self
                .looked_up(site, DEFAULT, name)
                .unwrap_or_else(|| Err(site.unknown(name, true))),
        }
    }

    /// `None` if there is no such option.
    fn looked_up(
        &mut self,
        site: &Site<'_>,
        group: &str,
        name: &str,
    ) -> Option<Result<Option<Parsed>, Failure>> {
        if group == DEFAULT && self.registry.has_group(name) {
            return Some(Err(site.unknown(name, false)));
        }
        let registry = self.registry;
        let option = registry.find(group, name)?;
        if self.chain.iter().any(|(g, n)| g == group && n == name) {
            return Some(Err(
                site.failure("refers to itself with `$`, directly or through others")
            ));
        }
        Some(self.value(group, name, option))
    }
}

impl Site<'_> {
    fn failure(&self, problem: impl Into<std::borrow::Cow<'static, str>>) -> Failure {
        let error = OptionError::new(self.origin.clone(), self.group, self.name, problem);
        Failure {
            error,
            unknown_option: false,
        }
    }

    fn unknown(&self, name: &str, unknown_option: bool) -> Failure {
        let mut failure = if self.secret {
            self.failure("a `$` begins a reference to an option that is not known")
        } else {
            self.failure(format!("`${name}` refers to an option that is not known"))
        };
        failure.error = failure.error.remedy("write `$$` for a dollar sign");
        Failure {
            unknown_option,
            ..failure
        }
    }
}
