//! A configuration in writing, and what this crate makes of it, in the words that `record.py` has
//! for what oslo.config makes of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use oslo_config::{
    Config, Environment, Error, Input, Opt, Origin, Registry, Search, Sources, Value,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

/// One configuration, and the options that are asked for.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) args: Vec<String>,
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) options: Vec<Declared>,
}

/// An option as the corpus declares it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Declared {
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) r#type: String,
    #[serde(default)]
    pub(crate) default: Json,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) min: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max: Option<i64>,
    #[serde(default)]
    pub(crate) deprecated: Vec<(Option<String>, Option<String>)>,
}

/// What this crate makes of it.
pub(crate) fn outcome(case: &Case) -> Json {
    let root = tempfile::tempdir().unwrap();
    for (name, content) in &case.files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let mut registry = Registry::default();
    for declared in &case.options {
        declared.visit(&mut Register(&mut registry));
    }
    match Config::load(&case.sources(root.path()), registry) {
        Err(Error::Syntax { line, .. }) => json!({ "syntax": line }),
        Err(Error::Read { .. }) => json!({ "unreadable": true }),
        Err(other) => panic!("{}: {other}", case.name),
        Ok(conf) => {
            let fetched = case
                .options
                .iter()
                .map(|declared| declared.visit(&mut Fetch(&conf)));
            json!({ "options": fetched.collect::<Vec<_>>() })
        }
    }
}

impl Case {
    fn sources(&self, root: &Path) -> Sources {
        let in_root = |text: &str| text.replace("ROOT", root.to_str().unwrap());
        let inputs = self
            .args
            .chunks(2)
            .map(|argument| match argument[0].as_str() {
                "--config-file" => Input::File(in_root(&argument[1]).into()),
                "--config-dir" => Input::Directory(in_root(&argument[1]).into()),
                other => panic!("{other}"),
            });
        let variables = self
            .env
            .iter()
            .map(|(name, value)| (name.into(), in_root(value).into()));
        Sources {
            inputs: inputs.collect(),
            search: Search::new("cinder", "cinder-volume", Some(root.join("home")))
                .etc(root.join("etc")),
            environment: Environment::new(variables),
        }
    }
}

impl Declared {
    fn visit(&self, visitor: &mut impl Visitor) -> Json {
        let (group, name) = (self.group.as_str(), self.name.as_str());
        let default = &self.default;
        let items: Vec<&str> = default
            .as_array()
            .into_iter()
            .flatten()
            .map(|item| item.as_str().unwrap())
            .collect();
        let limits = (self.min.unwrap_or(i64::MIN), self.max.unwrap_or(i64::MAX));
        match (self.r#type.as_str(), default.is_null()) {
            ("string", true) => visitor.visit(self.aged(Opt::string(group, name))),
            ("string", false) => visitor.visit(
                self.aged(Opt::string(group, name))
                    .default(default.as_str().unwrap()),
            ),
            ("secret", true) => visitor.visit(self.aged(Opt::secret(group, name))),
            ("secret", false) => visitor.visit(
                self.aged(Opt::secret(group, name))
                    .default(default.as_str().unwrap()),
            ),
            ("integer", true) => visitor.visit(
                self.aged(Opt::integer(group, name))
                    .range(limits.0, limits.1),
            ),
            ("integer", false) => visitor.visit(
                self.aged(Opt::integer(group, name))
                    .range(limits.0, limits.1)
                    .default(default.as_i64().unwrap()),
            ),
            ("boolean", true) => visitor.visit(self.aged(Opt::boolean(group, name))),
            ("boolean", false) => visitor.visit(
                self.aged(Opt::boolean(group, name))
                    .default(default.as_bool().unwrap()),
            ),
            ("list", true) => visitor.visit(self.aged(Opt::list(group, name))),
            ("list", false) => visitor.visit(self.aged(Opt::list(group, name)).default(&items)),
            ("multi", true) => visitor.visit(self.aged(Opt::multi(group, name))),
            ("multi", false) => visitor.visit(self.aged(Opt::multi(group, name)).default(&items)),
            (other, _) => panic!("{other}"),
        }
    }

    fn aged<'a, T>(&'a self, opt: Opt<'a, T>) -> Opt<'a, T> {
        self.deprecated
            .iter()
            .fold(opt, |opt, former| match former {
                (Some(group), Some(name)) => opt.deprecated(group, name),
                (Some(group), None) => opt.deprecated_group(group),
                (None, Some(name)) => opt.deprecated_name(name),
                (None, None) => panic!("a former name that is none"),
            })
    }
}

/// Does something with an option, whatever its type.
trait Visitor {
    fn visit<T: Value + ToJson>(&mut self, opt: Opt<'_, T>) -> Json;
}

struct Register<'r>(&'r mut Registry);

impl Visitor for Register<'_> {
    fn visit<T: Value + ToJson>(&mut self, opt: Opt<'_, T>) -> Json {
        self.0.add(&opt);
        Json::Null
    }
}

struct Fetch<'c>(&'c Config);

impl Visitor for Fetch<'_> {
    fn visit<T: Value + ToJson>(&mut self, opt: Opt<'_, T>) -> Json {
        let origin = match self.0.origin(&opt) {
            Origin::File { .. } => "user",
            Origin::Environment(_) => "environment",
            Origin::Default => "opt_default",
        };
        match self.0.get(&opt) {
            Ok(value) => json!({ "value": value.to_json(), "origin": origin }),
            Err(Error::Option(_)) => json!({ "error": true }),
            Err(other) => panic!("{opt:?}: {other}"),
        }
    }
}

trait ToJson {
    fn to_json(&self) -> Json;
}

macro_rules! to_json {
    ($($type:ty),*) => {$(
        impl ToJson for $type {
            fn to_json(&self) -> Json {
                json!(self)
            }
        }
    )*};
}

to_json!(String, i64, bool, Vec<String>);

impl ToJson for SecretString {
    fn to_json(&self) -> Json {
        json!(self.expose_secret())
    }
}

impl<T: ToJson> ToJson for Option<T> {
    fn to_json(&self) -> Json {
        self.as_ref().map_or(Json::Null, ToJson::to_json)
    }
}
