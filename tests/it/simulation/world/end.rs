//! How a world ends: no more faults, time passes, and everything must come to an end of its own. Must never
//! forgive what is still open then.
use super::super::rig::{AUDITS, HALTS, INTAKE, STEPS};
use super::super::tables;
use super::{Fate, Job, World};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// When the sweeps run after the last fault (ms since then).
const SWEEPS_MS: [i64; 16] = [
    2_000, 70_000, 75_000, 110_000, 180_000, 400_000, 700_000, 1_000_000, 1_100_000, 1_400_000, 1_800_000,
    2_400_000, 2_700_000, 3_000_000, 3_400_000, 3_800_000,
];

impl World<'_> {
    /// No more faults; then everything is held against the promises about ends.
    pub(super) async fn end(&mut self) {
        self.note("no more faults");
        self.calm = true;
        self.flags_down = false;
        self.tables_down = false;
        self.outbox.log_down = false;
        self.flags.heal();
        self.truth().reason_to_halt();
        {
            let mut wires = self.rig.net.lock();
            wires.bad_reads = 0;
            wires.config_answers = true;
        }
        self.actors.iter_mut().for_each(|actor| actor.frozen = false);
        let resumes = self.chance.of_1000(500);
        let begun = self.true_ms;
        for (round, at) in SWEEPS_MS.into_iter().enumerate() {
            self.calm_until(begun + at).await;
            if self.broken() {
                return;
            }
            self.sweep_both().await;
            if self.she_asks_in_the_end() {
                self.quiesce().await;
            }
            if round == 1 {
                self.no_permit_outlives_its_invocation();
                if resumes {
                    self.resume_in_peace().await;
                }
            }
            if self.broken() || (round > 2 && self.at_rest()) {
                break;
            }
        }
        if !self.broken() {
            self.one_store_is_enough().await;
            self.sweep_both().await;
            self.check_ends();
        }
    }

    fn at_rest(&self) -> bool {
        let truth = self.truth();
        let open = |state: &str| ["planned", "open", "unknown"].contains(&state);
        self.late.is_empty()
            && self.open_events.is_empty()
            && self.executions.iter().all(|execution| execution.ended)
            && truth.intents.values().all(|intent| !open(&intent.state))
            && truth.control.in_flight.is_empty()
            && (self.rig.log.is_none() || self.outbox_is_empty())
            && self.all_are_forgotten()
    }

    /// Everything goes through; executions go on as they are due; time passes.
    async fn calm_until(&mut self, until: i64) {
        for _ in 0..20_000 {
            self.settle().await;
            if self.broken() {
                return;
            }
            if let Some(id) = self.sorted().first().copied() {
                self.release(id, Fate::Pass);
                continue;
            }
            if !self.actors.is_empty() {
                self.advance(250).await;
                continue;
            }
            if !self.open_events.is_empty() {
                let events = self.open_events.clone();
                self.deliver(events);
                continue;
            }
            let now = self.true_ms;
            let next = self.executions.iter().position(|e| !e.ended && !e.running && e.due_ms <= now);
            match next {
                Some(index) => drop(self.step(index, false)),
                None if now >= until => return,
                None => {
                    // Waiting runs look again with the next sweep: nothing else can have changed for them.
                    self.advance(until - now).await;
                }
            }
        }
        let still: Vec<_> = self.actors.iter().map(|actor| format!("{:?}", actor.job)).collect();
        self.truth().violations.push(format!("I32: the world does not come to rest: {still:?}"));
    }

    async fn sweep_both(&mut self) {
        self.sweep_effects();
        self.quiesce().await;
        self.ask_halt(Job::SweepFlags, json!({"sweep": "flags"}));
        self.quiesce().await;
        if self.sweep_outbox() {
            self.quiesce().await;
        }
    }

    /// Looks and resumes everything, then lets held runs go on.
    async fn resume_in_peace(&mut self) {
        let customers: Vec<String> = self.truth().control.halted.iter().cloned().collect();
        self.look(0);
        self.quiesce().await;
        self.resume(0, "global", true);
        self.quiesce().await;
        for customer in customers {
            self.ask_halt(Job::Look { by: 0 }, json!({"op": "status", "customer": customer}));
            self.quiesce().await;
            self.resume(0, &customer, false);
            self.quiesce().await;
        }
        for _ in 0..20 {
            if !self.restart_held() {
                break;
            }
            self.quiesce().await;
        }
    }

    // INVARIANT (I31): a permit ends with its invocation, one sweep later at the latest.
    fn no_permit_outlives_its_invocation(&mut self) {
        let oldest: Vec<String> = self.truth().control.in_flight.values().map(|p| p.intent.clone()).collect();
        let busy = self.actors.iter().any(|actor| STEPS.contains(&actor.env));
        if !oldest.is_empty() && !busy {
            self.truth().violations.push(format!("I31: {oldest:?} are in flight and nobody is at work"));
        }
    }

    // INVARIANT (I33): a halt succeeds when either store is there.
    async fn one_store_is_enough(&mut self) {
        self.tables_down = true;
        self.press("global");
        self.quiesce().await;
        let flag = self.flags.get("agent:halted:global").is_some();
        self.tables_down = false;
        self.flags_down = true;
        self.press("global");
        self.quiesce().await;
        self.flags_down = false;
        let armed = self.truth().control.armed;
        if !flag || armed {
            self.truth()
                .violations
                .push(format!("I33: one store was there; flag {flag}, control armed {armed}"));
        }
    }

    /// What must be true when all is over.
    fn check_ends(&mut self) {
        let mut wrong = Vec::new();
        if self.free(HALTS).is_none()
            || self.free(STEPS).is_none()
            || self.free(INTAKE..INTAKE + 1).is_none()
            || self.free(AUDITS).is_none()
        {
            wrong.push("I32: somebody is still at work".to_owned());
        }
        self.calls_ended(&mut wrong);
        self.entries_complete(&mut wrong);
        self.log_is_whole(&mut wrong);
        self.she_is_forgotten(&mut wrong);
        self.runs_ended(&mut wrong);
        self.reservations_closed(&mut wrong);
        self.calls_within_caps();
        for call in self.crm.forbidden_calls() {
            wrong.push(format!("I20: {} {} is never asked for", call.method, call.path));
        }
        for write in self.crm.writes() {
            let intent = write.headers.get("x-holdfast-intent").cloned().unwrap_or_default();
            if self.truth().intents.get(&intent).is_none_or(|row| row.applied != 1) {
                wrong.push(format!(
                    "I26: {} {} by {intent:?} is unknown to the rows",
                    write.method, write.path
                ));
            }
        }
        self.truth().violations.extend(wrong);
    }

    // INVARIANT (I21, I32): every call has an end, and it is the true one.
    fn calls_ended(&self, wrong: &mut Vec<String>) {
        for (id, row) in &self.truth().intents {
            match (row.state.as_str(), row.outcome.as_str(), row.applied) {
                ("needs_human", ..) => {}
                ("closed", "applied", 1) => {}
                // Reads and questions end as applied and send nothing.
                ("closed", "applied", 0) if row.sent == 0 => {}
                ("closed", "failed", _) if row.reason == "conflict" => {}
                ("closed", "failed" | "halted" | "refused" | "would_have" | "drafted", 0) => {}
                _ => wrong.push(format!("I21: {id} ended as {row:?}")),
            }
        }
    }

    // INVARIANT (I25): one entry for each state of each call, without gaps, and one for every decided call.
    fn entries_complete(&self, wrong: &mut Vec<String>) {
        let truth = self.truth();
        let mut ends: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut numbers: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for entry in truth.entries.values() {
            if !entry.intent.is_empty() && !["opened", "unknown"].contains(&entry.state.as_str()) {
                ends.entry(&entry.intent).or_default().push(&entry.state);
            }
            if !entry.run.is_empty() {
                numbers.entry(&entry.run).or_default().push(entry.event_no);
            }
        }
        for (id, row) in &truth.intents {
            let states = ends.get(id.as_str()).cloned().unwrap_or_default();
            let last = states.last().copied();
            // A refusal by the CRM that was tried again leaves its own entry before the end.
            if row.state == "closed" && last.is_none() {
                wrong.push(format!("I25: {id} ended as {} and has no entry", row.outcome));
            }
            if row.state == "closed" && !states.contains(&row.outcome.as_str()) {
                wrong.push(format!("I25: {id} ended as {} and its entries say {states:?}", row.outcome));
            }
            let done = |state: &&&str| !["failed", "not_applied"].contains(*state);
            if states.iter().filter(done).count() > 1 {
                wrong.push(format!("I25: {id} has more than one entry about its end: {states:?}"));
            }
            if row.sent > 0 && !truth.entries.values().any(|e| e.intent == *id && e.state == "opened") {
                wrong.push(format!("I25: {id} was sent and has no entry that says so"));
            }
        }
        for (run, mut found) in numbers {
            found.sort_unstable();
            let whole: Vec<u64> = (1..=found.len() as u64).collect();
            if found != whole || truth.runs.get(run).is_some_and(|row| row.event_no != found.len() as u64) {
                wrong.push(format!("I25: the entries of {run} have gaps: {found:?}"));
            }
        }
        for (key, decided) in &truth.decisions {
            let (run, step) = key.split_once("/decision#").expect("a decision's key");
            let step: u64 = step.parse().expect("a step");
            let ended = truth.runs.get(run).is_some_and(|row| row.status != "running" || row.n > step);
            let rows = truth.intents.values().filter(|row| row.run == run && row.step == step).count() as u64;
            let shared =
                truth.entries.values().filter(|e| e.verb == "tool_calls" && e.run == run && e.step == step);
            let shared: Vec<u64> = shared.map(|entry| entry.calls).collect();
            let all = decided.calls + decided.dropped;
            if ended && (rows + shared.iter().sum::<u64>() != all || shared.len() > 1) {
                wrong.push(format!(
                    "I25: {all} calls were decided in {key}; {rows} have a row, {shared:?} share one"
                ));
            }
        }
    }

    // INVARIANT (I32): no reservation stays open. What a run remembers of its tries is no money.
    fn reservations_closed(&self, wrong: &mut Vec<String>) {
        let (_, rows) = tables::ask(&self.db, "Scan", r#"{"TableName":"sim-budget"}"#);
        let rows: Value = serde_json::from_str(&rows).expect("rows");
        for row in rows["Items"].as_array().expect("rows of the budget") {
            let open = row["pend"]["M"].as_object().map_or(0, serde_json::Map::len);
            if open > 0 {
                wrong.push(format!("I32: {open} reservations of {} stay open", row["pk"]["S"]));
            }
        }
    }

    // INVARIANT (I13)
    fn calls_within_caps(&self) {
        let mut truth = self.truth();
        let mut calls: BTreeMap<String, usize> = BTreeMap::new();
        // What an ended run leaves behind is refused without being tried.
        for row in truth.intents.values().filter(|row| !["halted", "refused"].contains(&row.outcome.as_str()))
        {
            *calls.entry(row.run.clone()).or_default() += 1;
        }
        for (run, count) in calls {
            let wrong = truth.books.calls(&run, count);
            truth.wrong(wrong);
        }
    }

    // INVARIANT (I23, I32): one run per event, and each ends or waits where a person sees it.
    fn runs_ended(&self, wrong: &mut Vec<String>) {
        let truth = self.truth();
        for (id, run) in &truth.runs {
            if !["done", "failed", "halted", "held", "discarded"].contains(&run.status.as_str()) {
                wrong.push(format!("I32: {id} is still {} at step {}", run.status, run.n));
            }
        }
        let foreign: BTreeSet<String> =
            self.events.iter().filter(|e| !own(e)).map(ToString::to_string).collect();
        if truth.runs.len() > foreign.len() || (truth.runs.is_empty() && !foreign.is_empty()) {
            wrong.push(format!("I23: {} runs for {} events of others", truth.runs.len(), foreign.len()));
        }
    }
}

/// Did our own app cause it?
fn own(event: &Value) -> bool {
    let app = standins::hubspot::Settings::default().app_id.to_string();
    event["changeSource"] == "INTEGRATION" && event["sourceId"].as_str() == Some(app.as_str())
}
