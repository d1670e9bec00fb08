//! What really happened in a world, read from the wires alone, and the promises held against it. Must never
//! ask the product what it thinks of itself.
use super::books::Books;
use super::flags::{Checked, Flags};
use super::script::{STAGES, WRITING};
use super::wire::Crm;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One permit as the control item holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    pub intent: String,
    pub customer: String,
    pub run: String,
    pub tool: String,
}

/// The control item as the store has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Control {
    pub epoch: u64,
    pub armed: bool,
    pub by: String,
    pub generations: BTreeMap<String, u64>,
    pub halted: BTreeSet<String>,
    pub live: BTreeSet<String>,
    pub in_flight: BTreeMap<String, Permit>,
    pub unknown: BTreeMap<String, Permit>,
}

#[derive(Debug, Clone, Default)]
pub struct RunRow {
    pub status: String,
    pub n: u64,
    pub deal: Option<String>,
    pub customer: Option<String>,
    pub epoch: Option<u64>,
    pub generation: u64,
    pub live: BTreeSet<String>,
    pub event_no: u64,
}

#[derive(Debug, Clone, Default)]
pub struct IntentRow {
    pub run: String,
    pub step: u64,
    pub tool: String,
    pub state: String,
    pub target: String,
    pub outcome: String,
    pub reason: String,
    /// Requests that reached the CRM, and those that it applied.
    pub sent: u32,
    pub applied: u32,
}

/// What the model decided, as it was stored first.
#[derive(Debug, Clone)]
pub struct Decided {
    whole: String,
    pub calls: u64,
    /// Those that nobody kept, because they were too many.
    pub dropped: u64,
}

#[derive(Debug, Clone)]
pub struct EntryRow {
    pub run: String,
    pub step: u64,
    /// So many calls share it.
    pub calls: u64,
    pub event_no: u64,
    pub intent: String,
    pub state: String,
    pub verb: String,
}

/// What a flag check after a permit was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagsSaid {
    Clear,
    Flagged,
    /// No answer was heard.
    Nothing,
    /// Not armed, or armed with another epoch than the permit's.
    Disarmed,
}

/// What an environment has gone through since its invocation began.
#[derive(Debug, Clone, Default)]
pub struct Proofs {
    pub intent: Option<String>,
    pub customer: String,
    /// The epoch of its permit.
    pub epoch: u64,
    /// What the flags said last since the permit, if anything was heard.
    pub flags: Option<FlagsSaid>,
    /// The event at which its invocation began.
    pub began: u64,
    /// The resume in hand: its scope, and when the page that it acts on was whole.
    pub resume: Option<(String, u64)>,
}

/// A press that somebody was told of.
#[derive(Debug, Clone)]
pub struct Told {
    pub began: u64,
    pub latched: bool,
    /// Somebody pressed; otherwise a page merely said so.
    pub press: bool,
}

#[derive(Debug, Default)]
pub struct Truth {
    pub event: u64,
    pub control: Control,
    pub runs: BTreeMap<String, RunRow>,
    pub intents: BTreeMap<String, IntentRow>,
    pub decisions: BTreeMap<String, Decided>,
    pub entries: BTreeMap<String, EntryRow>,
    pub proofs: BTreeMap<usize, Proofs>,
    /// Presses that were answered, by scope (`global` or a customer).
    pub told: BTreeMap<String, Told>,
    /// Scopes of which a page said "nothing in flight", and when.
    pub quiet: BTreeMap<String, u64>,
    /// When a scope was last armed in the control item.
    pub rearmed: BTreeMap<String, u64>,
    /// Since when nobody gave a reason to halt a scope that a person was told is running.
    pub running: BTreeMap<String, u64>,
    /// Scopes that the control item or a flag ever stopped.
    pub stopped: BTreeSet<String>,
    /// The last event that was a reason to halt.
    pub cause: u64,
    pub granted: u64,
    pub writes: u64,
    pub books: Books,
    /// Transactions that were done.
    transactions: BTreeSet<String>,
    pub violations: Vec<String>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn attribute(item: &Value, name: &str) -> String {
    let of = &item[name];
    text(if of["S"].is_null() { &of["N"] } else { &of["S"] })
}

fn inner(item: &Value, name: &str) -> Value {
    serde_json::from_str(&attribute(item, name)).unwrap_or(Value::Null)
}

fn permits(map: &Value) -> BTreeMap<String, Permit> {
    let entries = map["M"].as_object().into_iter().flatten();
    entries
        .map(|(id, held)| {
            let held: Value = serde_json::from_str(held["S"].as_str().unwrap_or_default()).unwrap();
            let permit = Permit {
                intent: text(&held["intent_id"]),
                customer: text(&held["customer_id"]),
                run: text(&held["run_id"]),
                tool: text(&held["tool"]),
            };
            (id.clone(), permit)
        })
        .collect()
}

fn control_of(item: &Value) -> Control {
    let map = |name: &str| item[name]["M"].as_object().cloned().unwrap_or_default();
    Control {
        epoch: attribute(item, "epoch").parse().unwrap_or_default(),
        armed: attribute(item, "state") == "armed",
        by: text(&inner(item, "halted_by")["by"]),
        generations: map("cust_gen")
            .iter()
            .map(|(id, value)| (id.clone(), text(&value["N"]).parse().unwrap_or_default()))
            .collect(),
        halted: map("cust_halted").keys().cloned().collect(),
        live: map("mode")
            .iter()
            .filter(|(_, mode)| mode["S"] == "live")
            .map(|(tool, _)| tool.clone())
            .collect(),
        in_flight: permits(&item["inflight"]),
        unknown: permits(&item["unknown"]),
    }
}

impl Truth {
    fn broken(&mut self, invariant: &str, what: String) {
        self.violations.push(format!("{invariant}: {what}"));
    }

    /// Does this scope hold that customer?
    fn scopes_of(customer: &str) -> [String; 2] {
        ["global".to_owned(), customer.to_owned()]
    }

    /// A request to the tables was done, whoever hears of it.
    pub fn table_done(&mut self, env: usize, operation: &str, request: &Value, answer: &Value, heard: bool) {
        match operation {
            "UpdateItem" if answer["Attributes"]["pk"]["S"] == "control" => {
                self.control_changed(env, &answer["Attributes"], heard);
            }
            "UpdateItem" if !answer["Attributes"]["body"].is_null() => self.row(&answer["Attributes"]),
            "PutItem" if request["Item"]["pk"]["S"] == "control" => {
                self.control_changed(env, &request["Item"], heard)
            }
            // The store answers a client's second try of one transaction as it did the first, and changes
            // nothing.
            "TransactWriteItems" if !self.transactions.insert(text(&request["ClientRequestToken"])) => {}
            "TransactWriteItems" => {
                for part in request["TransactItems"].as_array().into_iter().flatten() {
                    self.row(&part["Put"]["Item"]);
                    let key = attribute(&part["Put"]["Item"], "pk");
                    if key.starts_with("trip#") {
                        self.tripped(env, &key);
                    }
                }
            }
            _ => {}
        }
    }

    fn row(&mut self, item: &Value) {
        let (pk, sk) = (attribute(item, "pk"), attribute(item, "sk"));
        let body = inner(item, "body");
        if !item["unack"].is_null() {
            return self.entry(&pk, &body);
        }
        let Some(run) = pk.strip_prefix("run#") else { return };
        match sk.split('#').next().unwrap_or_default() {
            "run" => {
                self.stopped_by_its_own(run, &body);
                let before = self.runs.entry(run.to_owned()).or_default();
                let bound = &body["bound"];
                let epoch = bound["epoch"].as_u64();
                let modes = bound["modes"].as_object().cloned().unwrap_or_default();
                *before = RunRow {
                    status: text(&body["status"]),
                    n: body["n"].as_u64().unwrap_or_default(),
                    deal: body["deal"]["deal_id"].as_str().map(str::to_owned),
                    customer: body["deal"]["customer_id"].as_str().map(str::to_owned),
                    epoch,
                    generation: bound["generation"].as_u64().unwrap_or_default(),
                    live: modes
                        .iter()
                        .filter(|(_, mode)| *mode == "live")
                        .map(|(tool, _)| tool.clone())
                        .collect(),
                    event_no: body["event_no"].as_u64().unwrap_or_default(),
                };
            }
            "decision" => self.decision(&format!("{run}/{sk}"), &attribute(item, "body"), &body),
            "intent" => self.intent(run, &body),
            _ => {}
        }
    }

    // INVARIANT (I17): a trip halts like a press before it is told, and is told once.
    fn tripped(&mut self, env: usize, key: &str) {
        let scope = key.split('#').nth(2).unwrap_or_default();
        let scope = scope.strip_prefix("customer:").unwrap_or(scope).to_owned();
        let stands =
            if scope == "global" { !self.control.armed } else { self.control.halted.contains(&scope) };
        let began = self.proofs.get(&env).map_or(0, |proofs| proofs.began);
        let resumed = self.rearmed.get(&scope).is_some_and(|at| *at > began);
        if !stands && !resumed {
            self.broken("I17", format!("{key} is told, and {scope} goes on"));
        }
        let wrong = self.books.pinged(key);
        self.wrong(wrong);
    }

    /// What the second books found.
    pub fn wrong(&mut self, found: Vec<(&'static str, String)>) {
        for (invariant, what) in found {
            self.broken(invariant, what);
        }
    }

    // INVARIANT (I10): a halt of one customer stops no other.
    fn stopped_by_its_own(&mut self, run: &str, body: &Value) {
        let scope = match body["reason"].as_str() {
            Some("halted_global") => "global",
            Some("halted_customer") => body["deal"]["customer_id"].as_str().unwrap_or_default(),
            Some(_) | None => return,
        };
        // An erasure takes the customer out of the row of a run that ended long ago.
        let already = self.runs.get(run).is_some_and(|row| body["status"] == row.status.as_str());
        if !already && !self.stopped.contains(scope) {
            self.broken("I10", format!("{run} was stopped by a halt of {scope:?}, which never was"));
        }
    }

    // INVARIANT (I22): a decision is stored once.
    fn decision(&mut self, key: &str, whole: &str, body: &Value) {
        let calls = body["calls"].as_array().map_or(0, Vec::len) as u64;
        let dropped = body["calls_dropped"].as_u64().unwrap_or_default();
        match self.decisions.get(key) {
            Some(known) if known.whole != whole => {
                self.broken("I22", format!("the decision {key} was changed"))
            }
            Some(_) => {}
            None => {
                let decided = Decided { whole: whole.to_owned(), calls, dropped };
                self.decisions.insert(key.to_owned(), decided);
            }
        }
    }

    fn intent(&mut self, run: &str, body: &Value) {
        let id = text(&body["intent_id"]);
        let row = self.intents.entry(id.clone()).or_default();
        let was_closed = row.state == "closed";
        let before = row.outcome.clone();
        row.run = run.to_owned();
        row.step = body["step"].as_u64().unwrap_or_default();
        row.tool = text(&body["tool"]);
        row.state = text(&body["state"]);
        row.target = format!("{}:{}", text(&body["target"]["kind"]), text(&body["target"]["id"]));
        row.outcome = text(&body["outcome"]["state"]);
        row.reason = text(&body["outcome"]["reason"]);
        if was_closed && (row.state != "closed" || row.outcome != before) {
            let now = format!("{} {}", row.state, row.outcome);
            self.broken("I21", format!("the call {id} ended as {before} and was then {now}"));
        }
    }

    // INVARIANT (I25): one entry of a name, never changed.
    fn entry(&mut self, id: &str, body: &Value) {
        let entry = EntryRow {
            run: text(&body["run_id"]),
            step: body["step"].as_u64().unwrap_or_default(),
            calls: body["detail"]["calls"].as_u64().unwrap_or_default(),
            event_no: body["event_no"].as_u64().unwrap_or_default(),
            intent: text(&body["intent_id"]),
            state: text(&body["state"]),
            verb: text(&body["verb"]),
        };
        if let Some(known) = self.entries.get(id)
            && (known.state != entry.state || known.intent != entry.intent)
        {
            self.broken("I25", format!("the entry {id} was {known:?} and is now {entry:?}"));
        }
        self.entries.insert(id.to_owned(), entry);
    }

    fn control_changed(&mut self, env: usize, item: &Value, heard: bool) {
        let next = control_of(item);
        let before = std::mem::replace(&mut self.control, next.clone());
        self.event += 1;
        for (id, permit) in &next.in_flight {
            if !before.in_flight.contains_key(id) {
                self.grant(env, permit, &before, heard);
            }
        }
        if next.armed && !before.armed {
            self.armed(env, "global");
        }
        if !next.armed && before.armed {
            self.halted("global", &next.by);
        }
        for id in before.halted.difference(&next.halted) {
            self.armed(env, id);
        }
        for id in next.halted.difference(&before.halted) {
            self.halted(id, "");
        }
        // INVARIANT (I8): an epoch never comes back.
        if next.epoch < before.epoch {
            self.broken("I7", format!("the epoch went back from {} to {}", before.epoch, next.epoch));
        }
    }

    // INVARIANT (I3, I8, I11, I19): no permit after an answered halt, of an old run, or for a dry tool.
    fn grant(&mut self, env: usize, permit: &Permit, control: &Control, heard: bool) {
        self.granted += 1;
        let run = self.runs.get(&permit.run).cloned().unwrap_or_default();
        if run.epoch != Some(control.epoch) {
            let (bound, now) = (run.epoch, control.epoch);
            self.broken("I8", format!("{} of epoch {bound:?} got a permit in epoch {now}", permit.run));
        }
        let generation = control.generations.get(&permit.customer).copied().unwrap_or_default();
        if run.generation != generation {
            self.broken(
                "I8",
                format!("{} of generation {} got one in {generation}", permit.run, run.generation),
            );
        }
        if !control.live.contains(&permit.tool) || !run.live.contains(&permit.tool) {
            self.broken("I19", format!("{} is dry and got a permit", permit.tool));
        }
        for scope in Self::scopes_of(&permit.customer) {
            if let Some(told) = self.told.get(&scope).filter(|told| told.latched) {
                let invariant = if told.press { "I11" } else { "I3" };
                self.broken(
                    invariant,
                    format!("a permit of {} after a halt of {scope} was answered", permit.run),
                );
            }
        }
        let proofs = self.proofs.entry(env).or_default();
        proofs.intent = heard.then(|| permit.intent.clone());
        proofs.customer.clone_from(&permit.customer);
        proofs.epoch = control.epoch;
        proofs.flags = None;
    }

    // INVARIANT (I7, I8): a resume acts on what its page showed.
    fn armed(&mut self, env: usize, scope: &str) {
        self.rearmed.insert(scope.to_owned(), self.event);
        self.quiet.remove(scope);
        let resume = self.proofs.get(&env).and_then(|proofs| proofs.resume.clone());
        let told = self.told.remove(scope);
        match resume {
            Some((of, _)) if of != scope => {
                self.broken("I10", format!("{scope} was armed by a resume of {of}"));
            }
            Some((_, seen)) => {
                if let Some(told) = told
                    && told.press
                    && seen < told.began
                {
                    self.broken("I8", format!("{scope} was armed by a page from before an answered halt"));
                }
            }
            None => self.broken("I7", format!("{scope} was armed by nobody who asked for it (env {env})")),
        }
    }

    fn halted(&mut self, scope: &str, by: &str) {
        self.stopped.insert(scope.to_owned());
        if by == "system:flag" {
            self.without_cause(scope, "the control item");
        } else if scope == "global" {
            self.cause = self.event;
        }
    }

    /// A person was told that the scope runs; since then nobody gave a reason to stop it, and yet it stands.
    fn without_cause(&mut self, scope: &str, place: &str) {
        if self.running.get(scope).is_some_and(|since| self.cause < *since) {
            self.broken(
                "I7",
                format!("{scope} was resumed, and then halted in {place} although nobody asked for it"),
            );
        }
    }

    /// Something that may stop a scope happened.
    pub fn reason_to_halt(&mut self) {
        self.event += 1;
        self.cause = self.event;
    }

    /// The flags answered a pipeline.
    pub fn flags_done(&mut self, env: usize, done: &super::flags::Done, flags: &Flags, heard: bool) {
        self.event += 1;
        if done.pressed {
            self.reason_to_halt();
        }
        if let Some(checked) = &done.checked {
            self.checked(env, checked, heard);
        }
        if done.wrote {
            self.flags_against_control(flags);
        }
    }

    /// A resumed scope whose flag stands again.
    pub fn flags_against_control(&mut self, flags: &Flags) {
        let named = flags.names().into_iter().filter_map(|name| {
            let scope = name.strip_prefix("agent:halted:")?;
            Some(scope.strip_prefix("customer:").unwrap_or(scope).to_owned())
        });
        self.stopped.extend(named);
        if self.control.armed && flags.get("agent:halted:global").is_some() {
            self.without_cause("global", "the flags");
        }
        // INVARIANT (I7): a press that only the flags confirmed still holds.
        let permissive = self.control.armed
            && flags.get("agent:halted:global").is_none()
            && flags.get("agent:armed") == Some(self.control.epoch.to_string());
        if permissive && self.told.get("global").is_some_and(|told| told.press) {
            self.told.remove("global");
            self.broken("I7", "an answered halt was undone by nobody".to_owned());
        }
    }

    fn checked(&mut self, env: usize, checked: &Checked, heard: bool) {
        let proofs = self.proofs.entry(env).or_default();
        let right = checked.customer.as_deref() == Some(proofs.customer.as_str());
        if right {
            proofs.flags = Some(match checked.clear {
                _ if !heard => FlagsSaid::Nothing,
                _ if checked.flagged => FlagsSaid::Flagged,
                Some(epoch) if epoch == proofs.epoch => FlagsSaid::Clear,
                Some(_) | None => FlagsSaid::Disarmed,
            });
        }
    }

    // INVARIANT (I1, I4, I5, I6, I18, I26): what must be true when a write begins.
    pub fn crm_starts(&mut self, env: usize, crm: &Crm) {
        self.event += 1;
        self.writes += 1;
        let Some(intent) = crm.intent.clone() else {
            return self.broken("I4", format!("{} {} names no intent", crm.method, crm.path));
        };
        let proofs = self.proofs.entry(env).or_default();
        let (permitted, flags) = (proofs.intent.take() == Some(intent.clone()), proofs.flags);
        match flags {
            _ if !permitted => {
                self.broken("I4", format!("{intent} was sent without a permit of this invocation"))
            }
            Some(FlagsSaid::Clear) => {}
            Some(FlagsSaid::Flagged) => self.broken("I6", format!("{intent} was sent under a flag")),
            Some(FlagsSaid::Nothing) => {
                self.broken("I5", format!("{intent} was sent while the flags were silent"))
            }
            Some(FlagsSaid::Disarmed) => {
                self.broken("I5", format!("{intent} was sent while the flags were not armed"))
            }
            None => self.broken("I4", format!("{intent} was sent without a flag check after its permit")),
        }
        if !self.control.in_flight.values().any(|permit| permit.intent == intent) {
            self.broken("I4", format!("{intent} was sent and its permit is not in flight"));
        }
        let Some(row) = self.intents.get_mut(&intent) else {
            return self.broken("I26", format!("{intent} was sent and has no row"));
        };
        row.sent += 1;
        let row = row.clone();
        if row.state != "open" {
            self.broken("I26", format!("{intent} was sent while its row says {}", row.state));
        }
        let run = self.runs.get(&row.run).cloned().unwrap_or_default();
        let customer = run.customer.clone().unwrap_or_default();
        for scope in Self::scopes_of(&customer) {
            if self.quiet.contains_key(&scope) {
                self.broken(
                    "I1",
                    format!("{intent} began after the page said that nothing of {scope} is in flight"),
                );
            }
        }
        self.allowed(crm, &row, &run.deal.unwrap_or_default());
    }

    fn allowed(&mut self, crm: &Crm, row: &IntentRow, deal: &str) {
        let body: Value = serde_json::from_str(&crm.body).unwrap_or(Value::Null);
        let linked = body["associations"].as_array();
        let to_deal = linked.is_some_and(|all| all.iter().any(|one| text(&one["to"]["id"]) == deal));
        let right = match row.tool.as_str() {
            "set_stage" => {
                let stage = text(&body["properties"]["dealstage"]);
                crm.method == "PATCH"
                    && crm.path.ends_with(&format!("/{deal}"))
                    && STAGES.contains(&stage.as_str())
            }
            "append_note" => crm.method == "POST" && crm.path.ends_with("/notes") && to_deal,
            "schedule_follow_up" => crm.method == "POST" && crm.path.ends_with("/tasks") && to_deal,
            _ => false,
        };
        if !right || !WRITING.contains(&row.tool.as_str()) || row.target != format!("deal:{deal}") {
            self.broken("I18", format!("{} {} for {} of deal {deal}", crm.method, crm.path, row.tool));
        }
    }

    // INVARIANT (I2, I21): no effect after the sentence, none twice.
    pub fn crm_applied(&mut self, intent: &str) {
        let Some(row) = self.intents.get_mut(intent) else { return };
        row.applied += 1;
        let row = row.clone();
        if row.applied > 1 {
            self.broken("I21", format!("{intent} was applied {} times", row.applied));
        }
        if row.state == "closed" && row.outcome != "applied" && row.reason != "conflict" {
            self.broken("I21", format!("{intent} was applied after it had ended as {}", row.outcome));
        }
        let customer = self.runs.get(&row.run).and_then(|run| run.customer.clone()).unwrap_or_default();
        for scope in Self::scopes_of(&customer) {
            if self.quiet.contains_key(&scope) {
                self.broken(
                    "I2",
                    format!("{intent} took effect after the page said that nothing is in flight"),
                );
            }
        }
    }

    /// A page was answered with "nothing in flight" for a scope; it began to look at that event.
    pub fn says_quiet(&mut self, scope: &str, began: u64) {
        if self.rearmed.get(scope).is_none_or(|at| *at < began) {
            self.quiet.insert(scope.to_owned(), self.event);
        }
    }

    /// A halt was answered as confirmed.
    pub fn says_halted(&mut self, scope: &str, began: u64, latched: bool, press: bool) {
        let again = self.rearmed.get(scope).is_some_and(|at| *at > began);
        let known = self.told.get(scope).is_some_and(|told| told.press && told.latched);
        if !again && (press || !known) {
            self.told.insert(scope.to_owned(), Told { began, latched, press });
        }
    }

    /// A resume was answered as done; it began at that event.
    pub fn says_running(&mut self, scope: &str, began: u64, flags: &Flags) {
        self.running.insert(scope.to_owned(), began);
        if scope == "global" {
            if !self.control.armed {
                self.without_cause(scope, "the control item");
            }
            self.flags_against_control(flags);
        }
    }
}
