//! What runs every minute: re-assert halts into the flags, move the log on, move overdue permits to unknown.
//! Must never halt what is being re-armed.
use crate::control::{Control, HeldPermit, LogEntry, State};
use crate::error::InterlockError;
use crate::update::{Update, Updated};
use crate::{Interlock, flag_scope};
use kill_switch::Reassert;
use std::time::Duration;
use types::{Clock, Scope};

/// A re-arm younger than this may still be on its way from the flags to the control item.
const REARM_SETTLES_MS: i64 = 60_000;
/// How long one try in the flags may take.
const FLAG_TRY: Duration = Duration::from_secs(2);

/// What a sweep of the flags did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlagSweep {
    /// Halted scopes whose flag exists now.
    pub asserted: u32,
    /// Scopes left for the next sweep, because somebody is re-arming them.
    pub skipped: u32,
    /// Scopes whose flag could not be set.
    pub failed: u32,
}

impl Interlock {
    /// Sets the flag of every scope that the control item says is halted.
    ///
    /// # Errors
    /// [`InterlockError`] when the control item gave no answer.
    pub async fn sweep_flags(&self) -> Result<FlagSweep, InterlockError> {
        let control = self.control().await?;
        let mut scopes: Vec<Scope> = control.halted_customers.keys().cloned().map(Scope::Customer).collect();
        if control.state == State::Halted {
            scopes.push(Scope::Global);
        }
        let mut swept = FlagSweep::default();
        for scope in scopes {
            let counter = match self.reassert(&scope).await? {
                Some(Reassert::Asserted) => &mut swept.asserted,
                Some(Reassert::Failed) => &mut swept.failed,
                Some(Reassert::Raced) | None => &mut swept.skipped,
            };
            *counter = counter.saturating_add(1);
        }
        Ok(swept)
    }

    /// `WATCH` first, then read the control item: whoever re-arms in between changes the press counter and
    /// wins.
    async fn reassert(&self, scope: &Scope) -> Result<Option<Reassert>, InterlockError> {
        let flags = flag_scope(scope);
        let Some(watched) = self.switch.watch(&flags, FLAG_TRY).await else {
            return Ok(Some(Reassert::Failed));
        };
        if rearm_is_young(watched.seq(), &self.clock) && !types::mutant("sweep_without_token") {
            return Ok(None);
        }
        let control = self.control().await?;
        if !is_halted(&control, scope) {
            return Ok(None);
        }
        if types::mutant("sweep_without_watch") {
            let set = self.switch.set_if_absent(&flags).await;
            return Ok(Some(if set { Reassert::Asserted } else { Reassert::Failed }));
        }
        Ok(Some(watched.assert_halted(&flags).await))
    }

    /// Moves every overdue permit to the unknown ones; returns those that moved.
    ///
    /// # Errors
    /// [`InterlockError`] when the control item gave no answer.
    pub async fn sweep_permits(&self) -> Result<Vec<HeldPermit>, InterlockError> {
        let control = self.control().await?;
        let now_ms = self.clock.now_ms();
        let mut moved = Vec::new();
        if types::mutant("permits_never_swept") {
            return Ok(moved);
        }
        for (permit_id, held) in control.in_flight.iter().filter(|(_, held)| held.deadline_ms <= now_ms) {
            self.move_to_unknown(permit_id, held).await?;
            moved.push(held.clone());
        }
        Ok(moved)
    }

    /// The log as it stands, oldest first; the caller stores it elsewhere and then calls [`Self::drop_log`].
    ///
    /// # Errors
    /// [`InterlockError`] when the control item gave no answer.
    pub async fn log(&self) -> Result<(Vec<LogEntry>, u64), InterlockError> {
        let control = self.control().await?;
        Ok((control.log, control.log_folded))
    }

    /// Drops the first entries of the log, if they still are these, and the counted ones. False when they
    /// moved.
    ///
    /// # Errors
    /// [`InterlockError`] when the control item gave no answer.
    pub async fn drop_log(&self, entries: &[LogEntry], folded: u64) -> Result<bool, InterlockError> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Ok(true);
        };
        let last_index = entries.len().saturating_sub(1);
        let gone: Vec<String> = (0..entries.len()).map(|i| format!("#log[{i}]")).collect();
        let update = Update::new(
            "move the log of",
            &format!("SET #log_folded = #log_folded - :folded REMOVE {}", gone.join(", ")),
            &format!("#log[0] = :first AND #log[{last_index}] = :last AND #log_folded >= :folded"),
        )
        .json(":first", first)?
        .json(":last", last)?
        .number(":folded", folded);
        match update.send(&self.client, &self.table).await? {
            Updated::Applied(_) => Ok(true),
            Updated::Refused(_) => Ok(false),
        }
    }
}

fn is_halted(control: &Control, scope: &Scope) -> bool {
    match scope {
        Scope::Global => control.state == State::Halted,
        Scope::Customer(id) => control.halted_customers.contains_key(id),
    }
}

/// Is the press counter the mark of a re-arm younger than a minute (or from a clock ahead of ours)?
fn rearm_is_young(seq: &str, clock: &Clock) -> bool {
    let marked = seq.strip_prefix("rearm:").and_then(|rest| rest.split(':').next());
    marked
        .and_then(|ms| ms.parse::<i64>().ok())
        .is_some_and(|ms| clock.now_ms().saturating_sub(ms) < REARM_SETTLES_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_young_rearm_is_left_alone() {
        let clock = Clock::manual(1_000_000);
        assert!(rearm_is_young("rearm:999000:ab", &clock));
        assert!(rearm_is_young("rearm:1005000:ab", &clock));
        for old in ["", "5f2a", "rearm:", "rearm:x:ab", "rearm:940000:ab"] {
            assert!(!rearm_is_young(old, &clock), "{old:?}");
        }
    }
}
