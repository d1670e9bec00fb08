//! Halting: both stores in parallel, and no word more than what they confirmed. Must never be refused by a
//! full item.
use crate::control::{Control, HaltedBy, LogEntry, State};
use crate::error::InterlockError;
use crate::receipt::{FlagsSaid, say};
use crate::update::{Update, Updated};
use crate::{HALTED_CUSTOMERS_MAX, Interlock, LOG_MAX, flag_scope, short, target_of};
use kill_switch::FlagHalt;
use std::time::Duration;
use types::{Actor, Scope};

/// How long one try in the flags may take.
const FLAG_TRY: Duration = Duration::from_secs(2);
/// When a press is answered, whatever is still open.
const ANSWER_WITHIN: Duration = Duration::from_millis(3_500);

/// One press.
#[derive(Debug, Clone)]
pub struct Press {
    /// Who.
    pub actor: Actor,
    /// `page`, `slack_link`, `console`, `cli`, `cap`, `flag`, `drill`.
    pub source: String,
    /// A code (`pressed`, `usd_per_day`, `drill`, ...) or the person's own words; at most 300 bytes are kept.
    pub because: String,
}

/// What is known after a press.
#[derive(Debug)]
pub struct HaltReport {
    /// When the press arrived (ms since 1970).
    pub pressed_ms: i64,
    /// What the flags confirmed.
    pub flags: FlagHalt,
    /// When they did (ms since 1970).
    pub flags_ms: Option<i64>,
    /// What the control item confirmed.
    pub control: ControlHalt,
    /// When it did (ms since 1970).
    pub control_ms: Option<i64>,
}

/// How a halt went in the control item.
#[derive(Debug)]
pub enum ControlHalt {
    /// Latched; the item of the same atomic answer, permits in flight included.
    Latched(Box<Control>),
    /// No confirmation. It may or may not have arrived.
    Failed(InterlockError),
}

/// One press that was answered for, with its names.
pub(crate) struct Pressed {
    pub(crate) report: HaltReport,
    /// In the log, and on the receipt.
    pub(crate) id: String,
    /// In the flags' press counter.
    pub(crate) token: String,
}

/// How a latch went.
enum Latch {
    /// It is latched, by this very update.
    Latched(Box<Control>),
    /// Nothing was changed: somebody halted or re-armed since it was read.
    MovedOn(Box<Control>),
}

/// What the next update must do, judged by the item that the last one returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    /// The scope is halted already: keep the first presser.
    already: bool,
    /// The log is full: count the press instead of appending it.
    fold: bool,
}

impl Interlock {
    /// Halts a scope in both stores, in parallel, each tried again until the answer is due.
    ///
    /// Once both have answered it leaves a receipt, which may take 200 ms at most and never changes the
    /// answer.
    pub async fn halt(&self, scope: &Scope, press: &Press) -> HaltReport {
        self.press(scope, press).await.report
    }

    /// [`Self::halt`], with the names of this one press.
    pub(crate) async fn press(&self, scope: &Scope, press: &Press) -> Pressed {
        let pressed_ms = self.clock.now_ms();
        let (id, token) = (self.fresh_id(), self.fresh_id());
        let flag_scope = flag_scope(scope);
        let flags = async {
            let mut last = FlagHalt::Failed;
            while last == FlagHalt::Failed {
                last = self.switch.halt(&flag_scope, &token, self.replicas, FLAG_TRY).await;
                if last == FlagHalt::Failed {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            (last, self.clock.now_ms())
        };
        let flags = async { tokio::time::timeout(ANSWER_WITHIN, flags).await.ok() };
        let control = async {
            let latched = if types::mutant("S3") {
                self.control().await
            } else if types::mutant("halt_needs_flags") && self.switch.read(&[]).await.is_none() {
                Err(InterlockError::Store { operation: "halt", source: None })
            } else {
                self.latch(scope, press, &id).await
            };
            (latched, self.clock.now_ms())
        };
        let control = async { tokio::time::timeout(ANSWER_WITHIN, control).await.ok() };
        let (flags, control) = tokio::join!(flags, control);
        let silent = || ControlHalt::Failed(InterlockError::Store { operation: "halt", source: None });
        let (control, control_ms) = match control {
            Some((Ok(item), at_ms)) => (ControlHalt::Latched(Box::new(item)), Some(at_ms)),
            Some((Err(error), _)) => (ControlHalt::Failed(error), None),
            None => (silent(), None),
        };
        let report = HaltReport {
            pressed_ms,
            flags: flags.map_or(FlagHalt::Failed, |(halt, _)| match halt {
                FlagHalt::TooFewAcks { acks } if types::mutant("S1") => FlagHalt::Confirmed { acks },
                FlagHalt::Confirmed { .. } | FlagHalt::TooFewAcks { .. } | FlagHalt::Failed => halt,
            }),
            flags_ms: flags.map(|(_, at_ms)| at_ms),
            control,
            control_ms,
        };
        if let ControlHalt::Latched(control) = &report.control {
            self.leave_receipt(&id, control, |receipt| say(receipt, &report)).await;
        }
        Pressed { report, id, token }
    }

    /// A tripped cap halts from inside a step: the control item, and `SETNX` of the flag, which is all that a
    /// step may do.
    ///
    /// # Errors
    /// [`InterlockError`] when the control item gave no answer; the flag may be set all the same.
    pub async fn trip(&self, scope: &Scope, press: &Press) -> Result<Control, InterlockError> {
        let flag_scope = flag_scope(scope);
        let id = self.fresh_id();
        let (control, flag) =
            tokio::join!(self.latch(scope, press, &id), self.switch.set_if_absent(&flag_scope));
        if let Ok(control) = &control {
            let said = if flag { FlagsSaid::Set } else { FlagsSaid::Failed };
            self.leave_receipt(&id, control, |receipt| receipt.flags = said).await;
        }
        if !flag {
            tracing::warn!(%scope, "a trip could not set the flag; the control item stops the agent, a sweep sets it");
        }
        control
    }

    /// Latches the control item: unconditional on the first try; after a silence it reads before it tries
    /// again, so that a late answer is recognised, and again if somebody else moved the item on meanwhile.
    /// `id` is the press's, in the log and on its receipt.
    pub(crate) async fn latch(
        &self,
        scope: &Scope,
        press: &Press,
        id: &str,
    ) -> Result<Control, InterlockError> {
        let entry = self.log_entry(scope, press, id);
        let (mut seen, mut was_silent) = (None, false);
        // Four: each time somebody else pressed or resumed in between.
        for _ in 0..4 {
            match self.latch_once(scope, press, &entry, seen.as_ref()).await {
                Ok(Latch::Latched(control)) => return Ok(*control),
                Ok(Latch::MovedOn(control)) if types::mutant("press_gives_way") => return Ok(*control),
                // WHY NOT an answer: a press on everything is none to a press on one customer, and the next
                // resume of everything would let her run.
                Ok(Latch::MovedOn(control)) => seen = Some(*control),
                Err(InterlockError::Store { .. }) if !was_silent => {
                    was_silent = true;
                    seen = Some(self.control().await?);
                }
                Err(error) => return Err(error),
            }
            let has_it = |seen: &mut Control| seen.log.iter().any(|logged| logged.id == entry.id);
            if let Some(seen) = seen.take_if(has_it) {
                return Ok(seen);
            }
        }
        Err(InterlockError::Store { operation: "halt", source: None })
    }

    /// Latches only if the item still is where it was read: for copies of a flag and for retries.
    pub(crate) async fn latch_if(
        &self,
        scope: &Scope,
        press: &Press,
        seen: &Control,
    ) -> Result<Control, InterlockError> {
        let id = self.fresh_id();
        let entry = self.log_entry(scope, press, &id);
        match self.latch_once(scope, press, &entry, Some(seen)).await? {
            Latch::Latched(control) => {
                self.leave_receipt(&id, &control, |receipt| receipt.flags = FlagsSaid::CameFromThem).await;
                Ok(*control)
            }
            Latch::MovedOn(control) => Ok(*control),
        }
    }

    async fn latch_once(
        &self,
        scope: &Scope,
        press: &Press,
        entry: &LogEntry,
        seen: Option<&Control>,
    ) -> Result<Latch, InterlockError> {
        let mut shape = seen.map_or(Shape { already: false, fold: false }, |item| shape_for(item, scope));
        // Four tries: the shape can change under us twice (armed/halted, log room), never for ever.
        for _ in 0..4 {
            let update = latch_update(scope, press, entry, shape, seen)?;
            match update.send(&self.client, &self.table).await? {
                Updated::Applied(control) => return Ok(Latch::Latched(control)),
                Updated::Refused(control) => {
                    if seen.is_some_and(|item| moved_on(item, &control, scope)) {
                        return Ok(Latch::MovedOn(control));
                    }
                    if is_customer_overflow(&control, scope) {
                        let all = Box::pin(self.latch(&Scope::Global, press, &entry.id)).await?;
                        return Ok(Latch::Latched(Box::new(all)));
                    }
                    shape = shape_for(&control, scope);
                }
            }
        }
        Err(InterlockError::Store { operation: "halt", source: None })
    }

    fn log_entry(&self, scope: &Scope, press: &Press, id: &str) -> LogEntry {
        LogEntry {
            id: id.to_owned(),
            at_ms: self.clock.now_ms(),
            actor: press.actor.clone(),
            verb: "halt".to_owned(),
            target: target_of(scope),
            before: None,
            after: Some("halted".into()),
            because: short(&press.because),
            source: short(&press.source),
        }
    }
}

fn shape_for(control: &Control, scope: &Scope) -> Shape {
    let already = match scope {
        Scope::Global => control.state == State::Halted,
        Scope::Customer(id) => control.halted_customers.contains_key(id),
    };
    Shape { already, fold: control.log.len() >= LOG_MAX }
}

/// Has somebody halted or re-armed this scope since it was read?
fn moved_on(seen: &Control, now: &Control, scope: &Scope) -> bool {
    let generation_moved = match scope {
        Scope::Global => false,
        Scope::Customer(id) => seen.generation(id) != now.generation(id),
    };
    seen.epoch != now.epoch || generation_moved
}

fn is_customer_overflow(control: &Control, scope: &Scope) -> bool {
    match scope {
        Scope::Global => false,
        Scope::Customer(id) => {
            control.halted_customers.len() >= HALTED_CUSTOMERS_MAX
                && !control.halted_customers.contains_key(id)
        }
    }
}

/// What a press changes, and under which condition.
fn latch_change(scope: &Scope, shape: Shape, seen: Option<&Control>) -> (String, String) {
    let (log, room) = if shape.fold {
        ("#log_folded = #log_folded + :one", "size(#log) >= :log_max")
    } else {
        ("#log = list_append(#log, :entry)", "size(#log) < :log_max")
    };
    let (mut change, mut condition) = match scope {
        Scope::Global if shape.already => {
            ("#epoch = #epoch + :one".to_owned(), format!("#state = :halted AND {room}"))
        }
        Scope::Global => (
            "#epoch = #epoch + :one, #state = :halted, #halted_by = :by".to_owned(),
            format!("#state <> :halted AND {room}"),
        ),
        Scope::Customer(_) => (
            "#cust_gen.#x = if_not_exists(#cust_gen.#x, :zero) + :one, \
             #cust_halted.#x = if_not_exists(#cust_halted.#x, :by)"
                .to_owned(),
            format!(
                "attribute_exists(#epoch) AND {room} \
                 AND (size(#cust_halted) < :customers_max OR attribute_exists(#cust_halted.#x))"
            ),
        ),
    };
    change.push_str(", ");
    change.push_str(log);
    condition.push_str(seen.map_or("", |item| as_it_was(item, scope)));
    (change, condition)
}

/// The condition that nobody halted or re-armed this scope since it was read.
fn as_it_was(seen: &Control, scope: &Scope) -> &'static str {
    match scope {
        Scope::Global => " AND #epoch = :seen",
        Scope::Customer(id) if seen.generations.contains_key(id) => {
            " AND #epoch = :seen AND #cust_gen.#x = :seen_gen"
        }
        Scope::Customer(_) => " AND #epoch = :seen AND attribute_not_exists(#cust_gen.#x)",
    }
}

// INVARIANT (I11): every press moves the epoch (or the customer's generation) on, also one that finds the
// scope halted: a re-arm prepared before it must not pass.
fn latch_update(
    scope: &Scope,
    press: &Press,
    entry: &LogEntry,
    shape: Shape,
    seen: Option<&Control>,
) -> Result<Update, InterlockError> {
    let halted_by =
        HaltedBy { by: press.actor.to_string(), at_ms: entry.at_ms, reason: short(&press.because) };
    let (change, condition) = latch_change(scope, shape, seen);
    let mut update = Update::new("halt", &format!("SET {change}"), &condition)
        .number(":one", 1)
        .number(":log_max", LOG_MAX);
    if !shape.fold {
        let text = serde_json::to_string(entry)
            .map_err(|error| InterlockError::Store { operation: "halt", source: Some(Box::new(error)) })?;
        let one = aws_sdk_dynamodb::types::AttributeValue::S(text);
        update = update.value(":entry", aws_sdk_dynamodb::types::AttributeValue::L(vec![one]));
    }
    update = match scope {
        Scope::Global if shape.already => update.text(":halted", "halted"),
        Scope::Global => update.text(":halted", "halted").json(":by", &halted_by)?,
        Scope::Customer(id) => update
            .name("#x", id.as_str())
            .number(":zero", 0)
            .number(":customers_max", HALTED_CUSTOMERS_MAX)
            .json(":by", &halted_by)?,
    };
    if let Some(item) = seen {
        update = update.number(":seen", item.epoch);
        if let Scope::Customer(id) = scope
            && let Some(generation) = item.generations.get(id)
        {
            update = update.number(":seen_gen", generation);
        }
    }
    Ok(update)
}
