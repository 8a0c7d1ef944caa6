//! Completes an ACL: users come to need a row's key after its secret was stored, as when `[key_migrator]
//! extra_acl_users` is changed, or somebody else takes a snapshot of what Cinder migrated itself.

use cinder_db::audit::KeyedRow;
use key_migration::ids::{RequestId, SecretId};
use key_migration::messages;
use key_migration::ports::KeyManager as _;
use key_migration::reasons::Fault;
use key_migration::rows::Readers;
use tokio::sync::Mutex;

use super::examination::Examiner;
use super::finding::{Code, Finding};
use super::judgement::{Origin, readers_needed};
use super::tally::Outcome;

/// Whether an ACL is all that is wrong: the row refers to the secret, which was stored for it or
/// for its volume, is no other owner's as well, and holds the fixed key.
pub(super) fn is_mendable(findings: &[Finding]) -> bool {
    matches!(findings, [only] if only.code == Code::AclIncomplete)
}

impl Examiner<'_> {
    /// Adds who needs to read the secret to those who may, and looks whether all is right then.
    /// The row was read a moment ago, and found [mendable](is_mendable).
    pub(super) async fn mend(
        &self,
        turn: &Mutex<()>,
        row: &KeyedRow,
        secret: SecretId,
        origin: Origin,
    ) -> Result<Outcome, Fault> {
        let needed = readers_needed(row, origin, &self.standard);
        let needed: Readers = needed.into_iter().cloned().collect();
        let request = RequestId::random();
        let add = || self.keys.let_read(secret, &needed, request);
        let added = {
            let _turn = turn.lock().await;
            self.ask(add).await?
        };
        let refusal = added.err();
        if refusal.is_none() {
            messages::readers_added(secret, &row.row, request);
        }
        let Some((_, origin, findings)) = self.look_again(row).await? else {
            return Ok(Outcome::Changed);
        };
        Ok(match refusal {
            _ if findings.is_empty() => Outcome::Mended(origin),
            None => Outcome::Examined(origin, findings),
            Some(error) => {
                let told = findings.into_iter().map(|finding| finding.stays(&error));
                Outcome::Examined(origin, told.collect())
            }
        })
    }
}
