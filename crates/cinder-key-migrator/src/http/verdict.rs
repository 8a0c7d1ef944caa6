//! Whether the fixed key may leave the configuration files, as far as this process can tell.
//!
//! It counts rows, and nothing else yet. So it can say `no`, and otherwise names what nobody has
//! looked at: what is unknown is never silently fine.

use jiff::Timestamp;
use key_migration::progress::Counted;
use serde::Serialize;

/// The answer and what stands behind it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FixedKeyVerdict {
    pub(crate) verdict: Verdict,
    /// When the rows were counted that it rests on.
    pub(crate) evaluated_at: Option<Timestamp>,
    pub(crate) blockers: Vec<Blocker>,
}

/// The closed list of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// The key may leave the configuration files.
    Yes,
    /// Something still needs it.
    No,
    /// Not everything was looked at.
    Unknown,
}

/// One reason why the answer is not `yes`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Blocker {
    pub(crate) code: &'static str,
    /// How many; `None` where nobody has counted.
    pub(crate) count: Option<u64>,
    pub(crate) message: String,
}

/// What was not looked at, by code.
const NOT_LOOKED_AT: [(&str, &str); 7] = [
    (
        "old_backups_not_examined",
        "backups from before their key was recorded: their stored metadata was not read",
    ),
    (
        "images_not_examined",
        "Glance images whose cinder_encryption_key_id is all zeros were not looked for",
    ),
    (
        "volume_image_metadata_not_examined",
        "volume_glance_metadata was not searched for all zeros",
    ),
    (
        "ephemeral_disks_not_examined",
        "Nova's ephemeral_key_uuid was not searched for all zeros",
    ),
    (
        "configuration_not_examined",
        "the configuration of other nodes was not compared with this one",
    ),
    (
        "payloads_not_verified",
        "the migrated secrets of all hosts were not read again and compared",
    ),
    (
        "not_attested",
        "exported backup records, database dumps, other regions and a tested backup of Barbican \
         were not attested",
    ),
];

impl Verdict {
    /// Every answer, for metrics that show one series each.
    pub(crate) const ALL: [Self; 3] = [Self::Yes, Self::No, Self::Unknown];

    /// The name in status and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

impl FixedKeyVerdict {
    /// What the last count tells.
    pub(crate) fn of(counted: Option<Counted>) -> Self {
        let remaining = remaining(counted);
        if remaining.is_empty() {
            let uncounted = counted.is_none().then(|| Blocker {
                code: "rows_not_counted",
                count: None,
                message: "the rows at zeros were not counted yet".to_owned(),
            });
            return Self {
                verdict: Verdict::Unknown,
                evaluated_at: counted.map(|counted| counted.counted_at),
                blockers: uncounted.into_iter().chain(not_looked_at()).collect(),
            };
        }
        Self {
            verdict: Verdict::No,
            evaluated_at: counted.map(|counted| counted.counted_at),
            blockers: remaining,
        }
    }
}

fn remaining(counted: Option<Counted>) -> Vec<Blocker> {
    let Some(Counted { census, .. }) = counted else {
        return Vec::new();
    };
    [
        ("volumes_remaining", census.volumes, "volume(s)"),
        ("snapshots_remaining", census.snapshots, "snapshot(s)"),
        ("backups_remaining", census.backups, "backup(s)"),
    ]
    .into_iter()
    .filter(|(_, count, _)| *count > 0)
    .map(|(code, count, what)| Blocker {
        code,
        count: Some(count),
        message: format!("{count} {what} on all hosts still use the fixed key"),
    })
    .collect()
}

fn not_looked_at() -> impl Iterator<Item = Blocker> {
    NOT_LOOKED_AT.into_iter().map(|(code, message)| Blocker {
        code,
        count: None,
        message: message.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use key_migration::rows::Census;

    fn counted(census: Census) -> Option<Counted> {
        let counted_at = Timestamp::UNIX_EPOCH;
        Some(Counted { counted_at, census })
    }

    #[test]
    fn rows_at_zeros_make_it_no_each_kind_with_its_number() {
        let verdict = FixedKeyVerdict::of(counted(Census {
            volumes: 35,
            backups: 4,
            ..Census::default()
        }));
        assert_eq!(verdict.verdict, Verdict::No);
        assert_eq!(verdict.evaluated_at, Some(Timestamp::UNIX_EPOCH));
        let blockers: Vec<_> = verdict
            .blockers
            .iter()
            .map(|it| (it.code, it.count))
            .collect();
        assert_eq!(
            blockers,
            [
                ("volumes_remaining", Some(35)),
                ("backups_remaining", Some(4))
            ]
        );
    }

    #[test]
    fn no_row_at_zeros_is_unknown_and_names_what_was_not_looked_at() {
        let verdict = FixedKeyVerdict::of(counted(Census::default()));
        assert_eq!(verdict.verdict, Verdict::Unknown);
        let codes: Vec<_> = verdict.blockers.iter().map(|it| it.code).collect();
        assert_eq!(codes, NOT_LOOKED_AT.map(|(code, _)| code));
        assert!(verdict.blockers.iter().all(|it| it.count.is_none()));
    }

    #[test]
    fn before_the_first_count_the_rows_are_unknown_too() {
        let verdict = FixedKeyVerdict::of(None);
        assert_eq!(verdict.verdict, Verdict::Unknown);
        assert_eq!(verdict.evaluated_at, None);
        assert_eq!(verdict.blockers[0].code, "rows_not_counted");
    }
}
