//! What follows the `?` of a database URL.

use zeroize::Zeroizing;

use super::Warning;
use super::url::UrlParts;

/// The parameters that nobody has asked for yet.
pub(super) struct Parameters(Vec<(String, Zeroizing<String>)>);

impl Parameters {
    pub(super) fn of(parts: &UrlParts<'_>) -> Self {
        let parameters = parts.parameters();
        Self(
            parameters
                .map(|(name, value)| (name.into_owned(), Zeroizing::new(value.into_owned())))
                .collect(),
        )
    }

    /// The value of this one; of several the last.
    pub(super) fn take(&mut self, name: &str) -> Option<Zeroizing<String>> {
        self.take_all(name).pop()
    }

    /// All values of this one.
    pub(super) fn take_all(&mut self, name: &str) -> Vec<Zeroizing<String>> {
        let (taken, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(known, _)| known == name);
        self.0 = left;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// Whether this one says yes or no, by the words that SQLAlchemy and PyMySQL take for a no.
    pub(super) fn take_truth(&mut self, name: &str) -> Option<bool> {
        let value = self.take(name)?.to_ascii_lowercase();
        let no = ["false", "no", "off", "n", "f", "0", "none"];
        Some(!no.contains(&value.as_str()))
    }

    /// These have a meaning for Cinder and none here.
    pub(super) fn drop_all(&mut self, names: &[&str]) {
        self.0.retain(|(known, _)| !names.contains(&known.as_str()));
    }

    /// What nobody has asked for.
    pub(super) fn ignored(self) -> Vec<Warning> {
        let names = self.0.into_iter().map(|(name, _)| name);
        names.map(Warning::Ignored).collect()
    }
}
