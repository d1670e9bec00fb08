//! Data requests: what one person asked for, and how far it got. Must never keep who she was once it is done.
use crate::error::LedgerError;
use crate::{Entry, Ledger, in_time, keyed, n, s};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use types::{Actor, RequestId, RunId, Subject, Target, Timestamp};

/// Where all requests lie: few, and read together.
const REQUESTS: &str = "requests";
/// The queue of those that are not done.
const QUEUE: &str = "data_request";

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// A copy of what is held.
    Export,
    /// To be forgotten.
    Erase,
}

impl RequestKind {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Erase => "erase",
        }
    }
}

/// How far an erasure got. Each stage can be run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestStage {
    /// Visible; not begun.
    Opened,
    /// Her runs are being looked for.
    Finding,
    /// Her runs are being closed, and writes on their way are waited for.
    Stopping,
    /// What the halt page shows is being cleared.
    Showing,
    /// Rows are being erased.
    Erasing,
    /// Done.
    Done,
}

/// Whether the tables are looked through a second time: a step that was at work during the first look may
/// have stored since what it had read before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecondLook {
    /// No step was at work.
    #[default]
    NotNeeded,
    /// Once those steps have certainly ended.
    Due,
    /// It is under way, or over: what began later read what the CRM had then.
    Taken,
}

/// How much was found, or erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestCounts {
    /// Runs.
    pub runs: u64,
    /// Rows of the tables.
    pub rows: u64,
    /// Entries of the audit log.
    pub entries: u64,
    /// Parts of prompts.
    pub parts: u64,
}

/// One data request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataRequest {
    /// Its id.
    pub request_id: RequestId,
    /// Export or erasure.
    pub kind: RequestKind,
    /// How far it got.
    pub stage: RequestStage,
    /// Whom it is about; empty once it is done.
    pub subject: Subject,
    /// Why, in the words of who opened it; none once it is done and the words named her.
    pub because: Option<String>,
    /// Who opened it.
    pub opened_by: Actor,
    /// When (ms since 1970).
    pub opened_ms: i64,
    /// Carried out from then on (ms since 1970); `None`: waits for a person.
    pub not_before_ms: Option<i64>,
    /// When it was done.
    pub done_ms: Option<i64>,
    /// What was found or erased.
    pub counts: RequestCounts,
    /// Runs found so far; empty once it is done.
    pub runs: BTreeSet<RunId>,
    /// Where the search of the table goes on: partition and sort key.
    pub cursor: Option<(String, String)>,
    /// How often the search began anew because more was learned of her.
    pub rounds: u32,
    /// Writes of her runs, and steps that were at work during the search, may be on their way until then (ms
    /// since 1970).
    pub wait_until_ms: i64,
    /// Is there a second search after that?
    #[serde(default)]
    pub second_look: SecondLook,
    /// The log was searched up to this entry.
    pub searched_seq: i64,
    /// The log's prompt parts were searched up to this hash.
    pub searched_part: String,
    /// Entries that the search found.
    pub found: BTreeSet<i64>,
    /// The revision that a change must still find. Not part of the stored body.
    #[serde(skip)]
    pub rev: u64,
}

impl DataRequest {
    /// One that was just opened.
    #[must_use]
    pub fn new(
        request_id: RequestId,
        kind: RequestKind,
        subject: Subject,
        by: Actor,
        opened_ms: i64,
    ) -> Self {
        Self {
            request_id,
            kind,
            stage: RequestStage::Opened,
            subject,
            because: None,
            opened_by: by,
            opened_ms,
            not_before_ms: Some(opened_ms),
            done_ms: None,
            counts: RequestCounts::default(),
            runs: BTreeSet::new(),
            cursor: None,
            rounds: 0,
            wait_until_ms: 0,
            second_look: SecondLook::NotNeeded,
            searched_seq: 0,
            searched_part: String::new(),
            found: BTreeSet::new(),
            rev: 0,
        }
    }

    /// May it be carried out now?
    #[must_use]
    pub fn is_due(&self, now_ms: i64) -> bool {
        self.kind == RequestKind::Erase
            && self.stage != RequestStage::Done
            && self.not_before_ms.is_some_and(|from| from <= now_ms)
    }

    /// The entry that says that it was opened. It never says about whom: her ids are in the row, which
    /// forgets them.
    #[must_use]
    pub fn opened_entry(&self) -> Entry {
        self.entry(&format!("open_{}", self.kind.code()), self.opened_ms, serde_json::Value::Null)
    }

    /// An entry about this request, once per verb.
    #[must_use]
    pub fn entry(&self, verb: &str, at_ms: i64, detail: serde_json::Value) -> Entry {
        // A reason that names her by an id would be found by no search for names.
        let people = self.subject.people();
        Entry {
            event_no: self.opened_ms.unsigned_abs(),
            because: self.because.clone().filter(|text| !people.iter().any(|id| text.contains(id.as_str()))),
            detail: Some(detail).filter(|detail| !detail.is_null()),
            ..Entry::new(
                "data_request",
                format_args!("{}#{verb}", self.request_id),
                Timestamp::from_millisecond(at_ms).unwrap_or_default(),
                self.opened_by.clone(),
                verb,
                Target::new("request", &self.request_id),
            )
        }
    }

    /// An id: the day, and eight digits of the hash of what sets it apart.
    ///
    /// # Errors
    /// [`LedgerError::Malformed`] never happens: it is made of digits.
    pub fn id_of(opened_ms: i64, apart: &str) -> Result<RequestId, LedgerError> {
        let day = Timestamp::from_millisecond(opened_ms).unwrap_or_default().strftime("%Y%m%d").to_string();
        let hash = crate::sha256_hex(apart.as_bytes());
        RequestId::new(format!("R-{day}-{}", hash.get(..8).unwrap_or_default()))
            .map_err(|_| LedgerError::Malformed { row: "request" })
    }

    fn parse(item: &HashMap<String, AttributeValue>) -> Result<Self, LedgerError> {
        let malformed = || LedgerError::Malformed { row: "request" };
        let mut request: Self = crate::transcript::body_of(item, "request")?;
        let rev = item.get("rev").and_then(|v| v.as_n().ok()).and_then(|n| n.parse().ok());
        request.rev = rev.ok_or_else(malformed)?;
        Ok(request)
    }
}

impl Ledger {
    /// Opens a request together with the entry that says so. False when this id is there already.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn open_request(&self, request: &DataRequest, entry: &Entry) -> Result<bool, LedgerError> {
        let mut parts = vec![self.put_request(request, true)?];
        if !types::mutant("request_without_entry") {
            parts.push(self.outbox_put(entry)?);
        }
        self.transact("open a data request", parts).await
    }

    /// Stores a request that was read and changed, with the entries of that change. False when somebody else
    /// changed it meanwhile.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn save_request(
        &self,
        request: &mut DataRequest,
        entries: &[Entry],
    ) -> Result<bool, LedgerError> {
        let mut parts = vec![self.put_request(request, false)?];
        for entry in entries {
            parts.push(self.outbox_put(entry)?);
        }
        let saved = self.transact("save a data request", parts).await?;
        if saved {
            request.rev = request.rev.saturating_add(1);
        }
        Ok(saved)
    }

    fn put_request(&self, request: &DataRequest, new: bool) -> Result<TransactWriteItem, LedgerError> {
        let operation = "write a data request";
        let body = serde_json::to_string(request).map_err(|error| LedgerError::store(operation, error))?;
        let seen = i64::try_from(request.rev).unwrap_or(i64::MAX);
        let mut put = Put::builder()
            .table_name(&self.runs)
            .set_item(Some(keyed(REQUESTS, request.request_id.as_str())))
            .item("body", s(&body))
            .item("rev", n(if new { 1 } else { seen.saturating_add(1) }));
        if request.stage != RequestStage::Done {
            put = put.item("queue", s(QUEUE)).item("at", n(request.opened_ms));
        }
        put = if new {
            put.condition_expression("attribute_not_exists(pk)")
        } else {
            put.condition_expression("rev = :seen").expression_attribute_values(":seen", n(seen))
        };
        let put = put.build().map_err(|error| LedgerError::store(operation, error))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// A request by its id.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer, or the row cannot be read.
    pub async fn request(&self, id: &RequestId) -> Result<Option<DataRequest>, LedgerError> {
        self.row(REQUESTS, id.as_str()).await?.as_ref().map(DataRequest::parse).transpose()
    }

    /// Requests that are not done, oldest first.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn open_requests(&self) -> Result<Vec<DataRequest>, LedgerError> {
        let mut open = Vec::new();
        for row in self.queued(QUEUE, i64::MAX).await? {
            // The index may be behind: the row itself says what is so.
            let id = row.get("sk").and_then(|v| v.as_s().ok()).and_then(|id| RequestId::new(id).ok());
            let id = id.ok_or(LedgerError::Malformed { row: "request" })?;
            open.extend(self.request(&id).await?.filter(|request| request.stage != RequestStage::Done));
        }
        Ok(open)
    }

    /// The newest requests, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn requests(&self, limit: i32) -> Result<Vec<DataRequest>, LedgerError> {
        let request = self
            .client
            .query()
            .table_name(&self.runs)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", s(REQUESTS))
            .consistent_read(true)
            .scan_index_forward(false)
            .limit(limit)
            .send();
        let output = in_time("read the data requests", request, SdkError::into_service_error).await?;
        output.items.unwrap_or_default().iter().map(DataRequest::parse).collect()
    }
}
