//! What the trees say about the verdict.

use jiff::Timestamp;
use key_migration::verdict::{Evidence, Finding};

use super::{Comparison, FileSeen, TreesSeen};

/// More are counted, not named.
const MOST_NAMED: usize = 20;

impl TreesSeen {
    /// The evidence for [`Item::Configuration`](key_migration::verdict::Item::Configuration).
    #[must_use]
    pub fn evidence(&self, looked_at: Timestamp) -> Evidence {
        let blocking: Vec<String> = self.files.iter().filter_map(in_the_way).collect();
        let (finding, message) = if !blocking.is_empty() {
            let count = blocking.len();
            let message = format!("{count} configuration file(s): {}", named(&blocking));
            (Finding::Blocking(count as u64), message)
        } else if self.trees == 0 {
            (
                Finding::Unknown,
                "no configuration tree was given".to_owned(),
            )
        } else if !self.problems.is_empty() {
            let message = format!("could not be looked at: {}", named(&self.problems));
            (Finding::Unknown, message)
        } else {
            let keys = self.files.iter().filter(|file| !file.keys.is_empty());
            let message = format!(
                "{} configuration file(s) in {} tree(s): {} set fixed_key, to the same key; none \
                 is on ConfKeyManager",
                self.configurations,
                self.trees,
                keys.count()
            );
            (Finding::Clear, message)
        };
        Evidence {
            finding,
            looked_at,
            message,
        }
    }
}

/// Why a file stands in the way.
fn in_the_way(file: &FileSeen) -> Option<String> {
    let path = file.path.display();
    let backend = file.conf_key_manager;
    let backend = backend.map(|line| format!("{path}:{line} is on ConfKeyManager"));
    let key = file.keys.iter().find_map(|key| {
        let line = key.line;
        match key.comparison {
            _ if !key.counts => None,
            Comparison::Same | Comparison::Unset => None,
            Comparison::Differs => Some(format!("{path}:{line} has another fixed_key")),
            Comparison::Unusable => Some(format!("{path}:{line} has a fixed_key that is no key")),
        }
    });
    match (backend, key) {
        (Some(backend), Some(key)) => Some(format!("{backend}, {key}")),
        (backend, key) => backend.or(key),
    }
}

fn named(lines: &[String]) -> String {
    let mut text = lines[..lines.len().min(MOST_NAMED)].join("; ");
    if lines.len() > MOST_NAMED {
        text.push_str(&format!("; and {} more", lines.len() - MOST_NAMED));
    }
    text
}
