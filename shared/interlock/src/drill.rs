//! A drill: a real halt, proof that it holds, and a resume of that very halt. Must never resume a press that
//! is not its own, nor a halt that did not hold.
use crate::error::InterlockError;
use crate::halt::{ControlHalt, HaltReport, Press, Pressed};
use crate::permit::{PermitAnswer, PermitAsk};
use crate::proof::Go;
use crate::rearm::{ModesAfter, RearmAsk, Rearmed};
use crate::update::STORE_TIMEOUT;
use crate::{Control, Interlock};
use aws_sdk_dynamodb::types::AttributeValue;
use kill_switch::{Check, FlagHalt, HaltedScope};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use types::{Actor, CustomerId, IntentId, Mode, Reason, RunId, Scope};

/// The customer that drills halt; no deal is hers.
pub const DRILL_CUSTOMER: &str = "drill";
const DRILL_KEY: &str = "drill";
/// How often a drill looks whether it is quiet.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a drill is to do.
#[derive(Debug, Clone)]
pub struct DrillAsk {
    /// [`DRILL_CUSTOMER`], or everything.
    pub scope: Scope,
    /// Who drills.
    pub actor: Actor,
    /// How long it waits for true quiet before it goes on without it.
    pub quiet_within: Duration,
}

/// What a drill found wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillFault {
    /// The control item did not confirm the halt.
    ControlSilent,
    /// The flags did not confirm it.
    FlagsSilent,
    /// A check of the flags did not say "halted".
    FlagCheck,
    /// A permit was granted, or refused for another reason than the halt.
    Permit,
    /// Somebody pressed HALT meanwhile; her halt stands.
    PressedAgain,
    /// The resume was not confirmed.
    NotResumed,
}

/// One drill, with its times (ms since 1970).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drill {
    /// The receipt of its halt.
    pub receipt_id: String,
    /// What was halted.
    pub scope: Scope,
    /// Who drilled.
    pub actor: Actor,
    /// When HALT was pressed.
    pub pressed_ms: i64,
    /// When the flags confirmed.
    pub flags_ms: Option<i64>,
    /// When the control item confirmed.
    pub control_ms: Option<i64>,
    /// When nothing was in flight and nothing unknown any more; absent if that did not come in time.
    pub quiet_ms: Option<i64>,
    /// What a check of the flags said (`halted_global`, `halted_customer`, `clear`, ...).
    pub flag_check: Option<String>,
    /// What the request for a permit was answered: a reason's code, or `granted`.
    pub permit: Option<String>,
    /// When new work could start again.
    pub resumed_ms: Option<i64>,
    /// What was wrong; absent when everything held.
    pub fault: Option<DrillFault>,
}

/// How a drill went.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a drill that found a fault leaves its scope halted"]
pub enum Drilled {
    /// It was done; see its fault.
    Done(Box<Drill>),
    /// The agent is halted: there is nothing to drill, and nothing was changed.
    NotRunning,
}

impl Interlock {
    /// Halts, waits for quiet, proves that flags and permits refuse, resumes in dry-run (a customer drill
    /// leaves the modes).
    ///
    /// # Errors
    /// [`InterlockError`] when the control item gave no answer before anything was halted.
    pub async fn drill(&self, ask: &DrillAsk) -> Result<Drilled, InterlockError> {
        if !self.control().await?.is_armed() {
            return Ok(Drilled::NotRunning);
        }
        let press =
            Press { actor: ask.actor.clone(), source: "drill".to_owned(), because: "drill".to_owned() };
        let pressed = self.press(&ask.scope, &press).await;
        let mut drill = begun(ask, &pressed);
        // FAIL-CLOSED: what did not hold is not resumed; a person looks first.
        drill.fault = self.prove(ask, &pressed.report, &mut drill).await.err();
        if let (None, ControlHalt::Latched(control)) = (drill.fault, &pressed.report.control) {
            drill.fault = self.end(ask, &pressed.token, control, &mut drill).await.err();
        }
        self.keep_drill(&drill).await;
        Ok(Drilled::Done(Box::new(drill)))
    }

    /// The last drill, if one is known.
    ///
    /// # Errors
    /// [`InterlockError`] when the store gave no answer.
    pub async fn last_drill(&self) -> Result<Option<Drill>, InterlockError> {
        let item = self.get(DRILL_KEY, STORE_TIMEOUT).await?;
        let body = item.as_ref().and_then(|item| item.get("body")).and_then(|body| body.as_s().ok());
        let read = |text: &String| {
            serde_json::from_str(text).map_err(|_| InterlockError::Malformed { attribute: "drill" })
        };
        body.map(read).transpose()
    }

    /// Both switches confirmed, nothing is under way, and neither lets a write start.
    async fn prove(&self, ask: &DrillAsk, report: &HaltReport, drill: &mut Drill) -> Result<(), DrillFault> {
        let ControlHalt::Latched(control) = &report.control else { return Err(DrillFault::ControlSilent) };
        let FlagHalt::Confirmed { .. } = report.flags else { return Err(DrillFault::FlagsSilent) };
        drill.quiet_ms = self.wait_for_quiet(&ask.scope, control, ask.quiet_within).await;
        let customer = customer_of(&ask.scope).ok_or(DrillFault::Permit)?;
        let (said, held) = match (self.switch.check(Some(customer.as_str())).await, &ask.scope) {
            (Check::Halted(HaltedScope::Global), Scope::Global) => ("halted_global", true),
            (Check::Halted(HaltedScope::Customer), Scope::Customer(_)) => ("halted_customer", true),
            (Check::Halted(_), _) => ("halted_otherwise", false),
            (Check::Clear(_), _) => ("clear", false),
            (Check::Disarmed, _) => ("disarmed", false),
            (Check::Unreachable, _) => ("unreachable", false),
        };
        drill.flag_check = Some(said.to_owned());
        if !held {
            return Err(DrillFault::FlagCheck);
        }
        let expected = match ask.scope {
            Scope::Global => Reason::HaltedGlobal,
            Scope::Customer(_) => Reason::HaltedCustomer,
        };
        drill.permit = self.ask_for_permit(control, &customer).await;
        if drill.permit.as_deref() == Some(expected.code()) { Ok(()) } else { Err(DrillFault::Permit) }
    }

    /// Looks at the control item until the scope has no write left.
    async fn wait_for_quiet(&self, scope: &Scope, latched: &Control, within: Duration) -> Option<i64> {
        let is_quiet = |control: &Control, now_ms: i64| {
            let (live, unknown) = control.writes(scope, now_ms);
            live.is_empty() && unknown.is_empty()
        };
        if is_quiet(latched, self.clock.now_ms()) {
            return Some(self.clock.now_ms());
        }
        let look = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                if let Ok(control) = self.control().await
                    && is_quiet(&control, self.clock.now_ms())
                {
                    return self.clock.now_ms();
                }
            }
        };
        tokio::time::timeout(within, look).await.ok()
    }

    /// Asks for a permit as a run of the halted epoch would; nothing is ever sent with it.
    async fn ask_for_permit(&self, control: &Control, customer: &CustomerId) -> Option<String> {
        let live = control.modes.iter().find(|(_, mode)| **mode == Mode::Live);
        let tool = live.map_or("set_stage", |(tool, _)| tool.as_str());
        // Epoch and generation after the halt: only the halt itself can refuse.
        let go = Go {
            epoch: control.epoch,
            generation: control.generation(customer),
            customer: Some(customer.clone()),
            modes: control.modes.clone(),
        };
        let (run_id, intent_id) = (RunId::new("drill").ok()?, IntentId::new("drill").ok()?);
        let ask = PermitAsk {
            run_id: &run_id,
            intent_id: &intent_id,
            tool,
            target: "drill",
            customer_id: customer,
            invocation_deadline_ms: self.clock.now_ms().saturating_add(60_000),
            request_ms_max: 1_000,
        };
        match self.permit(&go, &ask).await {
            Ok(PermitAnswer::Refused(reason)) => Some(reason.code().to_owned()),
            Ok(PermitAnswer::Granted(permit)) => {
                self.give_back(permit).await;
                Some("granted".to_owned())
            }
            Err(_) => None,
        }
    }

    /// Resumes exactly the drill's own press: another one since then wins.
    async fn end(
        &self,
        ask: &DrillAsk,
        token: &str,
        control: &Control,
        drill: &mut Drill,
    ) -> Result<(), DrillFault> {
        let generation = match &ask.scope {
            Scope::Global => types::Generation::default(),
            Scope::Customer(id) => control.generation(id),
        };
        let rearm = RearmAsk {
            scope: ask.scope.clone(),
            epoch_shown: control.epoch,
            generation_shown: generation,
            seq_shown: token.to_owned(),
            actor: ask.actor.clone(),
            because: "the drill is over".to_owned(),
            source: "drill".to_owned(),
            modes: ModesAfter::DryRun,
        };
        match self.rearm(&rearm).await {
            Ok(Rearmed::Done { .. }) => {
                drill.resumed_ms = Some(self.clock.now_ms());
                Ok(())
            }
            Ok(Rearmed::PressedAgain) => Err(DrillFault::PressedAgain),
            Ok(Rearmed::NotHalted | Rearmed::FlagsSilent) | Err(_) => Err(DrillFault::NotResumed),
        }
    }

    /// Remembers the last drill. Best effort: the audit log has it too.
    async fn keep_drill(&self, drill: &Drill) {
        let Ok(body) = serde_json::to_string(drill) else { return };
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", AttributeValue::S(DRILL_KEY.to_owned()))
            .item("body", AttributeValue::S(body))
            .send();
        if !matches!(tokio::time::timeout(STORE_TIMEOUT, put).await, Ok(Ok(_))) {
            tracing::warn!("the drill was not noted as the last one");
        }
    }
}

fn begun(ask: &DrillAsk, pressed: &Pressed) -> Drill {
    let Pressed { report, id, .. } = pressed;
    Drill {
        receipt_id: id.clone(),
        scope: ask.scope.clone(),
        actor: ask.actor.clone(),
        pressed_ms: report.pressed_ms,
        flags_ms: report.flags_ms,
        control_ms: report.control_ms,
        quiet_ms: None,
        flag_check: None,
        permit: None,
        resumed_ms: None,
        fault: None,
    }
}

/// For whom a permit is asked: the halted customer, or the one of drills.
fn customer_of(scope: &Scope) -> Option<CustomerId> {
    match scope {
        Scope::Global => CustomerId::new(DRILL_CUSTOMER).ok(),
        Scope::Customer(id) => Some(id.clone()),
    }
}
