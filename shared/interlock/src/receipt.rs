//! Halt receipts: who halted what, which writes were under way, how each of them ended. Must never refuse a
//! halt, nor hold its answer up for longer than a fifth of a second.
//!
//! A receipt is one item `receipt#<id>` beside the control item; its id is that of the press in the log. The
//! request that halted writes it, best effort; a sweep makes the one that got lost from the log, and follows
//! each until it is quiet.
use crate::control::{Control, HeldPermit, LogEntry};
use crate::error::InterlockError;
use crate::halt::HaltReport;
use crate::update::STORE_TIMEOUT;
use crate::view::{LastWrites, recent_of};
use crate::{Interlock, in_force};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use kill_switch::FlagHalt;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use types::{Actor, CustomerId, Epoch, Generation, IntentId, PermitId, Reason, RunId, Scope};

/// The version of [`Receipt`]'s shape.
pub const RECEIPT_SCHEMA_VERSION: u32 = 1;
/// How long receipts are kept (ms).
pub const RECEIPTS_KEPT_MS: i64 = 90 * 24 * 60 * 60 * 1_000;
/// How long a halt that the stores have answered may take to leave its receipt; then the sweep makes it.
const RECEIPT_WITHIN: Duration = Duration::from_millis(200);
const RECEIPT: &str = "receipt#";
const END: &str = "ended#";

/// What the flags said to the press.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum FlagsSaid {
    /// In the primary and in as many replicas as were asked for.
    Confirmed {
        /// Replicas that acknowledged.
        acks: u32,
    },
    /// In the primary, in fewer replicas than were asked for.
    TooFewAcks {
        /// Replicas that acknowledged.
        acks: u32,
    },
    /// A tripped cap set it; a step asks for no replicas.
    Set,
    /// The halt came from the flags.
    CameFromThem,
    /// No confirmation.
    Failed,
    /// Nobody kept it: the receipt was made from the log.
    NotRecorded,
}

/// Where a receipt comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Made {
    /// The request that halted wrote it: the writes under way are those of the halt's own answer.
    ByPress,
    /// A sweep made it from the log: a write that ended before the sweep is not listed, and quiet is "at the
    /// latest".
    FromLog,
}

/// Where a write stood when HALT was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtPress {
    /// Its permit was held.
    InFlight,
    /// Its outcome was unknown.
    Unknown,
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HowEnded {
    /// It is in the CRM.
    Applied,
    /// The CRM refused it, or it is known not to be there.
    Rejected,
    /// The permit was given back; nothing was sent.
    Unused,
    /// A person closed it without knowing, or its run was erased.
    Unresolved,
}

/// The end of one write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteEnd {
    /// How.
    pub how: HowEnded,
    /// When its permit was given back or forgotten (ms since 1970).
    pub at_ms: i64,
    /// False: nobody noted the moment, and this is when a sweep saw it.
    pub exact: bool,
    /// Why, as a code, where it was not simply done.
    pub reason: Option<Reason>,
}

/// One write that was under way or unknown at the press.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptWrite {
    /// Its permit.
    pub permit_id: PermitId,
    /// The run.
    pub run_id: RunId,
    /// The tool call.
    pub intent_id: IntentId,
    /// The tool.
    pub tool: String,
    /// What is written to (`deal:4411`).
    pub target: String,
    /// Whose deal.
    pub customer_id: CustomerId,
    /// When the platform has certainly ended its invocation (ms since 1970).
    pub deadline_ms: i64,
    /// Where it stood at the press.
    pub at_press: AtPress,
    /// When it became unknown after the press, if it did (ms since 1970).
    pub unknown_ms: Option<i64>,
    /// Its end, once known.
    pub end: Option<WriteEnd>,
}

/// The last confirmed write before or after a press.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastWrite {
    /// When it was confirmed (ms since 1970).
    pub at_ms: i64,
    /// Its run.
    pub run_id: String,
    /// The tool.
    pub tool: String,
    /// What was written to (`deal:4411`).
    pub target: String,
    /// The tool call, once found in its run.
    pub intent_id: Option<IntentId>,
}

/// One halt, from the press to true quiet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// [`RECEIPT_SCHEMA_VERSION`] when written.
    pub schema_version: u32,
    /// The press's id in the control item's log; the audit entry of the halt is `control#<id>`.
    pub id: String,
    /// Counts the changes of this receipt.
    pub rev: u64,
    /// Everything, or one customer.
    pub scope: Scope,
    /// Who.
    pub actor: Actor,
    /// `page`, `slack_link`, `console`, `cli`, `cap`, `flag`, `drill`.
    pub source: String,
    /// Why: a code or the person's words.
    pub because: String,
    /// Where this receipt comes from.
    pub made: Made,
    /// When HALT arrived (ms since 1970); of a receipt from the log: when the press was put into it.
    pub pressed_ms: i64,
    /// What the flags said.
    pub flags: FlagsSaid,
    /// When they did (ms since 1970).
    pub flags_ms: Option<i64>,
    /// When the control item confirmed (ms since 1970); unknown where the receipt is from the log.
    pub control_ms: Option<i64>,
    /// The epoch after the halt; unknown where the receipt is from the log.
    pub epoch: Option<Epoch>,
    /// The customer's generation after it.
    pub generation: Option<Generation>,
    /// Writes that were under way or unknown.
    pub writes: Vec<ReceiptWrite>,
    /// The last model call that was reserved, of the whole install, as seen while this scope was halted (ms
    /// since 1970).
    pub last_model_call_ms: Option<i64>,
    /// The last write of this scope confirmed before the press, if it is known.
    pub last_write_before: Option<LastWrite>,
    /// The last one confirmed after it.
    pub last_write_after: Option<LastWrite>,
    /// True quiet: no permit and no unknown outcome of this halt is left (ms since 1970).
    pub quiet_ms: Option<i64>,
    /// False: quiet came at `quiet_ms` at the latest.
    pub quiet_exact: bool,
    /// When the scope was resumed, once known (ms since 1970).
    pub resumed_ms: Option<i64>,
    /// Is it in the audit log's outbox?
    pub filed: bool,
}

/// When a permit left the control item while its scope was halted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PermitEnd {
    /// When it became unknown (ms since 1970).
    pub unknown_ms: Option<i64>,
    /// When it was given back or forgotten (ms since 1970).
    pub ended_ms: Option<i64>,
}

/// Everything that the table holds of receipts.
#[derive(Debug, Clone, Default)]
pub struct ReceiptBook {
    /// The receipts, newest first.
    pub receipts: Vec<Receipt>,
    /// When permits ended.
    pub ends: BTreeMap<PermitId, PermitEnd>,
    /// Items older than [`RECEIPTS_KEPT_MS`].
    old: Vec<String>,
}

impl Receipt {
    /// The receipt of a press, from the item that its own update returned.
    fn of_press(entry: &LogEntry, control: &Control, now_ms: i64) -> Self {
        let scope = scope_of(entry);
        let (live, unknown) = held_of(control, &scope, now_ms);
        let live = live.into_iter().map(|held| (held, AtPress::InFlight));
        let unknown = unknown.into_iter().map(|held| (held, AtPress::Unknown));
        let generation = match &scope {
            Scope::Global => None,
            Scope::Customer(id) => Some(control.generation(id)),
        };
        let mut receipt = Self {
            schema_version: RECEIPT_SCHEMA_VERSION,
            id: entry.id.clone(),
            // Above that of a receipt from the log, which it may replace: a sweep that holds that one loses.
            rev: 1_000,
            actor: entry.actor.clone(),
            source: entry.source.clone(),
            because: entry.because.clone(),
            made: Made::ByPress,
            pressed_ms: entry.at_ms,
            flags: FlagsSaid::NotRecorded,
            flags_ms: None,
            control_ms: Some(now_ms),
            epoch: Some(control.epoch),
            generation,
            writes: live.chain(unknown).map(|((id, held), at)| write_of(id, held, at)).collect(),
            last_model_call_ms: None,
            last_write_before: None,
            last_write_after: None,
            quiet_ms: None,
            quiet_exact: true,
            resumed_ms: None,
            filed: false,
            scope,
        };
        receipt.settle(now_ms);
        receipt
    }

    /// The receipt that got lost, from the log entry of its press. What ended since is not known any more.
    fn of_log(entry: &LogEntry, control: &Control, now_ms: i64) -> Self {
        let mut receipt = Self::of_press(entry, control, now_ms);
        (receipt.made, receipt.rev) = (Made::FromLog, 0);
        (receipt.control_ms, receipt.epoch, receipt.generation) = (None, None, None);
        // What was granted after the press belongs to a later resume.
        let before = |write: &ReceiptWrite| {
            let held = control.in_flight.get(&write.permit_id);
            held.is_none_or(|held| held.granted_ms <= entry.at_ms)
        };
        receipt.writes.retain(before);
        receipt.quiet_exact = false;
        receipt.quiet_ms = None;
        receipt.settle(now_ms);
        receipt
    }

    /// Says when it was quiet, once every write has its end. `now_ms` stands in where no moment is known.
    // INVARIANT (I2): quiet is no earlier than the end of every write that the halt's own answer named.
    pub fn settle(&mut self, now_ms: i64) {
        let ends: Option<Vec<&WriteEnd>> = self.writes.iter().map(|write| write.end.as_ref()).collect();
        let (Some(ends), None) = (ends, self.quiet_ms) else { return };
        if ends.iter().any(|end| !end.exact) {
            self.quiet_exact = false;
        }
        let latch_ms = self.control_ms.unwrap_or(now_ms);
        self.quiet_ms = ends.iter().map(|end| end.at_ms).chain([latch_ms]).max();
        let applied = self.writes.iter().filter_map(|write| {
            let end = write.end.as_ref().filter(|end| end.how == HowEnded::Applied)?;
            Some((end.at_ms, write))
        });
        self.last_write_after = applied.max_by_key(|(at_ms, _)| *at_ms).map(|(at_ms, write)| LastWrite {
            at_ms,
            run_id: write.run_id.to_string(),
            tool: write.tool.clone(),
            target: write.target.clone(),
            intent_id: Some(write.intent_id.clone()),
        });
    }

    /// Is the halt of this receipt still in force?
    #[must_use]
    pub fn in_force(&self, control: &Control) -> bool {
        self.resumed_ms.is_none()
            && match &self.scope {
                Scope::Global => !control.is_armed(),
                Scope::Customer(id) => control.halted_customers.contains_key(id),
            }
    }

    /// Notes a resume of this scope: the first one after the press, from the log or from the control item.
    pub fn note_resume(&mut self, control: &Control, log: &[LogEntry]) {
        if self.resumed_ms.is_some() {
            return;
        }
        let target = crate::target_of(&self.scope);
        // Within one batch the order says more than a clock.
        let pressed = log.iter().position(|entry| entry.id == self.id);
        let of_log = log
            .iter()
            .skip(pressed.unwrap_or(0))
            .filter(|entry| {
                entry.verb == "resume" && entry.target == target && entry.at_ms >= self.pressed_ms
            })
            .map(|entry| entry.at_ms);
        let armed = self.scope == Scope::Global && control.is_armed() && control.armed_ms >= self.pressed_ms;
        self.resumed_ms = of_log.chain(armed.then_some(control.armed_ms)).min();
    }
}

impl ReceiptWrite {
    /// Is its permit still in the control item, in flight or unknown? Notes since when it is unknown.
    pub fn still_held(
        &mut self,
        control: &Control,
        ends: &BTreeMap<PermitId, PermitEnd>,
        now_ms: i64,
    ) -> bool {
        let noted = ends.get(&self.permit_id).and_then(|end| end.unknown_ms);
        let unknown = control.unknown.contains_key(&self.permit_id);
        let in_flight = control.in_flight.contains_key(&self.permit_id);
        let overdue = in_flight && self.deadline_ms <= now_ms;
        if self.at_press == AtPress::InFlight && self.unknown_ms.is_none() {
            self.unknown_ms = noted.or(overdue.then_some(self.deadline_ms)).or(unknown.then_some(now_ms));
        }
        unknown || in_flight
    }

    /// Notes how it ended; the moment is the one that was kept when its permit left, else now.
    pub fn ended(
        &mut self,
        how: HowEnded,
        reason: Option<Reason>,
        ends: &BTreeMap<PermitId, PermitEnd>,
        now_ms: i64,
    ) {
        let noted = ends.get(&self.permit_id).and_then(|end| end.ended_ms);
        self.end = Some(WriteEnd { how, at_ms: noted.unwrap_or(now_ms), exact: noted.is_some(), reason });
    }
}

type Held<'a> = Vec<(&'a PermitId, &'a HeldPermit)>;

/// [`Control::writes`], with the ids of the permits.
fn held_of<'a>(control: &'a Control, scope: &Scope, now_ms: i64) -> (Held<'a>, Held<'a>) {
    let within = |(_, held): &(&PermitId, &HeldPermit)| match scope {
        Scope::Global => true,
        Scope::Customer(id) => held.customer_id == *id,
    };
    let (live, overdue): (Vec<_>, Vec<_>) =
        control.in_flight.iter().filter(within).partition(|(_, held)| held.deadline_ms > now_ms);
    (live, control.unknown.iter().filter(within).chain(overdue).collect())
}

fn write_of(permit_id: &PermitId, held: &HeldPermit, at_press: AtPress) -> ReceiptWrite {
    ReceiptWrite {
        permit_id: permit_id.clone(),
        run_id: held.run_id.clone(),
        intent_id: held.intent_id.clone(),
        tool: held.tool.clone(),
        target: held.target.clone(),
        customer_id: held.customer_id.clone(),
        deadline_ms: held.deadline_ms,
        at_press,
        unknown_ms: None,
        end: None,
    }
}

/// What a halt's log entry covers.
fn scope_of(entry: &LogEntry) -> Scope {
    match entry.target.kind.as_str() {
        // FAIL-CLOSED: a target that cannot be read is taken for everything, so that no write is left out.
        "customer" => CustomerId::new(entry.target.id.clone()).map_or(Scope::Global, Scope::Customer),
        _ => Scope::Global,
    }
}

fn silent(operation: &'static str) -> InterlockError {
    InterlockError::Store { operation, source: None }
}

impl Interlock {
    /// Leaves the receipt of a halt that the control item has confirmed. Best effort: a sweep makes a lost
    /// one.
    pub(crate) async fn leave_receipt(
        &self,
        id: &str,
        control: &Control,
        said: impl FnOnce(&mut Receipt) + Send,
    ) {
        // A press that found the log full, or that somebody else's change overtook, is only counted.
        let Some(entry) = control.log.iter().find(|entry| entry.id == id) else { return };
        let now_ms = self.clock.now_ms();
        let mut receipt = Receipt::of_press(entry, control, now_ms);
        said(&mut receipt);
        let leave = async {
            let recent = self.get("recent", RECEIPT_WITHIN).await.ok().flatten();
            let writes = recent.as_ref().map(|item| recent_of(item).writes).unwrap_or_default();
            receipt.last_write_before = last_before(&writes, &receipt);
            self.put_new(&receipt).await
        };
        match tokio::time::timeout(RECEIPT_WITHIN, leave).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%id, %error, "a receipt was not left; the sweep makes it"),
            Err(_) => tracing::warn!(%id, "a receipt was not left in time; the sweep makes it"),
        }
    }

    /// Makes the receipt of a logged press if it is not there. True when it was missing.
    ///
    /// # Errors
    /// [`InterlockError`] when the store gave no answer.
    pub async fn make_receipt(&self, entry: &LogEntry, control: &Control) -> Result<bool, InterlockError> {
        if entry.verb != "halt" || self.receipt(&entry.id).await?.is_some() {
            return Ok(false);
        }
        let mut receipt = Receipt::of_log(entry, control, self.clock.now_ms());
        let recent = self.get("recent", STORE_TIMEOUT).await?;
        let writes = recent.as_ref().map(|item| recent_of(item).writes).unwrap_or_default();
        receipt.last_write_before = last_before(&writes, &receipt);
        self.put_new(&receipt).await
    }

    /// A receipt by its id.
    ///
    /// # Errors
    /// [`InterlockError`] when the store gave no answer, or the item cannot be read.
    pub async fn receipt(&self, id: &str) -> Result<Option<Receipt>, InterlockError> {
        let item = self.get(&format!("{RECEIPT}{id}"), STORE_TIMEOUT).await?;
        item.as_ref().map(receipt_of).transpose()
    }

    /// The newest receipts, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`InterlockError`] when the store gave no answer.
    pub async fn receipts(&self, limit: usize) -> Result<Vec<Receipt>, InterlockError> {
        let mut receipts = self.receipt_book().await?.receipts;
        receipts.truncate(limit);
        Ok(receipts)
    }

    /// Everything of receipts, read consistently.
    ///
    /// # Errors
    /// [`InterlockError`] when the store gave no answer.
    // WHY NOT an index: the table holds a handful of items and ninety days of halts; a scan a minute costs
    // less.
    pub async fn receipt_book(&self) -> Result<ReceiptBook, InterlockError> {
        let operation = "read the receipts beside";
        let oldest_ms = self.clock.now_ms().saturating_sub(RECEIPTS_KEPT_MS);
        let (mut book, mut start) = (ReceiptBook::default(), None);
        loop {
            let request = self
                .client
                .scan()
                .table_name(&self.table)
                .filter_expression("begins_with(pk, :receipt) OR begins_with(pk, :end)")
                .expression_attribute_values(":receipt", AttributeValue::S(RECEIPT.to_owned()))
                .expression_attribute_values(":end", AttributeValue::S(END.to_owned()))
                .consistent_read(true)
                .set_exclusive_start_key(start)
                .send();
            let output = tokio::time::timeout(STORE_TIMEOUT, request).await.map_err(|_| silent(operation))?;
            let output = output.map_err(|error| failed(operation, error))?;
            for item in output.items.unwrap_or_default() {
                book.add(&item, oldest_ms);
            }
            start = output.last_evaluated_key;
            if start.is_none() {
                book.receipts.sort_by(|a, b| (b.pressed_ms, &b.id).cmp(&(a.pressed_ms, &a.id)));
                return Ok(book);
            }
        }
    }

    /// Stores a receipt that was read and changed. False when somebody else changed it meanwhile.
    ///
    /// # Errors
    /// [`InterlockError`] when the store gave no answer.
    pub async fn put_receipt(&self, receipt: &Receipt) -> Result<bool, InterlockError> {
        let next = Receipt { rev: receipt.rev.saturating_add(1), ..receipt.clone() };
        let seen = AttributeValue::N(receipt.rev.to_string());
        self.put_when(&next, "rev = :seen", Some((":seen", seen))).await
    }

    /// A press's own receipt, which may replace one that a sweep has just made of it; or the sweep's, where
    /// there is none.
    async fn put_new(&self, receipt: &Receipt) -> Result<bool, InterlockError> {
        let log = AttributeValue::S("from_log".to_owned());
        match receipt.made {
            Made::ByPress => {
                self.put_when(receipt, "attribute_not_exists(pk) OR open_from = :log", Some((":log", log)))
                    .await
            }
            Made::FromLog => self.put_when(receipt, "attribute_not_exists(pk)", None).await,
        }
    }

    async fn put_when(
        &self,
        receipt: &Receipt,
        condition: &str,
        value: Option<(&str, AttributeValue)>,
    ) -> Result<bool, InterlockError> {
        let operation = "write a receipt beside";
        let body = serde_json::to_string(receipt)
            .map_err(|error| InterlockError::Store { operation, source: Some(Box::new(error)) })?;
        let mut put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", AttributeValue::S(format!("{RECEIPT}{}", receipt.id)))
            .item("schema_version", AttributeValue::N(receipt.schema_version.to_string()))
            .item("rev", AttributeValue::N(receipt.rev.to_string()))
            .item("at", AttributeValue::N(receipt.pressed_ms.to_string()))
            .item("body", AttributeValue::S(body))
            .condition_expression(condition);
        if receipt.made == Made::FromLog && !receipt.filed {
            put = put.item("open_from", AttributeValue::S("from_log".to_owned()));
        }
        if let Some((name, value)) = value {
            put = put.expression_attribute_values(name, value);
        }
        match tokio::time::timeout(STORE_TIMEOUT, put.send()).await.map_err(|_| silent(operation))? {
            Ok(_) => Ok(true),
            Err(error) => {
                let refused = error.as_service_error();
                if refused.is_some_and(PutItemError::is_conditional_check_failed_exception) {
                    return Ok(false);
                }
                Err(failed(operation, error))
            }
        }
    }

    /// Deletes what is older than [`RECEIPTS_KEPT_MS`].
    ///
    /// # Errors
    /// [`InterlockError`] when the store gave no answer.
    pub async fn prune_receipts(&self, book: &ReceiptBook) -> Result<(), InterlockError> {
        let operation = "delete an old receipt beside";
        for pk in &book.old {
            let delete =
                self.client.delete_item().table_name(&self.table).key("pk", AttributeValue::S(pk.clone()));
            let output = tokio::time::timeout(STORE_TIMEOUT, delete.send()).await;
            output.map_err(|_| silent(operation))?.map_err(|error| failed(operation, error))?;
        }
        Ok(())
    }

    /// Keeps the moment at which a permit left the control item while its scope was halted. Best effort: a
    /// receipt without it says "at the latest".
    pub(crate) async fn note_end(
        &self,
        permit_id: &PermitId,
        customer: &CustomerId,
        control: &Control,
        unknown: bool,
    ) {
        if in_force(control, Some(customer)).is_none() {
            return;
        }
        let now = AttributeValue::N(self.clock.now_ms().to_string());
        let moment = if unknown { "unknown_ms" } else { "ended_ms" };
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(format!("{END}{permit_id}")))
            .update_expression("SET #at = :now, #moment = if_not_exists(#moment, :now)")
            .expression_attribute_names("#at", "at")
            .expression_attribute_names("#moment", moment)
            .expression_attribute_values(":now", now)
            .send();
        if !matches!(tokio::time::timeout(RECEIPT_WITHIN, update).await, Ok(Ok(_))) {
            tracing::debug!(%permit_id, "the end of a permit was not noted for a receipt");
        }
    }
}

impl ReceiptBook {
    /// An item that cannot be read is left out: another version's receipt must not stop the sweep of the log.
    fn add(&mut self, item: &HashMap<String, AttributeValue>, oldest_ms: i64) {
        let Some(pk) = item.get("pk").and_then(|pk| pk.as_s().ok()) else { return };
        let number = |name: &str| item.get(name)?.as_n().ok()?.parse::<i64>().ok();
        if number("at").is_some_and(|at_ms| at_ms < oldest_ms) {
            self.old.push(pk.clone());
        } else if let Some(id) = pk.strip_prefix(END) {
            if let Ok(permit_id) = PermitId::new(id) {
                let end = PermitEnd { unknown_ms: number("unknown_ms"), ended_ms: number("ended_ms") };
                self.ends.insert(permit_id, end);
            }
        } else {
            match receipt_of(item) {
                Ok(receipt) => self.receipts.push(receipt),
                Err(error) => tracing::warn!(%pk, %error, "a receipt cannot be read and is left out"),
            }
        }
    }
}

fn receipt_of(item: &HashMap<String, AttributeValue>) -> Result<Receipt, InterlockError> {
    let body = item.get("body").and_then(|body| body.as_s().ok());
    body.and_then(|text| serde_json::from_str(text).ok())
        .ok_or(InterlockError::Malformed { attribute: "receipt" })
}

fn last_before(writes: &LastWrites, receipt: &Receipt) -> Option<LastWrite> {
    let act = match &receipt.scope {
        Scope::Global => writes.last.as_ref(),
        Scope::Customer(id) => writes.customers.get(id),
    };
    let act = act.filter(|act| act.at_ms <= receipt.control_ms.unwrap_or(receipt.pressed_ms))?;
    Some(LastWrite {
        at_ms: act.at_ms,
        run_id: act.run_id.clone(),
        tool: act.tool.clone(),
        target: format!("deal:{}", act.deal_id),
        intent_id: None,
    })
}

fn failed<E, R>(operation: &'static str, error: SdkError<E, R>) -> InterlockError
where
    E: std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    InterlockError::Store { operation, source: Some(Box::new(error)) }
}

/// What a press's report adds to its receipt.
pub(crate) fn say(receipt: &mut Receipt, report: &HaltReport) {
    receipt.pressed_ms = report.pressed_ms;
    receipt.flags_ms = report.flags_ms;
    receipt.flags = match report.flags {
        FlagHalt::Confirmed { acks } => FlagsSaid::Confirmed { acks },
        FlagHalt::TooFewAcks { acks } => FlagsSaid::TooFewAcks { acks },
        FlagHalt::Failed => FlagsSaid::Failed,
    };
    if let Some(control_ms) = report.control_ms {
        // Nothing that was under way had ended by then, so only an idle halt moves with it.
        if receipt.quiet_ms.is_some() {
            receipt.quiet_ms = Some(control_ms);
        }
        receipt.control_ms = Some(control_ms);
    }
}
