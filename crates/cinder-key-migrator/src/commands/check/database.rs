//! Cinder's database: whether it answers, has what it should have, and lets us do what is needed.

use cinder_db::{Access, CinderDb};

use super::line::Line;

pub(super) const CHECK: &str = "Database";
const SCHEMA: &str = "Database schema";
const GRANTS: &str = "Database grants";

/// The database, if its rows can be read.
pub(super) async fn check<'d>(
    rows: Option<&'d CinderDb>,
    lines: &mut Vec<Line>,
) -> Option<&'d CinderDb> {
    let unknown = |needs| [SCHEMA, GRANTS].map(|check| Line::not_done(check, needs));
    let Some(rows) = rows else {
        lines.push(Line::not_done(CHECK, "Configuration"));
        lines.extend(unknown("Configuration"));
        return None;
    };
    match rows.access().await {
        Err(error) => {
            lines.push(Line::of_database(CHECK, &error));
            lines.extend(unknown(CHECK));
            None
        }
        Ok(access) => {
            lines.push(Line::success(CHECK, "It answers and lets us in."));
            lines.push(schema(&access));
            lines.push(grants(&access));
            let readable = access.missing.is_empty()
                && !access.grants.iter().any(|grant| grant.contains("SELECT"));
            readable.then_some(rows)
        }
    }
}

fn schema(access: &Access) -> Line {
    if access.missing.is_empty() {
        return Line::success(SCHEMA, "Every table and column that is needed exists.");
    }
    Line::failure(
        SCHEMA,
        format!("It has no {}.", access.missing.join(", ")),
        "see that [database] connection names Cinder's own database, then: cinder-manage db sync",
    )
}

fn grants(access: &Access) -> Line {
    if !access.missing.is_empty() {
        return Line::not_done(GRANTS, SCHEMA);
    }
    if access.read_only {
        return Line::failure(
            GRANTS,
            "The database is read-only: nobody can change anything in it.",
            "let [database] connection name the server that takes changes",
        );
    }
    if !access.grants.is_empty() {
        return Line::failure(
            GRANTS,
            "Rows may not be read or may not be changed: SELECT on volumes, snapshots, backups and \
             services is needed, and UPDATE of encryption_key_id and updated_at on the first three.",
            access.grants.join(" "),
        );
    }
    Line::success(
        GRANTS,
        match access.more_than_needed {
            false => "What is needed and no more.",
            true => {
                "What is needed, and more, as Cinder's own user has it. A user of its own needs \
                 SELECT on volumes, snapshots, backups and services, and UPDATE of \
                 encryption_key_id and updated_at on the first three."
            }
        },
    )
}
