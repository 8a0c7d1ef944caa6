use std::collections::BTreeMap;

use crate::Opt;
use crate::opt::{Default as OptDefault, FormerName, Kind};

/// The group that has no name of its own in the library, and this one in files.
pub(crate) const DEFAULT: &str = "DEFAULT";

/// The options that the program knows: those it can fetch, and those that `$name` can refer to.
///
/// A value may refer to options that the program itself has no use for (`$my_ip`, `$state_path`);
/// they are registered too, with the defaults that the service gives them.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    groups: BTreeMap<String, BTreeMap<String, Declaration>>,
    /// From a former group and name to the present ones.
    former: BTreeMap<(String, String), (String, String)>,
}

/// What an [`Opt`] says, owned and without its type.
#[derive(Clone, PartialEq)]
pub(crate) struct Declaration {
    pub(crate) group: String,
    /// The name with underscores, as files have it.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) default: Default,
    former: Vec<(Option<String>, Option<String>)>,
}

#[derive(Clone, PartialEq)]
pub(crate) enum Default {
    None,
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<String>),
}

impl Registry {
    /// Adds an option, in place of one with the same group and name.
    pub fn add<T>(&mut self, opt: &Opt<'_, T>) -> &mut Self {
        let declaration = Declaration::from(opt);
        for former in declaration.former_keys() {
            self.former.insert(
                former,
                (declaration.group.clone(), declaration.name.clone()),
            );
        }
        self.groups
            .entry(declaration.group.clone())
            .or_default()
            .insert(declaration.name.clone(), declaration);
        self
    }

    /// Whether a named group, thus not DEFAULT, has options. Case counts here.
    pub(crate) fn has_group(&self, group: &str) -> bool {
        group != DEFAULT && self.groups.contains_key(group)
    }

    /// All options in the order of their groups and names.
    pub(crate) fn declarations(&self) -> impl Iterator<Item = &Declaration> {
        self.groups.values().flat_map(BTreeMap::values)
    }

    /// The option of this name, or the one that had it formerly.
    pub(crate) fn find(&self, group: &str, name: &str) -> Option<&Declaration> {
        let declared = |group: &str, name: &str| self.groups.get(group)?.get(name);
        declared(group, name).or_else(|| {
            let (group, name) = self.former.get(&(group.to_owned(), name.to_owned()))?;
            declared(group, name)
        })
    }
}

impl Declaration {
    pub(crate) fn is_secret(&self) -> bool {
        self.kind == Kind::Secret
    }

    /// Sections and keys under which a file may set this option when it is looked up in `group`,
    /// the ones that win first.
    pub(crate) fn places(&self, group: &str) -> Vec<(String, String)> {
        let place = |former_group: &Option<String>, name: &str| {
            let group = former_group.as_deref().unwrap_or(group);
            (normalized(group), name.to_owned())
        };
        let name_of = |name: &Option<String>| name.clone().unwrap_or_else(|| self.name.clone());
        let mut places = vec![place(&None, &self.name)];
        places.extend(
            self.former
                .iter()
                .map(|(group, name)| place(group, &name_of(name))),
        );
        let dashed = self
            .former
            .iter()
            .filter(|(_, name)| name_of(name).contains('-'));
        places.extend(dashed.map(|(group, name)| place(group, &name_of(name).replace('-', "_"))));
        places
    }

    fn former_keys(&self) -> impl Iterator<Item = (String, String)> {
        self.former.iter().map(|(group, name)| {
            let name = name.as_ref().unwrap_or(&self.name);
            (
                group.as_deref().unwrap_or(DEFAULT).to_owned(),
                name.replace('-', "_"),
            )
        })
    }
}

impl<T> From<&Opt<'_, T>> for Declaration {
    fn from(opt: &Opt<'_, T>) -> Self {
        let owned =
            |FormerName { group, name }| (group.map(str::to_owned), name.map(str::to_owned));
        Self {
            group: opt.group.to_owned(),
            name: opt.name.replace('-', "_"),
            kind: opt.kind,
            default: match opt.default {
                OptDefault::None => Default::None,
                OptDefault::Text(text) => Default::Text(text.to_owned()),
                OptDefault::Integer(value) => Default::Integer(value),
                OptDefault::Boolean(value) => Default::Boolean(value),
                OptDefault::List(items) => {
                    Default::List(items.iter().map(|item| (*item).to_owned()).collect())
                }
            },
            former: opt.former.iter().flatten().copied().map(owned).collect(),
        }
    }
}

impl std::fmt::Debug for Declaration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}] {} ({:?})", self.group, self.name, self.kind)
    }
}

/// The environment variable that sets an option. Former names do not count there.
pub(crate) fn variable(group: &str, name: &str) -> String {
    format!("OS_{}__{}", group.to_uppercase(), name.to_uppercase())
}

/// Section names ignore case, but for exactly `DEFAULT`: `[default]` is another section.
pub(crate) fn normalized(section: &str) -> String {
    if section == DEFAULT {
        section.to_owned()
    } else {
        section.to_lowercase()
    }
}
