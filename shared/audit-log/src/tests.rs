//! The log's promises on a real Postgres. Must never pass because a statement failed for another reason.

mod append;
mod erase;
mod hostile;
mod migrate;
mod mutants;
mod read;
mod retain;
mod roles;
mod tamper;

use crate::test_postgres::{connect, database};
use crate::{AppendResult, AuditLog};
use ledger::{Entry, PartRef, PromptRef};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use types::{Actor, EntryState, IntentId, Mode, Reason, RunId, Target, Tier, Timestamp};

/// 2026-03-09 10:00 UTC.
const START_S: i64 = 1_773_050_400;

struct Log {
    log: AuditLog,
    address: String,
    /// Bytes of prompt parts that wait elsewhere.
    parts: BTreeMap<String, Vec<u8>>,
}

impl Log {
    async fn new() -> Self {
        let address = database().await;
        let log = AuditLog::connect(&address).await.unwrap();
        log.migrate().await.unwrap();
        Self { log, address, parts: BTreeMap::new() }
    }

    async fn append(&self, entries: &[Entry]) -> Vec<AppendResult> {
        let fetch = |part: PartRef| async move { Ok::<_, Infallible>(self.parts.get(&part.hash).cloned()) };
        self.log.append(entries, fetch).await.unwrap()
    }

    /// Appends and expects all of them to be new.
    async fn filled(entries: &[Entry]) -> Self {
        let log = Self::new().await;
        let results = log.append(entries).await;
        assert!(results.iter().all(|r| matches!(r, AppendResult::Appended(_))), "{results:?}");
        log
    }

    /// Runs SQL as the owner of the database, who can do anything.
    async fn owner(&self, sql: &str) {
        connect(&self.address).await.batch_execute(sql).await.unwrap();
    }

    async fn count(&self, sql: &str) -> i64 {
        connect(&self.address).await.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// A prompt of these parts, whose bytes wait to be fetched.
    fn prompt(&mut self, parts: &[&[u8]]) -> PromptRef {
        let hash = |bytes: &[u8]| crate::canonical::hex(&crate::canonical::sha256(bytes));
        for part in parts {
            self.parts.insert(hash(part), part.to_vec());
        }
        let part = |bytes: &&[u8]| PartRef { hash: hash(bytes), pk: "run#r-1".into(), sk: "msg#1".into() };
        PromptRef { hash: hash(&parts.concat()), parts: parts.iter().map(part).collect() }
    }
}

/// Keeps where the log stood.
fn kept(verified: &crate::Verified) -> crate::Kept {
    crate::Kept { points: vec![verified.head.clone()], checkpoints: Vec::new() }
}

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(START_S + minutes * 60).unwrap()
}

/// One entry of a tool call of the agent: `n` is the event's number in the run and the minute it happened.
fn call(run: &str, n: u64, verb: &str, state: EntryState) -> Entry {
    let run = RunId::new(run).unwrap();
    Entry {
        schema_version: 1,
        entry_id: format!("{run}#{n}"),
        stream: run.to_string(),
        event_no: n,
        occurred_at: at(i64::try_from(n).unwrap()),
        actor: Actor::Agent(run.clone()),
        verb: verb.into(),
        target: Target::new("deal", "4411"),
        customer_id: Some(types::CustomerId::new("88").unwrap()),
        state,
        reason: (state != EntryState::Applied && state != EntryState::Opened).then_some(Reason::DryRun),
        mode: Some(if state == EntryState::WouldHave { Mode::DryRun } else { Mode::Live }),
        tier: Some(Tier::SemiReversible),
        intent_id: Some(IntentId::new(format!("i-{run}-{n}")).unwrap()),
        run_id: Some(run),
        step: Some(2),
        before: Some(json!({"dealstage": "negotiation"})),
        after: Some(json!({"dealstage": "closedlost"})),
        because: Some("the customer signed with somebody else".into()),
        detail: Some(json!({"arguments": {"stage": "closedlost"}})),
        prompt: None,
        model_version: Some("claude-haiku-5-5".into()),
        config_version: Some("17".into()),
        subjects: vec!["contact:501".into(), "Ann@Example.com".into()],
    }
}

/// The same call's next entry.
fn then(first: &Entry, n: u64, state: EntryState) -> Entry {
    let mut next = call(&first.stream, n, &first.verb, state);
    next.intent_id.clone_from(&first.intent_id);
    next.target = first.target.clone();
    next
}

fn many(run: &str, n: u64) -> Vec<Entry> {
    (1..=n).map(|i| call(run, i, "set_stage", EntryState::WouldHave)).collect()
}

/// Somebody whom rows are about by these ids.
fn whom(ids: &[&str]) -> crate::Found {
    let emails = ids.iter().map(ToString::to_string).collect();
    crate::Found::of(&types::Subject { emails, ..types::Subject::default() })
}

fn text(value: &Value) -> String {
    value.to_string()
}
