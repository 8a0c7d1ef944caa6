use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use secrecy::SecretString;

/// How many former names an option may have.
const MAX_FORMER_NAMES: usize = 6;

/// An option: where it stands, what its values are, and its default.
///
/// `T` is what [`Config::get`](crate::Config::get) returns for it: an `Option` until a default is
/// given. All builders are `const`, so options are declared as constants. What is known only at run
/// time is added there: `HOST.default(&hostname)`, `BACKEND_HOST.in_group(&backend)`; register and
/// fetch the result of it. A dash in the name is an underscore in files, as in oslo.config. An option
/// may have six former names.
pub struct Opt<'a, T> {
    pub(crate) group: &'a str,
    pub(crate) name: &'a str,
    pub(crate) former: [Option<FormerName<'a>>; MAX_FORMER_NAMES],
    pub(crate) kind: Kind,
    pub(crate) default: Default<'a>,
    value: PhantomData<fn() -> T>,
}

/// A deprecated name: what is `None` is as in the option itself.
#[derive(Clone, Copy)]
pub(crate) struct FormerName<'a> {
    pub(crate) group: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
}

/// What the text of a value is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Secret,
    Integer { min: i64, max: i64 },
    Boolean,
    List,
    Multi,
}

#[derive(Clone, Copy)]
pub(crate) enum Default<'a> {
    None,
    Text(&'a str),
    Integer(i64),
    Boolean(bool),
    List(&'a [&'a str]),
}

impl<'a, T> Opt<'a, T> {
    const fn new(group: &'a str, name: &'a str, kind: Kind) -> Self {
        Self {
            group,
            name,
            former: [None; MAX_FORMER_NAMES],
            kind,
            default: Default::None,
            value: PhantomData,
        }
    }

    const fn with_default<U>(self, default: Default<'a>) -> Opt<'a, U> {
        Opt {
            group: self.group,
            name: self.name,
            former: self.former,
            kind: self.kind,
            default,
            value: PhantomData,
        }
    }

    /// Also answers to this group and name, which it had in the past (`deprecated_opts`).
    #[must_use]
    pub const fn deprecated(self, group: &'a str, name: &'a str) -> Self {
        self.formerly(FormerName {
            group: Some(group),
            name: Some(name),
        })
    }

    /// Also answers to this name in its own group (`deprecated_name`).
    #[must_use]
    pub const fn deprecated_name(self, name: &'a str) -> Self {
        self.formerly(FormerName {
            group: None,
            name: Some(name),
        })
    }

    /// Also answers to its own name in this group (`deprecated_group`).
    #[must_use]
    pub const fn deprecated_group(self, group: &'a str) -> Self {
        self.formerly(FormerName {
            group: Some(group),
            name: None,
        })
    }

    const fn formerly(mut self, former: FormerName<'a>) -> Self {
        let mut free = 0;
        while self.former[free].is_some() {
            free += 1;
        }
        self.former[free] = Some(former);
        self
    }

    /// The same option in another group, one known only at run time.
    #[must_use]
    pub const fn in_group<'b>(self, group: &'b str) -> Opt<'b, T>
    where
        'a: 'b,
    {
        Opt { group, ..self }
    }

    /// The group that the option stands in.
    pub const fn group(&self) -> &'a str {
        self.group
    }

    /// The name of the option.
    pub const fn name(&self) -> &'a str {
        self.name
    }
}

impl<'a> Opt<'a, Option<String>> {
    /// An option of text that may be shown.
    pub const fn string(group: &'a str, name: &'a str) -> Self {
        Self::new(group, name, Kind::Text)
    }

    /// Gives the option a default, in which `$` refers to other options.
    #[must_use]
    pub const fn default(self, default: &'a str) -> Opt<'a, String> {
        self.with_default(Default::Text(default))
    }
}

impl<'a> Opt<'a, Option<SecretString>> {
    /// An option of text that must never be shown.
    pub const fn secret(group: &'a str, name: &'a str) -> Self {
        Self::new(group, name, Kind::Secret)
    }

    /// Gives the option a default, in which `$` refers to other options.
    #[must_use]
    pub const fn default(self, default: &'a str) -> Opt<'a, SecretString> {
        self.with_default(Default::Text(default))
    }
}

impl<'a> Opt<'a, Option<i64>> {
    /// An option of an integer.
    pub const fn integer(group: &'a str, name: &'a str) -> Self {
        Self::new(
            group,
            name,
            Kind::Integer {
                min: i64::MIN,
                max: i64::MAX,
            },
        )
    }

    /// Refuses values below `min` and above `max`; `i64::MIN` and `i64::MAX` are no limit.
    #[must_use]
    pub const fn range(mut self, min: i64, max: i64) -> Self {
        self.kind = Kind::Integer { min, max };
        self
    }

    /// Gives the option a default.
    #[must_use]
    pub const fn default(self, default: i64) -> Opt<'a, i64> {
        self.with_default(Default::Integer(default))
    }
}

impl<'a> Opt<'a, Option<Duration>> {
    /// An option of an integer number of seconds, not negative.
    pub const fn seconds(group: &'a str, name: &'a str) -> Self {
        Self::new(
            group,
            name,
            Kind::Integer {
                min: 0,
                max: i64::MAX,
            },
        )
    }

    /// Refuses values below `min` and above `max` seconds; `u32::MAX` is no limit.
    #[must_use]
    pub const fn range(mut self, min: u32, max: u32) -> Self {
        let max = if max == u32::MAX {
            i64::MAX
        } else {
            max as i64
        };
        self.kind = Kind::Integer {
            min: min as i64,
            max,
        };
        self
    }

    /// Gives the option a default, in seconds.
    #[must_use]
    pub const fn default(self, default: u32) -> Opt<'a, Duration> {
        self.with_default(Default::Integer(default as i64))
    }
}

impl<'a> Opt<'a, Option<bool>> {
    /// An option that is on or off: `true`, `1`, `on`, `yes`, or `false`, `0`, `off`, `no`.
    pub const fn boolean(group: &'a str, name: &'a str) -> Self {
        Self::new(group, name, Kind::Boolean)
    }

    /// Gives the option a default.
    #[must_use]
    pub const fn default(self, default: bool) -> Opt<'a, bool> {
        self.with_default(Default::Boolean(default))
    }
}

impl<'a> Opt<'a, Option<Vec<String>>> {
    /// An option of several texts separated by commas; white space around each is dropped, quotes
    /// are not special, empty ones in the middle stay.
    pub const fn list(group: &'a str, name: &'a str) -> Self {
        Self::new(group, name, Kind::List)
    }

    /// An option that may be set several times, in one file and in several, each time with one
    /// more text (`MultiStrOpt`).
    pub const fn multi(group: &'a str, name: &'a str) -> Self {
        Self::new(group, name, Kind::Multi)
    }

    /// Gives the option a default, in which `$` refers to other options.
    #[must_use]
    pub const fn default(self, default: &'a [&'a str]) -> Opt<'a, Vec<String>> {
        self.with_default(Default::List(default))
    }
}

impl<T> Clone for Opt<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Opt<'_, T> {}

impl<T> fmt::Debug for Opt<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.group, self.name)
    }
}
