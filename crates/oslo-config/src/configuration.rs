use std::path::{Path, PathBuf};

use crate::layers::Layers;
use crate::registry::{Declaration, Registry, variable};
use crate::resolution::Resolution;
use crate::sources::{self, Sources};
use crate::{Error, MissingOption, Opt, OptionError, Origin, Value};

/// A configuration that was read: values of registered options, and where they come from.
///
/// Values are substituted and checked when they are fetched, so a fault in an option that nobody
/// asks for harms nobody, as in oslo.config.
#[derive(Debug)]
pub struct Config {
    pub(crate) registry: Registry,
    pub(crate) layers: Layers,
}

impl Config {
    /// Reads all files and the environment.
    ///
    /// That no file is found is no error: all options then have their defaults, and
    /// [`require`](Self::require) says that there was no file.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] for a file or directory that is missing or may not be read, and
    /// [`Error::Syntax`] for one that breaks the grammar.
    pub fn load(sources: &Sources, registry: Registry) -> Result<Self, Error> {
        let layers = Layers::new(sources::read(sources)?, &sources.environment);
        Ok(Self { registry, layers })
    }

    /// Adds an option after the fact: one of a group whose name stands in the configuration.
    pub fn register<T>(&mut self, opt: &Opt<'_, T>) -> &mut Self {
        self.registry.add(opt);
        self
    }

    /// The value of an option; see [`Opt`] for its type.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] if the value is not of the option's kind or refers with `$` to something
    /// unknown or to itself, and [`Error::Unregistered`].
    pub fn get<T: Value>(&self, opt: &Opt<'_, T>) -> Result<T, Error> {
        let declaration = Declaration::from(opt);
        if self.registry.find(opt.group, &declaration.name) != Some(&declaration) {
            let (group, name) = (opt.group.to_owned(), opt.name.to_owned());
            return Err(Error::Unregistered { group, name });
        }
        let parsed = Resolution::new(&self.registry, &self.layers)
            .value(opt.group, &declaration.name, &declaration)
            .map_err(|failure| failure.error)?;
        T::from_parsed(parsed).ok_or_else(|| {
            self.fault(opt, "set to nothing")
                .remedy("remove the line to have the default")
                .into()
        })
    }

    /// The value of an option that must have one.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] if nothing sets it, which names the files that were read; and those of
    /// [`get`](Self::get).
    pub fn require<T>(&self, opt: &Opt<'_, Option<T>>) -> Result<T, Error>
    where
        Option<T>: Value,
    {
        self.get(opt)?.ok_or_else(|| self.missing(opt).into())
    }

    /// Where the value of an option comes from.
    pub fn origin<T>(&self, opt: &Opt<'_, T>) -> Origin {
        let declaration = Declaration::from(opt);
        self.layers
            .find(opt.group, &declaration.name, &declaration)
            .map_or(Origin::Default, |entry| self.layers.origin(entry))
    }

    /// Whether a file or the environment sets an option.
    pub fn is_set<T>(&self, opt: &Opt<'_, T>) -> bool {
        self.origin(opt) != Origin::Default
    }

    /// What a caller finds wrong with the value of an option. Such a problem, a text that says
    /// what was found or expected, is fixed when the program is built, so it cannot hold the value.
    pub fn fault<T>(&self, opt: &Opt<'_, T>, problem: &'static str) -> OptionError {
        OptionError::new(self.origin(opt), opt.group, opt.name, problem)
    }

    /// That an option has no value where the caller needs one.
    pub fn missing<T>(&self, opt: &Opt<'_, T>) -> MissingOption {
        MissingOption {
            group: opt.group.to_owned(),
            name: opt.name.to_owned(),
            variable: variable(opt.group, &opt.name.replace('-', "_")),
            files: self.files().to_owned(),
        }
    }

    /// The files that were read, the ones that win last.
    pub fn files(&self) -> &[PathBuf] {
        self.layers.files()
    }

    /// Those of [`files`](Self::files) that set a registered secret to something, whether or not
    /// another source wins: who may read them may read a secret.
    pub fn files_with_secrets(&self) -> Vec<&Path> {
        let secrets = self.registry.declarations().filter(|it| it.is_secret());
        let places = secrets.flat_map(|secret| secret.places(&secret.group));
        self.layers.files_that_set(places)
    }

    /// Whether a file has a section of this name, if only an empty one; `DEFAULT` counts by its
    /// exact name, all others in any case.
    pub fn has_section(&self, section: &str) -> bool {
        self.layers.has_section(section)
    }

    /// The sections of all files in the order of their names, in lower case except `DEFAULT`.
    pub fn sections(&self) -> Vec<&str> {
        self.layers.sections()
    }
}
