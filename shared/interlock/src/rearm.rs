//! Resuming: a compare-and-set on what the person saw, flags first, control item last. Must never wake an old
//! run.
use crate::control::{Control, LogEntry, State};
use crate::error::InterlockError;
use crate::halt::Press;
use crate::update::{Update, Updated};
use crate::{Interlock, flag_scope, short, target_of};
use aws_sdk_dynamodb::types::AttributeValue;
use kill_switch::{Check, Rearm};
use std::collections::HashMap;
use std::time::Duration;
use types::{Actor, Epoch, Generation, Mode, Scope};

/// How long one try in the flags may take.
const FLAG_TRY: Duration = Duration::from_secs(2);

/// Which tools write after a resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModesAfter {
    /// None: everything starts in dry-run.
    DryRun,
    /// Those that wrote before.
    AsBefore,
}

/// What a person asks for, and what her page showed.
#[derive(Debug, Clone)]
pub struct RearmAsk {
    /// Everything, or one customer.
    pub scope: Scope,
    /// The epoch on the page.
    pub epoch_shown: Epoch,
    /// The customer's generation on the page (a global resume ignores it).
    pub generation_shown: Generation,
    /// The flags' press counter on the page.
    pub seq_shown: String,
    /// Who.
    pub actor: Actor,
    /// Her reason.
    pub because: String,
    /// `page`, `console`, `cli`, `demo`, `drill`.
    pub source: String,
    /// Which tools write afterwards (a customer resume leaves the modes alone).
    pub modes: ModesAfter,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "only `Done` means that the agent may run"]
pub enum Rearmed {
    /// New runs may start.
    Done {
        /// The epoch that new runs belong to.
        epoch: Epoch,
    },
    /// Somebody pressed HALT, or resumed, after the page was read. Nothing was changed.
    PressedAgain,
    /// The scope is not halted.
    NotHalted,
    /// The flags did not confirm; the agent stays halted.
    FlagsSilent,
}

impl Interlock {
    /// Releases a scope, if everything is as the page showed it.
    ///
    /// # Errors
    /// [`InterlockError`] when the control item gave no answer. The agent is then halted, or armed: look
    /// again.
    // INVARIANT (I8): a re-arm succeeds only on the epoch (and press counter) that was shown.
    pub async fn rearm(&self, ask: &RearmAsk) -> Result<Rearmed, InterlockError> {
        match &ask.scope {
            Scope::Global => self.rearm_global(ask).await,
            Scope::Customer(_) => self.rearm_customer(ask).await,
        }
    }

    async fn rearm_global(&self, ask: &RearmAsk) -> Result<Rearmed, InterlockError> {
        let seen = self.control().await?;
        if seen.epoch != ask.epoch_shown && !types::mutant("H11") {
            return Ok(Rearmed::PressedAgain);
        }
        let seen = match self.latch_first(&seen).await? {
            Ok(control) => control,
            Err(refused) => return Ok(refused),
        };
        let next = seen.epoch.next();
        let halted: Vec<String> = seen.halted_customers.keys().map(|id| id.as_str().to_owned()).collect();
        let mark = self.rearm_mark();
        let scope = kill_switch::Scope::Global;
        let mut seq_shown = ask.seq_shown.clone();
        if types::mutant("H11") || types::mutant("no_halt_seq") {
            seq_shown = self.switch.read(&[]).await.unwrap_or_default().seq_global;
        }
        if types::mutant("ledger_first")
            && let Updated::Refused(_) = self.arm(ask, &seen).await?
        {
            return Ok(Rearmed::PressedAgain);
        }
        match self.switch.rearm(&scope, &seq_shown, next.0, &halted, &mark, FLAG_TRY).await {
            Rearm::Done => {}
            Rearm::PressedAgain => return Ok(Rearmed::PressedAgain),
            Rearm::Failed => return Ok(Rearmed::FlagsSilent),
        }
        if types::mutant("ledger_first") {
            return Ok(Rearmed::Done { epoch: next });
        }
        let armed = self.arm(ask, &seen).await;
        // Between the flags and here the control item still says halted; if it stays so, the flags must too.
        match armed {
            Ok(Updated::Applied(control)) => self.restore_modes(ask, &control).await,
            Ok(Updated::Refused(control)) => {
                if control.state == State::Halted {
                    self.switch.halt(&scope, &self.fresh_id(), self.replicas, FLAG_TRY).await;
                }
                Ok(Rearmed::PressedAgain)
            }
            Err(error) => {
                // FAIL-CLOSED: whether it was armed is unknown, so the flags stop it until somebody looks.
                self.switch.halt(&scope, &self.fresh_id(), self.replicas, FLAG_TRY).await;
                Err(error)
            }
        }
    }

    /// A flag set by hand, or a wiped store, is a halt that the control item does not know: latch it first.
    async fn latch_first(&self, seen: &Control) -> Result<Result<Control, Rearmed>, InterlockError> {
        if seen.state == State::Halted {
            return Ok(Ok(seen.clone()));
        }
        match self.switch.check(None).await {
            Check::Clear(clear) if clear.epoch() == seen.epoch.0 => Ok(Err(Rearmed::NotHalted)),
            Check::Unreachable => Ok(Err(Rearmed::FlagsSilent)),
            Check::Clear(_) | Check::Disarmed | Check::Halted(_) => {
                let press = Press {
                    actor: Actor::System("flag".to_owned()),
                    source: "flag".to_owned(),
                    because: "flag_set".to_owned(),
                };
                let latched = self.latch_if(&Scope::Global, &press, seen).await?;
                let mine = latched.state == State::Halted && latched.epoch == seen.epoch.next();
                Ok(if mine { Ok(latched) } else { Err(Rearmed::PressedAgain) })
            }
        }
    }

    async fn arm(&self, ask: &RearmAsk, seen: &Control) -> Result<Updated, InterlockError> {
        let entry = self.resume_entry(ask, "running");
        let all_dry: HashMap<String, AttributeValue> = seen
            .modes
            .keys()
            .map(|tool| (tool.clone(), AttributeValue::S(Mode::DryRun.code().to_owned())))
            .collect();
        let (log, room) = log_change(seen);
        let update = Update::new(
            "arm",
            &format!(
                "SET #state = :armed, #epoch = #epoch + :one, #armed_ms = :now, #mode_before = #mode, \
                 #mode = :all_dry, {log}"
            ),
            &format!("#state = :halted AND #epoch = :seen AND {room}"),
        )
        .text(":armed", "armed")
        .text(":halted", "halted")
        .number(":one", 1)
        .number(":now", entry.at_ms)
        .number(":seen", seen.epoch)
        .number(":log_max", crate::LOG_MAX)
        .value(":all_dry", AttributeValue::M(all_dry));
        with_entry(update, seen, &entry)?.send(&self.client, &self.table).await
    }

    async fn restore_modes(&self, ask: &RearmAsk, armed: &Control) -> Result<Rearmed, InterlockError> {
        let done = Rearmed::Done { epoch: armed.epoch };
        if ask.modes == ModesAfter::DryRun {
            return Ok(done);
        }
        let restored = Update::new(
            "restore the modes in",
            "SET #mode = #mode_before",
            "#state = :armed AND #epoch = :epoch",
        )
        .text(":armed", "armed")
        .number(":epoch", armed.epoch)
        .send(&self.client, &self.table)
        .await;
        match restored {
            Ok(Updated::Applied(_)) => Ok(done),
            // Halted meanwhile: the resume happened, the writes stay off.
            Ok(Updated::Refused(_)) => Ok(Rearmed::PressedAgain),
            Err(error) => Err(error),
        }
    }

    async fn rearm_customer(&self, ask: &RearmAsk) -> Result<Rearmed, InterlockError> {
        let Scope::Customer(customer) = &ask.scope else {
            return Ok(Rearmed::NotHalted);
        };
        let mut seen = self.control().await?;
        if !seen.halted_customers.contains_key(customer) {
            // A flag set by hand is a halt that the control item does not know: latch it first.
            match self.switch.check(Some(customer.as_str())).await {
                Check::Halted(kill_switch::HaltedScope::Customer) => {
                    let press = Press {
                        actor: Actor::System("flag".to_owned()),
                        source: "flag".to_owned(),
                        because: "flag_set".to_owned(),
                    };
                    seen = self.latch_if(&ask.scope, &press, &seen).await?;
                }
                Check::Halted(kill_switch::HaltedScope::Global) | Check::Clear(_) | Check::Disarmed => {
                    return Ok(Rearmed::NotHalted);
                }
                Check::Unreachable => return Ok(Rearmed::FlagsSilent),
            }
        } else if seen.generation(customer) != ask.generation_shown {
            return Ok(Rearmed::PressedAgain);
        }
        let mark = self.rearm_mark();
        let flags = flag_scope(&ask.scope);
        match self.switch.rearm(&flags, &ask.seq_shown, seen.epoch.0, &[], &mark, FLAG_TRY).await {
            Rearm::Done => {}
            Rearm::PressedAgain => return Ok(Rearmed::PressedAgain),
            Rearm::Failed => return Ok(Rearmed::FlagsSilent),
        }
        let entry = self.resume_entry(ask, "running");
        let (log, room) = log_change(&seen);
        let update = Update::new(
            "resume a customer in",
            &format!("SET {log} REMOVE #cust_halted.#x"),
            &format!("#cust_gen.#x = :g AND attribute_exists(#cust_halted.#x) AND {room}"),
        )
        .name("#x", customer.as_str())
        .number(":g", seen.generation(customer))
        .number(":log_max", crate::LOG_MAX);
        let update = if seen.log.len() >= crate::LOG_MAX { update.number(":one", 1) } else { update };
        let updated = with_entry(update, &seen, &entry)?.send(&self.client, &self.table).await;
        match updated {
            Ok(Updated::Applied(control)) => Ok(Rearmed::Done { epoch: control.epoch }),
            Ok(Updated::Refused(_)) => {
                self.switch.halt(&flags, &self.fresh_id(), self.replicas, FLAG_TRY).await;
                Ok(Rearmed::PressedAgain)
            }
            Err(error) => {
                self.switch.halt(&flags, &self.fresh_id(), self.replicas, FLAG_TRY).await;
                Err(error)
            }
        }
    }

    /// Goes into the press counter, so that the sweep leaves a scope alone that is being re-armed.
    fn rearm_mark(&self) -> String {
        format!("rearm:{}:{}", self.clock.now_ms(), self.fresh_id())
    }

    fn resume_entry(&self, ask: &RearmAsk, after: &str) -> LogEntry {
        LogEntry {
            id: self.fresh_id(),
            at_ms: self.clock.now_ms(),
            actor: ask.actor.clone(),
            verb: "resume".to_owned(),
            target: target_of(&ask.scope),
            before: Some("halted".into()),
            after: Some(after.into()),
            because: short(&ask.because),
            source: short(&ask.source),
        }
    }
}

/// The change that keeps an entry, or counts it when there is no room, and its condition.
fn log_change(seen: &Control) -> (&'static str, &'static str) {
    if seen.log.len() >= crate::LOG_MAX {
        ("#log_folded = #log_folded + :one", "size(#log) >= :log_max")
    } else {
        ("#log = list_append(#log, :entry)", "size(#log) < :log_max")
    }
}

fn with_entry(update: Update, seen: &Control, entry: &LogEntry) -> Result<Update, InterlockError> {
    if seen.log.len() >= crate::LOG_MAX {
        return Ok(update);
    }
    let text = serde_json::to_string(entry)
        .map_err(|error| InterlockError::Store { operation: "log", source: Some(Box::new(error)) })?;
    Ok(update.value(":entry", AttributeValue::L(vec![AttributeValue::S(text)])))
}
