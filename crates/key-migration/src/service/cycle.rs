//! What one cycle of a service does: gates, listing, pass, summary.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Environment, Finding, KeyMigrator, Mode};
use crate::fixed_key::FixedKey;
use crate::gates::Gate;
use crate::ids::{RequestId, Service};
use crate::inventory::{self, database_fault};
use crate::messages;
use crate::pass::{Interrupt, Pass, PassEnd};
use crate::ports::{CinderDatabase, Clock, DatabaseError, KeyManager};
use crate::progress::Counted;
use crate::reasons::{Fault, Reason, RowReason, ServiceState};
use crate::rows::Scope;
use crate::settle::{Settled, settle};

/// After this time a listing is worth a line.
const LONG: Duration = Duration::from_secs(10);

impl<M: KeyManager, D: CinderDatabase, C: Clock> KeyMigrator<M, D, C> {
    pub(super) async fn cycle(&mut self, environment: &Environment<M, D>) -> Finding {
        let settings = &environment.settings;
        if let Some(gate) = Gate::closed_by(settings) {
            return self.closed(environment, gate).await;
        }
        if settings.paused {
            return Finding::Paused;
        }
        let (Some(scope), Some(fixed_key)) = (&settings.scope, &settings.fixed_key) else {
            return self.closed(environment, Gate::NoBackends).await;
        };
        match self.work(environment, scope, fixed_key).await {
            Ok(finding) => finding,
            Err(fault) => {
                self.say_blocked(settings.service, &fault);
                self.board.count_fault(&fault);
                Finding::Blocked(fault)
            }
        }
    }

    /// A gate is closed: it is said on the first pass and on change.
    async fn closed(&mut self, environment: &Environment<M, D>, gate: Gate) -> Finding {
        let is_news = self.gate.as_ref() != Some(&gate);
        if is_news {
            gate.log();
            self.key_need_said = false;
        }
        if gate == Gate::NoFixedKey && !self.key_need_said {
            self.complain_if_key_is_needed(environment).await;
        }
        if gate.has_summary() {
            // What keeps the count from being made is said by the passes of an open gate.
            let _ = self.summarise(environment, None).await;
        }
        if !gate.is_configured() {
            self.say_going_on(environment.settings.service);
        }
        self.blocked = None;
        self.gate = Some(gate.clone());
        Finding::Disabled(gate)
    }

    async fn summarise(
        &mut self,
        environment: &Environment<M, D>,
        changed: Option<Instant>,
    ) -> Result<(), DatabaseError> {
        self.summary
            .make(&*environment.rows, &environment.settings, changed)
            .await
    }

    async fn complain_if_key_is_needed(&mut self, environment: &Environment<M, D>) {
        let counted = self
            .summary
            .count(&*environment.rows, &environment.settings, None)
            .await;
        if let Ok(Counted { census, .. }) = counted
            && !census.is_clear()
        {
            messages::fixed_key_needed(&census);
            self.key_need_said = true;
        }
    }

    async fn work(
        &mut self,
        environment: &Environment<M, D>,
        scope: &Scope,
        fixed_key: &Arc<FixedKey>,
    ) -> Result<Finding, Fault> {
        self.leave_former_keeper(environment.keys.identity());
        if self.blocked.is_none() {
            self.settle(environment).await?;
        }
        if !environment
            .rows
            .any_row(scope)
            .await
            .map_err(database_fault)?
        {
            self.board.remaining(0);
            return Ok(self
                .closed(environment, Gate::NoRows(environment.settings.service))
                .await);
        }
        self.gate = None;
        let first = environment.rows.zero_rows(scope, None, 1).await;
        self.passes += 1;
        if first.map_err(database_fault)?.is_empty() {
            if self.blocked.is_some() {
                self.settle(environment).await?;
            }
            self.board.remaining(0);
            return self.nothing_left(environment).await;
        }
        let limit = environment.settings.max_concurrency;
        self.board.pass_begins(scope.names(), limit);
        let first_pass = self.passes == 1 && self.blocked.is_none();
        if first_pass {
            messages::starting();
        }
        if self.blocked.is_none() {
            self.board.state(ServiceState::Migrating, None, None);
        }
        let before = Instant::now();
        let end = self.pass(environment, scope, fixed_key, first_pass).await;
        let met_every_row = matches!(end, PassEnd::Walked);
        self.board
            .pass_ends(met_every_row, self.intents.superseded());
        self.after_pass(environment, scope, end, before).await
    }

    /// Secrets are kept by another user, in another project or at another Barbican from now on:
    /// nothing there answers for what was stored before.
    fn leave_former_keeper(&mut self, identity: String) {
        let former = self.keeper.replace(identity);
        if former.is_none() || former == self.keeper {
            return;
        }
        let (secrets, parked) = self.intents.leave_behind();
        if secrets + parked > 0 {
            messages::moved_elsewhere(secrets, parked);
        }
        self.listed_for = None;
    }

    /// Accounts for what is open for rows that the walk does not meet any more.
    async fn settle(&mut self, environment: &Environment<M, D>) -> Result<(), Fault> {
        let kind = environment.settings.service.kind();
        let (keys, rows) = (&*environment.keys, &*environment.rows);
        let settling = settle(keys, rows, kind, &mut self.intents);
        for settled in settling.await? {
            match settled {
                Settled::Migrated => self.board.migrated(),
                Settled::Lost(row, unused) => {
                    self.board.count_failure(RowReason::Raced);
                    for secret in unused {
                        messages::lost(&row, Some(secret));
                    }
                }
            }
        }
        self.board.orphan_secrets(self.intents.superseded());
        Ok(())
    }

    async fn nothing_left(&mut self, environment: &Environment<M, D>) -> Result<Finding, Fault> {
        if self.passes == 1 {
            messages::starting();
        }
        let owned = environment
            .settings
            .scope
            .as_ref()
            .map(Scope::names)
            .unwrap_or_default();
        self.board
            .pass_begins(owned, environment.settings.max_concurrency);
        self.board.pass_ends(true, self.intents.superseded());
        self.summarise(environment, None)
            .await
            .map_err(database_fault)?;
        self.say_going_on(environment.settings.service);
        Ok(Finding::Walked { remaining: 0 })
    }

    /// Lists what earlier runs stored, then walks. A listing that is refused for lack of a role
    /// does not keep one key from being tried: its refusal says the same to the operator.
    async fn pass(
        &mut self,
        environment: &Environment<M, D>,
        scope: &Scope,
        fixed_key: &Arc<FixedKey>,
        mut starting_said: bool,
    ) -> PassEnd {
        let mut unlisted = None;
        let mut interrupt = self.control.clone();
        loop {
            let listed = tokio::select! {
                listed = self.list(environment, fixed_key) => listed,
                () = interrupt.interrupted() => return PassEnd::Interrupted,
            };
            match listed {
                Ok(()) => unlisted = None,
                Err(fault) if fault.reason == Reason::RoleMissing && unlisted.is_none() => {
                    unlisted = Some(fault);
                }
                Err(fault) => return self.faulted(environment, fault),
            }
            let most = match self.mode {
                Mode::Once { limit } => {
                    limit.map(|limit| limit.saturating_sub(self.board.migrated_so_far()))
                }
                Mode::Daemon => None,
            };
            let pass = Pass {
                environment,
                scope,
                fixed_key: Arc::clone(fixed_key),
                intents: &mut self.intents,
                board: &mut self.board,
                census: self.summary.census(),
                interrupt: &mut self.control,
                most,
                probing: &mut self.blocked,
                stumbles: &mut self.stumbles,
                starting_said: &mut starting_said,
                unlisted: unlisted.clone(),
            };
            match (pass.run().await, &unlisted) {
                (PassEnd::ListAgain, _) => {}
                (PassEnd::Walked, Some(refused)) => {
                    return self.faulted(environment, refused.clone());
                }
                (end, _) => return end,
            }
        }
    }

    fn faulted(&self, environment: &Environment<M, D>, fault: Fault) -> PassEnd {
        self.say_blocked(environment.settings.service, &fault);
        self.board.count_fault(&fault);
        PassEnd::Faulted(fault)
    }

    async fn list(
        &mut self,
        environment: &Environment<M, D>,
        fixed_key: &Arc<FixedKey>,
    ) -> Result<(), Fault> {
        let listed_for = self.listed_for.as_ref();
        if listed_for.is_some_and(|listed| listed.same_as(fixed_key)) {
            self.recheck_mismatch(environment, fixed_key).await?;
            return match self.blocked {
                Some(_) => environment.keys.probe(RequestId::random()).await,
                None => Ok(()),
            };
        }
        self.recheck_mismatch(environment, fixed_key).await?;
        let kind = environment.settings.service.kind();
        let (keys, rows) = (&*environment.keys, &*environment.rows);
        let listing = inventory::take(keys, rows, fixed_key, kind, &mut self.intents);
        said_if_long(listing, messages::listing).await?;
        self.listed_for = Some(Arc::clone(fixed_key));
        Ok(())
    }

    /// A secret that did not hold the fixed key: nothing goes on before it does, or is gone.
    async fn recheck_mismatch(
        &mut self,
        environment: &Environment<M, D>,
        fixed_key: &FixedKey,
    ) -> Result<(), Fault> {
        if let Some((row, secret)) = self.intents.mismatch() {
            inventory::compare(&*environment.keys, fixed_key, &row, secret).await?;
            self.intents.clear_mismatch();
        }
        Ok(())
    }

    async fn after_pass(
        &mut self,
        environment: &Environment<M, D>,
        scope: &Scope,
        end: PassEnd,
        before: Instant,
    ) -> Result<Finding, Fault> {
        match end {
            PassEnd::Faulted(fault) => {
                if fault.reason != Reason::DatabaseUnreachable {
                    self.count_here(environment, scope).await?;
                }
                // Where the database is what fails, the fault says so already.
                let _ = self
                    .summarise(environment, self.last_change(environment, before))
                    .await;
                Ok(Finding::Blocked(fault))
            }
            PassEnd::Interrupted | PassEnd::ListAgain => Ok(Finding::Interrupted),
            PassEnd::Walked => {
                let remaining = self.count_here(environment, scope).await?;
                self.summarise(environment, self.last_change(environment, before))
                    .await
                    .map_err(database_fault)?;
                self.say_going_on(environment.settings.service);
                Ok(Finding::Walked { remaining })
            }
        }
    }

    async fn count_here(
        &self,
        environment: &Environment<M, D>,
        scope: &Scope,
    ) -> Result<u64, Fault> {
        let count = environment.rows.count_zero_rows(scope).await;
        let remaining = count.map_err(database_fault)?;
        self.board.remaining(remaining);
        Ok(remaining)
    }

    /// Since when a count would be out of date: keys moved, or rows came that it did not see.
    fn last_change(&self, environment: &Environment<M, D>, pass_began: Instant) -> Option<Instant> {
        if self.board.tally().migrated > 0 {
            return Some(Instant::now());
        }
        let remaining = self.board.remaining_here();
        let misses = self.summary.misses(environment.settings.service, remaining);
        misses.then_some(pass_began)
    }

    fn say_blocked(&self, service: Service, fault: &Fault) {
        let known = self
            .blocked
            .as_ref()
            .map(|known| (known.reason, &known.remedy));
        if known != Some((fault.reason, &fault.remedy)) {
            messages::blocked(service, fault);
            messages::remedy(&fault.remedy);
        }
    }

    fn say_going_on(&mut self, service: Service) {
        if let Some(gone) = self.blocked.take() {
            messages::going_on(service, gone.reason);
        }
    }
}

/// Does it, and says so if it takes long.
async fn said_if_long<T>(step: impl Future<Output = T>, say: fn()) -> T {
    tokio::pin!(step);
    tokio::select! {
        done = &mut step => return done,
        () = tokio::time::sleep(LONG) => say(),
    }
    step.await
}
