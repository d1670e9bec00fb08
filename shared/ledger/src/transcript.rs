//! One step's view of its run, and the one transaction that ends it. Must never rewrite a message or a
//! decision.
use crate::error::LedgerError;
use crate::run::digest20;
use crate::{
    Claim, Decision, Entry, Intent, IntentState, Ledger, PartRef, Run, RunStatus, STORE_TIMEOUT, in_time,
    keyed, n, s, sha256_hex,
};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnValue, TransactWriteItem};
use std::collections::{BTreeMap, HashMap};
use types::{CustomerId, DealId, RunId};

/// What claiming a step found.
#[derive(Debug)]
#[must_use = "only a claimed step may be worked on"]
pub enum Claimed {
    /// Mine until the claim's end.
    Mine(Box<Run>),
    /// Another invocation works on it, and the platform may not have ended it yet.
    Busy {
        /// When it certainly has (ms since 1970).
        until_ms: i64,
    },
    /// The run stands at another step, or has ended.
    Elsewhere(Box<Run>),
}

/// What asking for the customer's lease found. It orders runs; it is never a fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leased {
    /// Mine.
    Mine,
    /// Another run of this customer is under way.
    Busy,
}

/// Everything that a run has stored so far.
#[derive(Debug, Clone, Default)]
pub struct Transcript {
    /// The messages, in order.
    pub messages: Vec<Message>,
    /// Decisions by step.
    pub decisions: BTreeMap<u32, Decision>,
    /// Tool calls by step and index.
    pub intents: BTreeMap<(u32, usize), Intent>,
    /// The run's revision and holder when one request read all of this.
    seen: Option<(u64, Option<String>)>,
}

/// One message as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The exact bytes of this part of the request body.
    pub bytes: String,
    /// Where the audit finds them.
    pub part: PartRef,
}

/// What a step adds to its run, in one transaction.
#[derive(Debug, Default)]
pub struct Commit {
    /// Messages appended behind those that are there.
    pub messages: Vec<String>,
    /// Tool calls written or moved on.
    pub intents: Vec<Intent>,
    /// Audit entries.
    pub entries: Vec<Entry>,
}

/// A stored commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a commit that lost the race changed nothing"]
pub enum Stored {
    /// Everything is stored.
    Yes,
    /// Another invocation moved the run meanwhile; nothing was changed.
    Raced,
}

/// A tool call that still waits for an end, wherever its run stands.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Its run.
    pub run_id: RunId,
    /// The tool call.
    pub intent: Intent,
}

impl Ledger {
    /// Claims step `step` of a run for this invocation, and reads the run in the same request.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer or the run does not exist.
    pub async fn claim(&self, run_id: &RunId, step: u32, claim: &Claim) -> Result<Claimed, LedgerError> {
        let request = self
            .client
            .update_item()
            .table_name(&self.runs)
            .set_key(Some(keyed(&format!("run#{run_id}"), "run")))
            .update_expression("SET #owner = :me, #until = :until, #rev = #rev + :one")
            .condition_expression(
                "#n = :n AND #status IN (:queued, :running) \
                 AND (attribute_not_exists(#owner) OR #owner = :me OR #until < :now)",
            )
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_names("#until", "until")
            .expression_attribute_names("#rev", "rev")
            .expression_attribute_names("#n", "n")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":me", s(claim.owner.as_str()))
            .expression_attribute_values(":until", n(claim.until_ms))
            .expression_attribute_values(":now", n(self.clock.now_ms()))
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":n", n(i64::from(step)))
            .expression_attribute_values(":queued", s(RunStatus::Queued.code()))
            .expression_attribute_values(":running", s(RunStatus::Running.code()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(
                aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld,
            )
            .send();
        let silent = LedgerError::Store { operation: "claim a step", source: None };
        match tokio::time::timeout(STORE_TIMEOUT, request).await.map_err(|_| silent)? {
            Ok(output) => {
                let item = output.attributes.unwrap_or_default();
                Ok(Claimed::Mine(Box::new(Run::parse(&item)?)))
            }
            Err(error) => not_claimed(run_id, step, error.into_service_error()),
        }
    }

    /// Gives a claim back at an orderly end, so that the next invocation need not wait for this one's
    /// deadline. Best effort.
    pub async fn unclaim(&self, run_id: &RunId, claim: &Claim) {
        let request = self
            .client
            .update_item()
            .table_name(&self.runs)
            .set_key(Some(keyed(&format!("run#{run_id}"), "run")))
            .update_expression("REMOVE #owner, #until SET #rev = #rev + :one")
            .condition_expression("#owner = :me")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_names("#until", "until")
            .expression_attribute_names("#rev", "rev")
            .expression_attribute_values(":me", s(claim.owner.as_str()))
            .expression_attribute_values(":one", n(1))
            .send();
        if !matches!(tokio::time::timeout(STORE_TIMEOUT, request).await, Ok(Ok(_))) {
            tracing::debug!(%run_id, "the claim was not this invocation's any more, or was not given back");
        }
    }

    /// Asks for the customer's lease until `until_ms`, or renews it.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn lease(
        &self,
        customer: &CustomerId,
        run_id: &RunId,
        until_ms: i64,
    ) -> Result<Leased, LedgerError> {
        let request = self
            .client
            .update_item()
            .table_name(&self.runs)
            .set_key(Some(keyed(&format!("lease#{customer}"), "lease")))
            .update_expression("SET run_id = :me, #until = :until")
            .condition_expression("attribute_not_exists(pk) OR run_id = :me OR #until < :now")
            .expression_attribute_names("#until", "until")
            .expression_attribute_values(":me", s(run_id.as_str()))
            .expression_attribute_values(":until", n(until_ms))
            .expression_attribute_values(":now", n(self.clock.now_ms()))
            .send();
        let silent = LedgerError::Store { operation: "take a lease", source: None };
        match tokio::time::timeout(STORE_TIMEOUT, request).await.map_err(|_| silent)? {
            Ok(_) => Ok(Leased::Mine),
            Err(error) => {
                let error = error.into_service_error();
                if matches!(error, UpdateItemError::ConditionalCheckFailedException(_)) {
                    return Ok(Leased::Busy);
                }
                Err(LedgerError::store("take a lease", error))
            }
        }
    }

    /// Gives the customer's lease back, if it still is this run's. Best effort: a lease that is kept runs out
    /// by itself.
    pub async fn release(&self, customer: &CustomerId, run_id: &RunId) {
        let request = self
            .client
            .delete_item()
            .table_name(&self.runs)
            .set_key(Some(keyed(&format!("lease#{customer}"), "lease")))
            .condition_expression("run_id = :me")
            .expression_attribute_values(":me", s(run_id.as_str()))
            .send();
        if !matches!(tokio::time::timeout(STORE_TIMEOUT, request).await, Ok(Ok(_))) {
            tracing::debug!(%customer, %run_id, "the lease was not this run's any more, or was not given back");
        }
    }

    /// Counts one more run of a deal on a day; the count after it.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn count_run(&self, deal_id: &DealId, day: &str) -> Result<u64, LedgerError> {
        let expires = self.clock.now_ms().div_euclid(1_000).saturating_add(3 * 24 * 60 * 60);
        let request = self
            .client
            .update_item()
            .table_name(&self.runs)
            .set_key(Some(keyed(&format!("count#{day}#{deal_id}"), "count")))
            .update_expression("SET expires_at = :e ADD #c :one")
            .expression_attribute_names("#c", "count")
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":e", n(expires))
            .return_values(ReturnValue::UpdatedNew)
            .send();
        let output = in_time("count a run", request, SdkError::into_service_error).await?;
        let count = output.attributes.as_ref().and_then(|a| a.get("count")).and_then(|v| v.as_n().ok());
        count.and_then(|text| text.parse().ok()).ok_or(LedgerError::Malformed { row: "count" })
    }

    /// A run, read consistently.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer or the run does not exist.
    pub async fn run(&self, run_id: &RunId) -> Result<Run, LedgerError> {
        let run = self.find_run(run_id).await?;
        run.ok_or_else(|| LedgerError::NoRun { run_id: run_id.to_string() })
    }

    /// The same where it may well not exist.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn find_run(&self, run_id: &RunId) -> Result<Option<Run>, LedgerError> {
        self.row(&format!("run#{run_id}"), "run").await?.as_ref().map(Run::parse).transpose()
    }

    /// Everything that a run has stored besides its own row.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer or a row cannot be read.
    pub async fn transcript(&self, run_id: &RunId) -> Result<Transcript, LedgerError> {
        let pk = format!("run#{run_id}");
        let mut transcript = Transcript::default();
        let (rows, pages) = self.items_of_run("read a transcript", run_id).await?;
        for item in rows {
            transcript.add(&pk, &item)?;
        }
        if pages > 1 {
            transcript.seen = None;
        }
        Ok(transcript)
    }

    /// Every row of one run, its own among them, as it is stored; and in how many pages it came.
    pub(crate) async fn items_of_run(
        &self,
        operation: &'static str,
        run_id: &RunId,
    ) -> Result<(Vec<HashMap<String, AttributeValue>>, usize), LedgerError> {
        let (mut rows, mut pages, mut start) = (Vec::new(), 0_usize, None);
        loop {
            let request = self
                .client
                .query()
                .table_name(&self.runs)
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", s(&format!("run#{run_id}")))
                .consistent_read(true)
                .set_exclusive_start_key(start)
                .send();
            let output = in_time(operation, request, SdkError::into_service_error).await?;
            rows.extend(output.items.unwrap_or_default());
            pages = pages.saturating_add(1);
            start = output.last_evaluated_key;
            if start.is_none() {
                return Ok((rows, pages));
            }
        }
    }

    /// Stores bytes that many runs share (the frozen request prefix) once, by hash.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn put_shared(&self, bytes: &str) -> Result<PartRef, LedgerError> {
        let part = shared_part(bytes);
        if self.row(&part.pk, &part.sk).await?.is_some() {
            return Ok(part);
        }
        let put = Put::builder()
            .table_name(&self.runs)
            .set_item(Some(keyed(&part.pk, &part.sk)))
            .item("bytes", s(bytes))
            .build()
            .map_err(|error| LedgerError::store("store a shared part", error))?;
        self.transact("store a shared part", vec![TransactWriteItem::builder().put(put).build()]).await?;
        Ok(part)
    }

    /// Stores the model's answer once. The decision that is stored: this one, or the one that was there
    /// before.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    // INVARIANT (I22): a decision is stored before anything acts on it, and never asked for twice.
    pub async fn decide_once(&self, run_id: &RunId, decision: &Decision) -> Result<Decision, LedgerError> {
        let body =
            serde_json::to_string(decision).map_err(|error| LedgerError::store("store a decision", error))?;
        let (pk, sk) = (format!("run#{run_id}"), format!("decision#{:04}", decision.step));
        let again = types::mutant("decides_again");
        let once = if again { "attribute_not_exists(no_such)" } else { "attribute_not_exists(pk)" };
        let put = Put::builder()
            .table_name(&self.runs)
            .set_item(Some(keyed(&pk, &sk)))
            .item("body", s(&body))
            .condition_expression(once)
            .build()
            .map_err(|error| LedgerError::store("store a decision", error))?;
        let parts = vec![TransactWriteItem::builder().put(put).build()];
        if self.transact("store a decision", parts).await? {
            return Ok(decision.clone());
        }
        let row = self.row(&pk, &sk).await?.ok_or(LedgerError::Malformed { row: "decision" })?;
        body_of(&row, "decision")
    }

    /// Commits what a step adds, together with the run row. `run` is the row as it shall be; its revision is
    /// the one that was read, and moves on when the commit is stored.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer: it may or may not be stored; the next invocation finds
    /// out.
    // INVARIANT (I25, I26): a change and its entries are one transaction.
    pub async fn commit(&self, run: &mut Run, commit: Commit) -> Result<Stored, LedgerError> {
        let pk = format!("run#{}", run.run_id);
        let first = run.messages;
        run.messages = first.saturating_add(u32::try_from(commit.messages.len()).unwrap_or(u32::MAX));
        let mut parts = vec![TransactWriteItem::builder().put(self.put_run(run, false)?).build()];
        for (offset, bytes) in (first..).zip(&commit.messages) {
            let put = Put::builder()
                .table_name(&self.runs)
                .set_item(Some(keyed(&pk, &format!("msg#{offset:04}"))))
                .item("bytes", s(bytes))
                .condition_expression("attribute_not_exists(pk)")
                .build()
                .map_err(|error| LedgerError::store("store a message", error))?;
            parts.push(TransactWriteItem::builder().put(put).build());
        }
        for intent in &commit.intents {
            parts.push(self.put_intent(&pk, &run.run_id, intent)?);
        }
        for entry in &commit.entries {
            parts.push(self.outbox_put(entry)?);
        }
        if self.transact("commit a step", parts).await? {
            run.rev = run.rev.saturating_add(1);
            Ok(Stored::Yes)
        } else {
            run.messages = first;
            Ok(Stored::Raced)
        }
    }

    pub(crate) fn put_intent(
        &self,
        pk: &str,
        run_id: &RunId,
        intent: &Intent,
    ) -> Result<TransactWriteItem, LedgerError> {
        let body =
            serde_json::to_string(intent).map_err(|error| LedgerError::store("store an intent", error))?;
        let mut put = Put::builder()
            .table_name(&self.runs)
            .set_item(Some(keyed(pk, &format!("intent#{:04}#{:04}", intent.step, intent.index))))
            .item("body", s(&body))
            .item("args_hash", s(&intent.args_hash))
            .item("run_id", s(run_id.as_str()));
        let queue = match intent.state {
            IntentState::Planned | IntentState::Open | IntentState::Unknown => Some("open_intent"),
            IntentState::NeedsHuman => Some("needs_human"),
            IntentState::Closed => None,
        };
        if let Some(queue) = queue {
            let due = intent.read_back_ms.or(intent.sent_ms).unwrap_or_else(|| self.clock.now_ms());
            put = put.item("queue", s(queue)).item("at", n(due));
        }
        // The same intent never stands for another act.
        let put = put
            .condition_expression("attribute_not_exists(pk) OR args_hash = :args")
            .expression_attribute_values(":args", s(&intent.args_hash))
            .build()
            .map_err(|error| LedgerError::store("store an intent", error))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// Tool calls of a queue (`open_intent` or `needs_human`) that are due before `before_ms`.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn open_intents(&self, queue: &str, before_ms: i64) -> Result<Vec<Opened>, LedgerError> {
        let rows = self.queued(queue, before_ms).await?;
        let opened = |row: &HashMap<String, AttributeValue>| {
            let run_id = row.get("run_id").and_then(|v| v.as_s().ok()).cloned();
            let run_id =
                run_id.and_then(|id| RunId::new(id).ok()).ok_or(LedgerError::Malformed { row: "intent" })?;
            Ok(Opened { run_id, intent: body_of(row, "intent")? })
        };
        rows.iter().map(opened).collect()
    }

    /// Runs that met a halt before they began and wait for a person, oldest first.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn held(&self) -> Result<Vec<Run>, LedgerError> {
        let rows = self.queued("held", i64::MAX).await?;
        rows.iter().map(Run::parse).collect()
    }
}

impl Transcript {
    /// Does this hold everything that was stored before the run was claimed? It was read beside the claim,
    /// and whoever held the run in between may have added to it.
    #[must_use]
    pub fn is_whole(&self, claimed: &Run, claim: &Claim) -> bool {
        self.seen.as_ref().is_some_and(|(rev, owner)| match owner {
            // A dead holder's last writes may have come later, for they do not all move the revision.
            Some(owner) if owner != claim.owner.as_str() => false,
            Some(_) | None => claimed.rev.saturating_sub(*rev) <= 1,
        })
    }

    fn add(&mut self, pk: &str, item: &HashMap<String, AttributeValue>) -> Result<(), LedgerError> {
        let sk = item.get("sk").and_then(|v| v.as_s().ok()).ok_or(LedgerError::Malformed { row: "run" })?;
        match sk.split_once('#').map_or(sk.as_str(), |(kind, _)| kind) {
            "msg" => {
                let bytes = item.get("bytes").and_then(|v| v.as_s().ok());
                let bytes = bytes.ok_or(LedgerError::Malformed { row: "message" })?.clone();
                let part = PartRef { hash: sha256_hex(bytes.as_bytes()), pk: pk.to_owned(), sk: sk.clone() };
                self.messages.push(Message { bytes, part });
            }
            "decision" => {
                let decision: Decision = body_of(item, "decision")?;
                self.decisions.insert(decision.step, decision);
            }
            "intent" => {
                let intent: Intent = body_of(item, "intent")?;
                self.intents.insert((intent.step, intent.index), intent);
            }
            "run" => {
                let rev = item.get("rev").and_then(|v| v.as_n().ok()?.parse().ok());
                let owner = item.get("owner").and_then(|v| v.as_s().ok()).cloned();
                self.seen = rev.map(|rev| (rev, owner));
            }
            _ => {}
        }
        Ok(())
    }
}

pub(crate) fn body_of<T: serde::de::DeserializeOwned>(
    item: &HashMap<String, AttributeValue>,
    row: &'static str,
) -> Result<T, LedgerError> {
    let body = item.get("body").and_then(|v| v.as_s().ok()).ok_or(LedgerError::Malformed { row })?;
    serde_json::from_str(body).map_err(|_| LedgerError::Malformed { row })
}

fn not_claimed(run_id: &RunId, step: u32, error: UpdateItemError) -> Result<Claimed, LedgerError> {
    let UpdateItemError::ConditionalCheckFailedException(refused) = &error else {
        return Err(LedgerError::store("claim a step", error));
    };
    let item = refused.item.as_ref().filter(|item| !item.is_empty());
    let item = item.ok_or_else(|| LedgerError::NoRun { run_id: run_id.to_string() })?;
    let run = Run::parse(item)?;
    if run.n != step || !run.status.is_open() {
        return Ok(Claimed::Elsewhere(Box::new(run)));
    }
    let until = item.get("until").and_then(|v| v.as_n().ok()).and_then(|text| text.parse().ok());
    Ok(Claimed::Busy { until_ms: until.unwrap_or(i64::MAX) })
}

/// Where bytes lie that many runs share.
fn shared_part(bytes: &str) -> PartRef {
    let hash = sha256_hex(bytes.as_bytes());
    PartRef { pk: format!("frozen#{hash}"), sk: "frozen".to_owned(), hash }
}

/// A name for the `n`-th execution of a run: the run id, then `<run_id>-2`, `-3`, ...
impl Run {
    /// The name under which the next execution of this run is started.
    #[must_use]
    pub fn execution_name(&self) -> String {
        match self.executions {
            0 | 1 => self.run_id.to_string(),
            more => format!("{}-{more}", self.run_id),
        }
    }

    /// SHA-256 (20 hex) of a tool and its arguments without the agent's reason for it: the same act, however
    /// it is justified.
    #[must_use]
    pub fn act_hash(tool: &str, arguments: &serde_json::Value) -> String {
        let mut act = arguments.clone();
        if let Some(fields) = act.as_object_mut() {
            fields.remove("because");
        }
        Self::args_hash(tool, &act)
    }

    /// SHA-256 (20 hex) of a tool and its arguments.
    #[must_use]
    pub fn args_hash(tool: &str, arguments: &serde_json::Value) -> String {
        digest20(&format!("{tool}|{arguments}"))
    }
}
