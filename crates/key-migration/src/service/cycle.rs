//! What one cycle of a service does: gates, listing, pass, summary.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Environment, Finding, KeyMigrator, Mode};
use crate::fixed_key::FixedKey;
use crate::gates::Gate;
use crate::ids::{RowRef, Service};
use crate::inventory::database_fault;
use crate::messages;
use crate::pass::{Interrupt, Pass, PassEnd};
use crate::peers;
use crate::ports::{CinderDatabase, Clock, DatabaseError, KeyManager, Ledger};
use crate::progress::Counted;
use crate::reasons::{Fault, Reason, ServiceState};
use crate::rows::Scope;

impl<M: KeyManager, D: CinderDatabase, C: Clock, L: Ledger> KeyMigrator<M, D, C, L> {
    pub(super) async fn cycle(&mut self, environment: &Environment<M, D>) -> Finding {
        let settings = &environment.settings;
        self.known.keep_only(settings.fixed_key.as_ref());
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
                if !self.still_waits_for_peer(&fault) {
                    self.board.count_fault(&fault);
                }
                Finding::Blocked(fault)
            }
        }
    }

    /// Cinder's own migrator is looked at every second: that is one wait, not many.
    fn still_waits_for_peer(&self, fault: &Fault) -> bool {
        let waits = |fault: &Fault| fault.reason == Reason::PeerAtWork;
        waits(fault) && self.blocked.as_ref().is_some_and(waits)
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
        let any_row = environment.rows.any_row(scope).await;
        if any_row.map_err(database_fault)? {
            self.recall(environment).await?;
        } else if self.recall(environment).await.is_err() || self.intents.is_at_rest() {
            self.board.remaining(0);
            let gate = Gate::NoRows(environment.settings.service);
            return Ok(self.closed(environment, gate).await);
        }
        self.gate = None;
        self.wait_for_peer(environment, scope).await?;
        let to_settle = self.rows_to_settle(environment).await?;
        let any_zero_row = self.any_zero_row(environment, scope).await;
        self.passes += 1;
        if !any_zero_row? && to_settle.is_empty() {
            self.board.remaining(0);
            return self.nothing_left(environment, scope).await;
        }
        self.board.pass_begins(scope.names());
        let first_pass = self.passes == 1 && self.blocked.is_none();
        if first_pass {
            messages::starting();
        }
        if self.blocked.is_none() {
            self.board.state(ServiceState::Migrating, None, None);
        }
        let before = Instant::now();
        let begun = (first_pass, to_settle);
        let end = self.pass(environment, scope, fixed_key, begun).await;
        let met_every_row = matches!(end, PassEnd::Walked);
        self.board
            .pass_ends(met_every_row, self.intents.superseded());
        if met_every_row {
            self.look_after(environment, scope, false).await;
            self.tell_listed().await?;
        }
        self.after_pass(environment, scope, end, before).await
    }

    async fn any_zero_row(
        &self,
        environment: &Environment<M, D>,
        scope: &Scope,
    ) -> Result<bool, Fault> {
        for &kind in environment.settings.service.kinds() {
            let first = environment.rows.zero_rows(scope, kind, None, 1).await;
            if !first.map_err(database_fault)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// W20: while Cinder's own migrator switches rows of this host, nothing is begun.
    async fn wait_for_peer(
        &mut self,
        environment: &Environment<M, D>,
        scope: &Scope,
    ) -> Result<(), Fault> {
        if !self.peers.was_seen() {
            return Ok(());
        }
        let (keys, rows) = (&*environment.keys, &*environment.rows);
        let kind = environment.settings.service.kind();
        let looked = self
            .peers
            .look_while_waiting(rows, scope, kind, &self.begin_after);
        looked.await.map_err(database_fault)?;
        let overwritten = peers::overwritten(keys, rows, self.peers.watched()).await;
        for found in overwritten.map_err(database_fault)? {
            self.peers.forget(&found.row);
            if found.by_peer {
                self.peers.seen(Instant::now());
            }
            if !found.still_used {
                messages::lost(&found.row, Some(found.secret));
                self.account_for_overwritten(&found.row, found.secret);
            }
        }
        self.write_down();
        if self.peers.quiet_in(Instant::now()).is_some() {
            return Err(self.blocked.clone().unwrap_or_else(peers::still_at_work));
        }
        self.peers.is_over();
        Ok(())
    }

    async fn nothing_left(
        &mut self,
        environment: &Environment<M, D>,
        scope: &Scope,
    ) -> Result<Finding, Fault> {
        if self.passes == 1 {
            messages::starting();
        }
        self.board.pass_begins(scope.names());
        self.board.pass_ends(true, self.intents.superseded());
        self.summarise(environment, None)
            .await
            .map_err(database_fault)?;
        let is_clear = self.summary.is_clear();
        self.look_after(environment, scope, is_clear).await;
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
        (mut starting_said, to_settle): (bool, Vec<RowRef>),
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
                ledger: &self.ledger,
                keeper: self.known.keeper.clone().unwrap_or_default(),
                scope,
                fixed_key: Arc::clone(fixed_key),
                intents: &mut self.intents,
                board: &mut self.board,
                census: self.summary.census(),
                concurrency: &mut self.concurrency,
                peers: &mut self.peers,
                interrupt: &mut self.control,
                begin_after: self.begin_after.clone(),
                entropy: self.entropy,
                to_settle: to_settle.clone(),
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
