//! Permits: one per non-GET request to the CRM, held in the control item while the request may still land.
//! Must never expire before the platform has certainly ended the holder.
use crate::control::{Control, HeldPermit};
use crate::error::InterlockError;
use crate::proof::{Go, Permit};
use crate::update::{Update, Updated};
use crate::{DEADLINE_MARGIN_MS, IN_FLIGHT_MAX, Interlock, UNKNOWN_MAX, in_force};
use kill_switch::{Check, HaltedScope};
use types::{CustomerId, Generation, IntentId, Mode, PermitId, Reason, RunId};

/// What a permit is asked for.
#[derive(Debug, Clone)]
pub struct PermitAsk<'a> {
    /// The run that will write.
    pub run_id: &'a RunId,
    /// The tool call it is for; its intent row is durable already.
    pub intent_id: &'a IntentId,
    /// The tool; its mode is a condition of the permit.
    pub tool: &'a str,
    /// What is written to (`deal:4411`).
    pub target: &'a str,
    /// Whose deal it is.
    pub customer_id: &'a CustomerId,
    /// When the platform ends this invocation (ms since 1970).
    pub invocation_deadline_ms: i64,
    /// The longest that the request itself may take (ms).
    pub request_ms_max: i64,
}

/// The answer.
#[derive(Debug)]
#[must_use = "without a permit nothing is sent"]
pub enum PermitAnswer {
    /// This one request may start.
    Granted(Permit),
    /// It may not; nothing is held.
    Refused(Reason),
}

impl Interlock {
    /// Asks for a permit: the control item first (P1), then the flags again (P2), then the time that is left
    /// (P3).
    ///
    /// # Errors
    /// [`InterlockError`] when the control item gave no answer: nothing may be sent, and the permit, should
    /// it have been granted after all, is given back or turns unknown at its deadline.
    // INVARIANT (I3, I4): the grant is conditional on armed, this epoch, this customer and a live tool, in
    // one update.
    pub async fn permit(&self, go: &Go, ask: &PermitAsk<'_>) -> Result<PermitAnswer, InterlockError> {
        let now_ms = self.clock.now_ms();
        let permit_id = PermitId::new(format!("p-{}", self.fresh_id()))
            .map_err(|_| InterlockError::Malformed { attribute: "inflight" })?;
        let held = HeldPermit {
            run_id: ask.run_id.clone(),
            intent_id: ask.intent_id.clone(),
            tool: ask.tool.to_owned(),
            target: ask.target.to_owned(),
            customer_id: ask.customer_id.clone(),
            deadline_ms: if types::mutant("H7") {
                now_ms.saturating_add(DEADLINE_MARGIN_MS)
            } else {
                ask.invocation_deadline_ms.saturating_add(DEADLINE_MARGIN_MS)
            },
            granted_ms: now_ms,
        };
        if types::mutant("H0") || types::mutant("H1") {
            let permit = Permit {
                permit_id,
                intent_id: ask.intent_id.clone(),
                customer_id: ask.customer_id.clone(),
                deadline_ms: held.deadline_ms,
            };
            let flagged = if types::mutant("H1") { self.second_look(go, ask).await } else { None };
            return Ok(flagged.map_or(PermitAnswer::Granted(permit), PermitAnswer::Refused));
        }
        match self.grant(go, ask, &permit_id, &held).await {
            Ok(Updated::Applied(_)) => {}
            Ok(Updated::Refused(control)) => {
                return Ok(PermitAnswer::Refused(why_refused(&control, go, ask)));
            }
            Err(error) => {
                // The grant may have been stored although its answer was lost; nobody will use it.
                self.drop_permit(&permit_id, ask.customer_id).await;
                return Err(error);
            }
        }
        let permit = Permit {
            permit_id,
            intent_id: ask.intent_id.clone(),
            customer_id: held.customer_id,
            deadline_ms: held.deadline_ms,
        };
        if let Some(reason) = self.second_look(go, ask).await {
            self.give_back(permit).await;
            return Ok(PermitAnswer::Refused(reason));
        }
        Ok(PermitAnswer::Granted(permit))
    }

    async fn grant(
        &self,
        go: &Go,
        ask: &PermitAsk<'_>,
        permit_id: &PermitId,
        held: &HeldPermit,
    ) -> Result<Updated, InterlockError> {
        let generation = match go.generation() {
            _ if types::mutant("permit_without_epoch") => "attribute_exists(#epoch)",
            Generation(0) => "attribute_not_exists(#cust_gen.#x)",
            Generation(_) => "#cust_gen.#x = :g",
        };
        let epoch = if types::mutant("permit_without_epoch") { "#epoch > :e" } else { "#epoch = :e" };
        let any_mode = types::mutant("permit_without_mode");
        let mode = if any_mode { "(#mode.#t = :live OR #epoch = :e)" } else { "#mode.#t = :live" };
        let condition = format!(
            "#state = :armed AND {epoch} AND attribute_not_exists(#cust_halted.#x) AND {generation} \
             AND {mode} AND attribute_not_exists(#inflight.#p) \
             AND size(#inflight) < :in_flight_max AND size(#unknown) < :unknown_max"
        );
        let mut update = Update::new("take a permit from", "SET #inflight.#p = :held", &condition)
            .name("#x", ask.customer_id.as_str())
            .name("#t", ask.tool)
            .name("#p", permit_id.as_str())
            .text(":armed", "armed")
            .number(":e", if types::mutant("permit_without_epoch") { types::Epoch(0) } else { go.epoch() })
            .text(":live", Mode::Live.code())
            .number(":in_flight_max", IN_FLIGHT_MAX)
            .number(":unknown_max", UNKNOWN_MAX)
            .json(":held", held)?;
        if go.generation() != Generation(0) && !types::mutant("permit_without_epoch") {
            update = update.number(":g", go.generation());
        }
        update.send(&self.client, &self.table).await
    }

    /// P2 and P3: the flags once more, and enough time to hear the answer.
    async fn second_look(&self, go: &Go, ask: &PermitAsk<'_>) -> Option<Reason> {
        if types::mutant("one_flag_check") {
            return None;
        }
        // FAIL-CLOSED: anything but a clear answer of this epoch refuses.
        match self.switch.check(Some(ask.customer_id.as_str())).await {
            _ if types::mutant("any_flag_answer") => {}
            Check::Clear(clear) if clear.epoch() == go.epoch().0 => {}
            Check::Clear(_) | Check::Disarmed => return Some(Reason::Disarmed),
            Check::Halted(HaltedScope::Global) => return Some(Reason::HaltedGlobal),
            Check::Halted(HaltedScope::Customer) => return Some(Reason::HaltedCustomer),
            Check::Unreachable => return Some(Reason::SwitchUnreachable),
        }
        self.is_out_of_time(ask).then_some(Reason::OutOfTime)
    }

    /// Could the request outlive its invocation, if it began now (P3)? Asked with the permit, and once more
    /// before the request leaves: what lies between took time.
    #[must_use]
    pub fn is_out_of_time(&self, ask: &PermitAsk<'_>) -> bool {
        let left_ms = ask.invocation_deadline_ms.saturating_sub(self.clock.now_ms());
        left_ms <= ask.request_ms_max.saturating_add(1_000)
    }

    /// Returns a permit whose request was never sent, or whose outcome is stored.
    pub async fn give_back(&self, permit: Permit) {
        self.drop_permit(&permit.permit_id, &permit.customer_id).await;
    }

    async fn drop_permit(&self, permit_id: &PermitId, customer: &CustomerId) {
        let update =
            Update::new("return a permit to", "REMOVE #inflight.#p", "attribute_exists(#inflight.#p)")
                .name("#p", permit_id.as_str());
        match update.send(&self.client, &self.table).await {
            Ok(Updated::Applied(control)) => self.note_end(permit_id, customer, &control, false).await,
            Ok(Updated::Refused(_)) => {}
            Err(error) => {
                tracing::warn!(%permit_id, %error, "a permit was not returned; it turns unknown at its deadline");
            }
        }
    }

    /// Moves a permit whose request was never answered to the unknown ones.
    ///
    /// # Errors
    /// [`InterlockError`] when the control item gave no answer; the permit then turns unknown at its
    /// deadline.
    pub async fn mark_unknown(&self, permit: Permit, ask: &PermitAsk<'_>) -> Result<(), InterlockError> {
        let held = HeldPermit {
            run_id: ask.run_id.clone(),
            intent_id: permit.intent_id.clone(),
            tool: ask.tool.to_owned(),
            target: ask.target.to_owned(),
            customer_id: ask.customer_id.clone(),
            deadline_ms: permit.deadline_ms,
            granted_ms: self.clock.now_ms(),
        };
        self.move_to_unknown(&permit.permit_id, &held).await
    }

    pub(crate) async fn move_to_unknown(
        &self,
        permit_id: &PermitId,
        held: &HeldPermit,
    ) -> Result<(), InterlockError> {
        if types::mutant("H8l") {
            self.drop_permit(permit_id, &held.customer_id).await;
            return Ok(());
        }
        let moved = Update::new(
            "move a permit to unknown in",
            "SET #unknown.#p = :held REMOVE #inflight.#p",
            "attribute_exists(#inflight.#p)",
        )
        .name("#p", permit_id.as_str())
        .json(":held", held)?
        .send(&self.client, &self.table)
        .await?;
        if let Updated::Applied(control) = moved {
            self.note_end(permit_id, &held.customer_id, &control, true).await;
        }
        Ok(())
    }

    /// Forgets every permit, in flight or unknown, of a tool call whose outcome is known and stored.
    ///
    /// # Errors
    /// [`InterlockError`] when the control item gave no answer.
    pub async fn resolve(&self, intent_id: &IntentId) -> Result<(), InterlockError> {
        let control = self.control().await?;
        let of = |map: &std::collections::BTreeMap<PermitId, HeldPermit>| {
            map.iter()
                .filter(|(_, held)| held.intent_id == *intent_id)
                .map(|(id, held)| (id.clone(), held.customer_id.clone()))
                .collect::<Vec<_>>()
        };
        for (permit_id, customer) in of(&control.unknown) {
            let resolved =
                Update::new("resolve a permit in", "REMOVE #unknown.#p", "attribute_exists(#unknown.#p)")
                    .name("#p", permit_id.as_str())
                    .send(&self.client, &self.table)
                    .await?;
            if let Updated::Applied(control) = resolved {
                self.note_end(&permit_id, &customer, &control, false).await;
            }
        }
        for (permit_id, customer) in of(&control.in_flight) {
            self.drop_permit(&permit_id, &customer).await;
        }
        Ok(())
    }
}

/// The first condition that did not hold, for the row and for the model.
fn why_refused(control: &Control, go: &Go, ask: &PermitAsk<'_>) -> Reason {
    if let Some((scope, _)) = in_force(control, Some(ask.customer_id)) {
        return match scope {
            types::Scope::Global => Reason::HaltedGlobal,
            types::Scope::Customer(_) => Reason::HaltedCustomer,
        };
    }
    if control.epoch != go.epoch() || control.generation(ask.customer_id) != go.generation() {
        return Reason::OldEpoch;
    }
    if control.modes.get(ask.tool).copied().unwrap_or_default() != Mode::Live {
        return Reason::DryRun;
    }
    Reason::PermitsExhausted
}
