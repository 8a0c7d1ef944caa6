//! Who may do what: barbican's `common/policies/{base,secrets,acls}.py`, the
//! new defaults and the legacy rules.

use super::auth::Caller;
use super::vault::Secret;
use crate::shared::RoleWorld;

pub(super) fn may_create(world: RoleWorld, caller: &Caller) -> bool {
    match world {
        RoleWorld::Member => caller.has("member"),
        RoleWorld::Creator => caller.has("admin") || caller.has("creator"),
    }
}

pub(super) fn may_list(world: RoleWorld, caller: &Caller) -> bool {
    match world {
        RoleWorld::Member => caller.has("member"),
        RoleWorld::Creator => all_but_audit(caller),
    }
}

pub(super) fn may_decrypt(world: RoleWorld, caller: &Caller, secret: &Secret) -> bool {
    secret.lets_read(&caller.user_id)
        || match world {
            RoleWorld::Member => member_rules(caller, secret, !secret.is_private()),
            RoleWorld::Creator => {
                let open = all_but_audit(caller) && in_project(caller, secret);
                (open && !secret.is_private()) || legacy_owner_or_admin(caller, secret)
            }
        }
}

pub(super) fn may_show(world: RoleWorld, caller: &Caller, secret: &Secret) -> bool {
    secret.lets_read(&caller.user_id)
        || match world {
            RoleWorld::Member => {
                caller.has("admin") || member_rules(caller, secret, !secret.is_private())
            }
            RoleWorld::Creator => {
                let open = all_users(caller) && in_project(caller, secret);
                (open && !secret.is_private()) || legacy_owner_or_admin(caller, secret)
            }
        }
}

pub(super) fn may_delete(world: RoleWorld, caller: &Caller, secret: &Secret) -> bool {
    match world {
        RoleWorld::Member => {
            caller.has("admin") || member_rules(caller, secret, !secret.is_private())
        }
        RoleWorld::Creator => {
            let open = caller.has("creator") && in_project(caller, secret);
            (open && !secret.is_private()) || legacy_owner_or_admin(caller, secret)
        }
    }
}

pub(super) fn may_show_acl(world: RoleWorld, caller: &Caller, secret: &Secret) -> bool {
    match world {
        RoleWorld::Member => member_rules(caller, secret, !secret.is_private()),
        RoleWorld::Creator => all_but_audit(caller) && in_project(caller, secret),
    }
}

/// Setting and deleting an ACL.
pub(super) fn may_change_acl(world: RoleWorld, caller: &Caller, secret: &Secret) -> bool {
    match world {
        RoleWorld::Member => member_rules(caller, secret, !secret.is_private()),
        RoleWorld::Creator => {
            let open = caller.has("creator") && in_project(caller, secret);
            (open && !secret.is_private()) || legacy_owner_or_admin(caller, secret)
        }
    }
}

/// Listing and registering consumers.
pub(super) fn may_use_consumers(world: RoleWorld, caller: &Caller, secret: &Secret) -> bool {
    match world {
        RoleWorld::Member => may_decrypt(world, caller, secret),
        RoleWorld::Creator => may_show(world, caller, secret),
    }
}

fn member_rules(caller: &Caller, secret: &Secret, open_to_members: bool) -> bool {
    let owner_or_open = is_owner(caller, secret) || open_to_members;
    in_project(caller, secret) && (caller.has("admin") || (caller.has("member") && owner_or_open))
}

fn legacy_owner_or_admin(caller: &Caller, secret: &Secret) -> bool {
    in_project(caller, secret)
        && (caller.has("admin") || (caller.has("creator") && is_owner(caller, secret)))
}

fn all_users(caller: &Caller) -> bool {
    all_but_audit(caller) || caller.has("audit") || caller.has("key-manager:service-admin")
}

fn all_but_audit(caller: &Caller) -> bool {
    caller.has("admin") || caller.has("observer") || caller.has("creator")
}

fn in_project(caller: &Caller, secret: &Secret) -> bool {
    caller.project_id == secret.project_id
}

fn is_owner(caller: &Caller, secret: &Secret) -> bool {
    caller.user_id == secret.creator_id
}

impl Caller {
    fn has(&self, role: &str) -> bool {
        self.roles
            .iter()
            .any(|held| held.eq_ignore_ascii_case(role))
    }
}
