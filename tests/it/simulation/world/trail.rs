//! The way of a world's audit entries: from the outbox by the stream or the sweep into the log, with what can
//! go wrong on it. Must never be kinder to a row than the platform is.
use super::super::rig::AUDITS;
use super::super::tables;
use super::super::wire::{Answer, Held};
use super::{Fate, Job, World};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// How a life goes whose outbox is drained.
#[derive(Debug, Clone, Copy)]
pub struct Trail {
    /// In a thousand turns: how often the stream calls, the sweep comes, the log goes away or comes back, and
    /// a record leaves the stream unread because its day is over.
    pub stream: u32,
    pub sweep: u32,
    pub away: u32,
    pub lapse: u32,
    /// How often a person asks to be forgotten, until she has; at the end she does. 0: nobody does.
    pub forget: u32,
    /// How often somebody asks for a copy of what is held of her.
    pub copy: u32,
}

/// What the platform and the outbox remember.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// The rows as they were last seen, by id.
    rows: BTreeMap<String, Value>,
    /// The stream: records that no call has answered for, oldest first.
    stream: VecDeque<Value>,
    /// Records that were answered for: the platform may bring one again.
    read: Vec<Value>,
    numbers: u64,
    pub(super) log_down: bool,
}

impl World<'_> {
    /// Something may happen between the outbox and the log.
    pub(super) fn trail_turn(&mut self, trail: Trail) -> bool {
        if self.chance.of_1000(trail.away) {
            self.outbox.log_down = !self.outbox.log_down;
            self.note(format_args!("the log is {}", if self.outbox.log_down { "away" } else { "back" }));
            return true;
        }
        if self.chance.of_1000(trail.lapse) && !self.outbox.stream.is_empty() {
            let index = self.chance.below(self.outbox.stream.len());
            self.outbox.stream.remove(index);
            self.note("a record leaves the stream unread");
            return true;
        }
        if self.chance.of_1000(trail.stream) {
            return self.stream_calls();
        }
        if self.chance.of_1000(trail.forget) {
            return self.ask_to_forget();
        }
        if self.chance.of_1000(trail.copy) {
            return self.ask_for_a_copy();
        }
        self.chance.of_1000(trail.sweep) && self.sweep_outbox()
    }

    /// The stream calls with a batch: its next records, or some of several shards in any order, an old one
    /// again, and what is no row at all.
    fn stream_calls(&mut self) -> bool {
        let mut batch: Vec<Value> = if self.chance.of_1000(700) {
            let most = self.chance.between(1, 12);
            self.outbox.stream.iter().take(usize::try_from(most).unwrap()).cloned().collect()
        } else {
            let chance = &mut self.chance;
            let mut some: Vec<Value> =
                self.outbox.stream.iter().filter(|_| chance.of_1000(400)).cloned().collect();
            for at in (1..some.len()).rev() {
                some.swap(at, chance.below(at + 1));
            }
            some
        };
        if self.chance.of_1000(250) && !self.outbox.read.is_empty() {
            batch.push(self.chance.pick(&self.outbox.read).clone());
        }
        if self.chance.of_1000(100) {
            batch.push(json!({"eventName": "REMOVE", "dynamodb": {"SequenceNumber": "0", "Keys": {}}}));
        }
        if batch.is_empty() {
            return false;
        }
        let numbers = batch.iter().map(number_of).collect();
        self.ask_audit(Job::Stream { numbers }, json!({"Records": batch}))
    }

    pub(super) fn sweep_outbox(&mut self) -> bool {
        self.ask_audit(Job::SweepOutbox, json!({"sweep": "outbox"}))
    }

    pub(super) fn ask_audit(&mut self, job: Job, event: Value) -> bool {
        let Some(env) = self.free(AUDITS) else { return false };
        let Some(deps) = self.rig.audits.get(env - AUDITS.start).map(Arc::clone) else { return false };
        self.spawn(env, job, async move {
            let answer = audit::handle(&deps, event).await.map_err(|error| format!("{error:?}"))?;
            serde_json::to_value(answer).map_err(|error| error.to_string())
        });
        true
    }

    /// What the platform makes of the stream's answer: it keeps what failed.
    pub(super) fn stream_answered(&mut self, numbers: &BTreeSet<String>, answer: &Value) {
        let failed = answer["batchItemFailures"].as_array().cloned().unwrap_or_default();
        let failed: BTreeSet<&str> = failed.iter().filter_map(|one| one["itemIdentifier"].as_str()).collect();
        let done = |record: &Value| {
            let number = number_of(record);
            numbers.contains(&number) && !failed.contains(number.as_str())
        };
        let (done, left) = std::mem::take(&mut self.outbox.stream).into_iter().partition(done);
        self.outbox.stream = left;
        let done: VecDeque<Value> = done;
        self.outbox.read.extend(done);
    }

    /// A request to the log meets its fate.
    pub(super) fn release_log(&mut self, held: Held, connection: u64, bytes: &[u8], about: &str, fate: Fate) {
        let fate = if self.outbox.log_down { Fate::Lose } else { fate };
        let heard = fate == Fate::Pass && !held.answer.is_closed();
        let whether = if heard { "" } else { " (unheard)" };
        self.note(format_args!("env {} log {fate:?}{whether}: {about}", held.env));
        let gone = held.answer.is_closed();
        match fate {
            Fate::Lose => {}
            Fate::Refuse => drop(held.answer.send(Answer::Bytes(super::super::log::refusal()))),
            Fate::Pass | Fate::LoseAnswer => {
                let answer = self.rig.net.exchange(connection, |server| server.exchange(bytes));
                if let Some(answer) = answer.filter(|_| heard) {
                    drop(held.answer.send(Answer::Bytes(answer)));
                }
            }
        }
        // Without an answer a connection ends, and a server has no room for many.
        if gone || matches!(fate, Fate::Lose | Fate::LoseAnswer) {
            self.rig.net.hang_up(connection);
        }
    }

    /// The rows of the outbox, after somebody changed one: what is new goes into the stream.
    // INVARIANT (I25): a row that goes is in the log.
    pub(super) fn read_the_outbox(&mut self) {
        if self.rig.log.is_none() {
            return;
        }
        let rows: BTreeMap<String, Value> = self
            .scan("sim-outbox")
            .into_iter()
            .map(|row| (row["pk"]["S"].as_str().unwrap_or_default().to_owned(), row))
            .collect();
        let before = std::mem::replace(&mut self.outbox.rows, rows);
        let gone: Vec<&String> = before.keys().filter(|id| !self.outbox.rows.contains_key(*id)).collect();
        if !gone.is_empty() {
            self.totals.acknowledged += gone.len() as u64;
            self.in_the_log(&gone);
        }
        for (id, row) in &self.outbox.rows {
            if before.get(id) != Some(row) {
                self.outbox.numbers += 1;
                self.outbox.stream.push_back(json!({
                    "eventName": if before.contains_key(id) { "MODIFY" } else { "INSERT" },
                    "dynamodb": {"SequenceNumber": self.outbox.numbers.to_string(), "NewImage": row},
                }));
            }
        }
    }

    fn in_the_log(&self, ids: &[&String]) {
        let Some(log) = &self.rig.log else { return };
        let list: Vec<String> = ids.iter().map(|id| format!("'{}'", id.replace('\'', "''"))).collect();
        let list = list.join(",");
        let found = log.ask(&format!("SELECT entry_id FROM audit.entry WHERE entry_id IN ({list})"));
        let found: BTreeSet<&String> = found.iter().map(|row| &row[0]).collect();
        let lost: Vec<&&String> = ids.iter().filter(|id| !found.contains(*id)).collect();
        if !lost.is_empty() {
            self.truth().violations.push(format!("I25: the outbox let go of {lost:?}; the log has them not"));
        }
    }

    /// Every row of a table.
    pub(super) fn scan(&self, table: &str) -> Vec<Value> {
        let (mut rows, mut from) = (Vec::new(), Value::Null);
        loop {
            let mut ask = json!({"TableName": table});
            if !from.is_null() {
                ask["ExclusiveStartKey"] = from;
            }
            let (_, answer) = tables::ask(&self.db, "Scan", &ask.to_string());
            let mut answer: Value = serde_json::from_str(&answer).expect("rows");
            if let Value::Array(some) = answer["Items"].take() {
                rows.extend(some);
            }
            from = answer["LastEvaluatedKey"].take();
            if from.is_null() {
                return rows;
            }
        }
    }

    pub(super) fn outbox_is_empty(&self) -> bool {
        self.outbox.rows.is_empty()
    }

    // INVARIANT (I25, I27, I32): every entry is in the log once, as it was written; the chain is whole; no
    // row waits.
    pub(super) fn log_is_whole(&self, wrong: &mut Vec<String>) {
        let Some(log) = &self.rig.log else { return };
        if !self.outbox_is_empty() {
            let left: Vec<&String> = self.outbox.rows.keys().collect();
            wrong.push(format!("I32: the outbox still holds {left:?}"));
        }
        let rows = log.ask(
            "SELECT seq, encode(prev, 'hex'), encode(hash, 'hex'), entry_id, verb, state, run_id, intent_id, \
             event_no FROM audit.entry ORDER BY seq",
        );
        let mut prev = "00".repeat(32);
        let mut known: BTreeSet<&str> = BTreeSet::new();
        let truth = self.truth();
        for (row, seq) in rows.iter().zip(1..) {
            let [at, of, hash, id, verb, state, run, intent, no] = &row[..] else { panic!("nine columns") };
            if *at != seq.to_string() || *of != prev {
                wrong.push(format!("I27: row {seq} is {at}, after {of} and not after {prev}"));
            }
            prev.clone_from(hash);
            if !known.insert(id) {
                wrong.push(format!("I25: {id} is in the log twice"));
            }
            match truth.entries.get(id) {
                Some(e) if (&e.verb, &e.state, &e.run, &e.intent) != (verb, state, run, intent) => {
                    wrong.push(format!("I25: {id} is {row:?} in the log and was written as {e:?}"));
                }
                Some(entry) if entry.event_no.to_string() != *no => {
                    wrong.push(format!("I25: {id} is number {no} in the log and was {}", entry.event_no));
                }
                Some(_) => {}
                // The log writes it itself, in the statement that erases.
                None if verb == "erase_subject" => {}
                None => wrong.push(format!("I25: {id} is in the log and nobody wrote it")),
            }
        }
        let lost: Vec<&String> = truth.entries.keys().filter(|id| !known.contains(id.as_str())).collect();
        if !lost.is_empty() {
            wrong.push(format!("I25: {lost:?} never came into the log"));
        }
        let head = log.ask("SELECT seq, encode(hash, 'hex') FROM audit.head");
        if head != [[rows.len().to_string(), prev]] {
            wrong.push(format!("I27: the head is {head:?} after {} rows", rows.len()));
        }
        match log.verify() {
            Ok(verified) if verified.first_bad.is_none() => {}
            other => wrong.push(format!("I27: the log does not verify: {other:?}")),
        }
        let parked = log.ask("SELECT entry_id, why FROM audit.parked");
        if !parked.is_empty() {
            wrong.push(format!("I25: the log refused {parked:?}"));
        }
    }

    pub(super) fn logged(&self) -> u64 {
        let count = self.rig.log.as_ref().map(|log| log.ask("SELECT seq FROM audit.head"));
        count.and_then(|rows| rows[0][0].parse().ok()).unwrap_or_default()
    }
}

fn number_of(record: &Value) -> String {
    record["dynamodb"]["SequenceNumber"].as_str().unwrap_or_default().to_owned()
}
