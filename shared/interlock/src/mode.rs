//! `init` and the per-tool flip. Must never turn a tool live by default.
use crate::control::{HaltedBy, LogEntry, first_item};
use crate::error::InterlockError;
use crate::update::{STORE_TIMEOUT, Update, Updated};
use crate::{Interlock, LOG_MAX, short};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use types::{Actor, Mode, Target};

/// How a flip went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flipped {
    /// The tool is in that mode now.
    Done,
    /// It was in that mode already.
    Already,
    /// The item's log is full: a flip to live waits until a sweep has moved it, so that none goes unrecorded.
    LogFull,
}

impl Interlock {
    /// Puts the control item, halted and with everything in dry-run, unless there is one. True when it was
    /// put now.
    ///
    /// # Errors
    /// [`InterlockError`] when the store gave no answer.
    pub async fn init(&self, actor: &Actor) -> Result<bool, InterlockError> {
        let entry = LogEntry {
            id: self.fresh_id(),
            at_ms: self.clock.now_ms(),
            actor: actor.clone(),
            verb: "init".to_owned(),
            target: Target::new("agent", "global"),
            before: None,
            after: Some("halted".into()),
            because: "not_yet_armed".to_owned(),
            source: "cli".to_owned(),
        };
        let item = first_item(&actor.to_string(), entry.at_ms, &entry)?;
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .send();
        let silent = InterlockError::Store { operation: "init", source: None };
        match tokio::time::timeout(STORE_TIMEOUT, put).await.map_err(|_| silent)? {
            Ok(_) => Ok(true),
            Err(error) => {
                let error = error.into_service_error();
                if matches!(error, PutItemError::ConditionalCheckFailedException(_)) {
                    return Ok(false);
                }
                Err(InterlockError::Store { operation: "init", source: Some(Box::new(error)) })
            }
        }
    }

    /// Flips one tool. To dry-run it is honoured before the next write; to live from the next run on.
    ///
    /// # Errors
    /// [`InterlockError`] when the store gave no answer.
    pub async fn flip(
        &self,
        tool: &str,
        mode: Mode,
        actor: &Actor,
        because: &str,
        source: &str,
    ) -> Result<Flipped, InterlockError> {
        let entry = LogEntry {
            id: self.fresh_id(),
            at_ms: self.clock.now_ms(),
            actor: actor.clone(),
            verb: "flip".to_owned(),
            target: Target::new("tool", tool),
            before: Some(other(mode).code().into()),
            after: Some(mode.code().into()),
            because: short(because),
            source: short(source),
        };
        match self.flip_once(tool, mode, &entry, true).await? {
            Updated::Applied(_) => Ok(Flipped::Done),
            Updated::Refused(control) if control.modes.get(tool).copied().unwrap_or_default() == mode => {
                Ok(Flipped::Already)
            }
            // Toward safe is never refused for want of room in the log.
            Updated::Refused(_) if mode == Mode::DryRun => {
                self.flip_once(tool, mode, &entry, false).await.map(|_| Flipped::Done)
            }
            Updated::Refused(_) => Ok(Flipped::LogFull),
        }
    }

    async fn flip_once(
        &self,
        tool: &str,
        mode: Mode,
        entry: &LogEntry,
        logged: bool,
    ) -> Result<Updated, InterlockError> {
        let by = HaltedBy { by: entry.actor.to_string(), at_ms: entry.at_ms, reason: entry.because.clone() };
        // Absent means dry-run, so "is not in that mode" differs for the two.
        let moves = match mode {
            Mode::Live => "(attribute_not_exists(#mode.#t) OR #mode.#t <> :m)",
            Mode::DryRun => "#mode.#t <> :m",
        };
        let set = "SET #mode.#t = :m, #mode_changes.#t = :by";
        let update = if logged {
            let text = serde_json::to_string(entry).map_err(|error| InterlockError::Store {
                operation: "flip",
                source: Some(Box::new(error)),
            })?;
            Update::new(
                "flip a tool in",
                &format!("{set}, #log = list_append(#log, :entry)"),
                &format!("{moves} AND size(#log) < :log_max"),
            )
            .number(":log_max", LOG_MAX)
            .value(":entry", AttributeValue::L(vec![AttributeValue::S(text)]))
        } else {
            Update::new("flip a tool in", &format!("{set}, #log_folded = #log_folded + :one"), moves)
                .number(":one", 1)
        };
        update
            .name("#t", tool)
            .text(":m", mode.code())
            .json(":by", &by)?
            .send(&self.client, &self.table)
            .await
    }
}

fn other(mode: Mode) -> Mode {
    match mode {
        Mode::DryRun => Mode::Live,
        Mode::Live => Mode::DryRun,
    }
}
