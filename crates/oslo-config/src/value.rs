//! From text to typed values, by the rules of `oslo_config/types.py`.

use std::borrow::Cow;
use std::time::Duration;

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::opt::Kind;
use crate::text;

/// A type that [`Config::get`](crate::Config::get) can return.
pub trait Value: sealed::FromParsed {}

impl<T: sealed::FromParsed> Value for T {}

pub(crate) mod sealed {
    use super::Parsed;

    /// `None` for a value where the type needs one.
    pub trait FromParsed: Sized {
        fn from_parsed(parsed: Option<Parsed>) -> Option<Self>;
    }
}

/// A value after substitution and conversion.
pub enum Parsed {
    Text(Zeroizing<String>),
    Integer(i64),
    Boolean(bool),
    List(Vec<Zeroizing<String>>),
}

impl Parsed {
    /// Reads `text` as `kind`. An integer may be set to nothing, which is `None`. The error says
    /// what was expected.
    pub(crate) fn read(kind: Kind, text: &str) -> Result<Option<Self>, Cow<'static, str>> {
        match kind {
            Kind::Text | Kind::Secret => Ok(Some(Self::Text(Zeroizing::new(text.to_owned())))),
            Kind::Boolean => boolean(text).map(|value| Some(Self::Boolean(value))),
            Kind::List => Ok(Some(Self::List(list(text)))),
            Kind::Multi => Ok(Some(Self::List(vec![Zeroizing::new(text.to_owned())]))),
            Kind::Integer { .. } if text::strip(text).is_empty() => Ok(None),
            Kind::Integer { min, max } => integer(text)
                .filter(|value| (min..=max).contains(value))
                .map(|value| Some(Self::Integer(value)))
                .ok_or_else(|| expected_integer(min, max)),
        }
    }

    /// The text that takes the place of a reference to this value: what Python's `str` gives.
    pub(crate) fn as_python_str(&self) -> Zeroizing<String> {
        Zeroizing::new(match self {
            Self::Text(text) => return text.clone(),
            Self::Integer(value) => value.to_string(),
            Self::Boolean(true) => "True".to_owned(),
            Self::Boolean(false) => "False".to_owned(),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(|item| text::python_repr(item)).collect();
                format!("[{}]", items.join(", "))
            }
        })
    }
}

fn boolean(text: &str) -> Result<bool, Cow<'static, str>> {
    match text.to_lowercase().as_str() {
        "true" | "1" | "on" | "yes" => Ok(true),
        "false" | "0" | "off" | "no" => Ok(false),
        _ => Err("expected true or false (or 1, on, yes; 0, off, no)".into()),
    }
}

/// As Python's `int()`: a sign, leading zeros, and single underscores between digits.
fn integer(text: &str) -> Option<i64> {
    let text = text::strip(text);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let groups_of_digits = digits
        .split('_')
        .all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()));
    if groups_of_digits {
        text.replace('_', "").parse().ok()
    } else {
        None
    }
}

fn expected_integer(min: i64, max: i64) -> Cow<'static, str> {
    match (min, max) {
        (i64::MIN, i64::MAX) => "expected an integer".into(),
        (i64::MIN, _) => format!("expected an integer of at most {max}").into(),
        (_, i64::MAX) => format!("expected an integer of at least {min}").into(),
        _ => format!("expected an integer from {min} to {max}").into(),
    }
}

fn list(text: &str) -> Vec<Zeroizing<String>> {
    match text::strip(text).trim_end_matches(',') {
        "" => Vec::new(),
        items => items
            .split(',')
            .map(|item| Zeroizing::new(text::strip(item).to_owned()))
            .collect(),
    }
}

macro_rules! from_parsed {
    ($type:ty, $pattern:pat => $value:expr) => {
        impl sealed::FromParsed for $type {
            fn from_parsed(parsed: Option<Parsed>) -> Option<Self> {
                match parsed {
                    Some($pattern) => Some($value),
                    _ => None,
                }
            }
        }

        impl sealed::FromParsed for Option<$type> {
            fn from_parsed(parsed: Option<Parsed>) -> Option<Self> {
                Some(sealed::FromParsed::from_parsed(parsed))
            }
        }
    };
}

from_parsed!(String, Parsed::Text(text) => text.to_string());
from_parsed!(SecretString, Parsed::Text(mut text) => SecretString::from(std::mem::take(&mut *text)));
from_parsed!(i64, Parsed::Integer(value) => value);
from_parsed!(Duration, Parsed::Integer(value) => Duration::from_secs(value.unsigned_abs()));
from_parsed!(bool, Parsed::Boolean(value) => value);
from_parsed!(Vec<String>, Parsed::List(items) => items.iter().map(|item| item.to_string()).collect());
