//! The role that this Barbican wants. Which one that is can only be told by trying.

use key_migration::ids::RequestId;
use openstack_client::Probe;

use super::barbican::{Answering, BARBICAN};
use super::line::Line;

const CHECK: &str = "Role";

/// Roles that Barbican's policies, old or new, let store secrets (barbican/common/policies).
const STORING: [&str; 3] = ["member", "creator", "admin"];
const KEEP_IT: &str = "It must stay after the migration: without it Cinder cannot delete migrated \
                       secrets later on.";

pub(super) async fn check(barbican: Option<&Answering<'_>>, probe: bool) -> Line {
    let Some(barbican) = barbican else {
        return Line::not_done(CHECK, BARBICAN);
    };
    let token = &barbican.token;
    let held = match token.roles() {
        [] => "none".to_owned(),
        roles => roles.join(", "),
    };
    let held = format!(
        "User {} has in project {}: {held}.",
        token.user(),
        token.project()
    );
    if probe {
        return of_probe(barbican.keys.probe_role(RequestId::random()).await, &held);
    }
    let stores = |role: &String| STORING.iter().any(|it| role.eq_ignore_ascii_case(it));
    if !token.roles().iter().any(stores) {
        return Line::failure(
            CHECK,
            format!("{held} None of these lets it store secrets."),
            barbican.keys.role_remedy(token),
        );
    }
    Line::success(
        CHECK,
        format!("{held} Not probed: `check --probe` stores and deletes one secret. {KEEP_IT}"),
    )
}

fn of_probe(probe: Probe, held: &str) -> Line {
    match probe {
        Probe::Done => Line::success(
            CHECK,
            format!("{held} A secret was stored and deleted. {KEEP_IT}"),
        ),
        Probe::Refused(fault) => Line::failure(
            CHECK,
            format!("{held} A secret was not stored: {}.", fault.message),
            fault.remedy,
        ),
        Probe::Unknown { name, why } => Line::failure(
            CHECK,
            format!("{held} Nobody knows whether a secret was stored: {why}."),
            format!("openstack secret list --name {name}; delete what it lists, and check again"),
        ),
        Probe::NotDeleted { secret, why } => Line::failure(
            CHECK,
            format!("{held} Secret {secret} was stored and could not be deleted: {why}."),
            format!("openstack secret delete {secret}"),
        ),
    }
}
