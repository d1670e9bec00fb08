//! What happens next in a world. Must never be fair: whatever can go wrong, does.
use super::super::rig::{HALTS, STEPS};
use super::super::script::{DEALS, STAGES, WRITING};
use super::super::wire::Call;
use super::{Actor, Fate, Money, World};
use serde_json::Value;
use standins::hubspot::Kind;
use std::collections::BTreeSet;
use std::sync::Arc;
use types::Mode;

impl World<'_> {
    /// One turn: begin something, let one request go, let something fail, or let time pass.
    pub(super) async fn turn(&mut self) {
        self.settle().await;
        self.orphans();
        if let Some(money) = self.profile.money
            && self.days_go_by(money).await
        {
            return;
        }
        if let Some(trail) = self.profile.trail
            && self.trail_turn(trail)
        {
            return;
        }
        if self.chance.of_1000(self.profile.fault) {
            self.fault().await;
            return;
        }
        if self.chance.of_1000(self.profile.begin) {
            self.begin_something();
            return;
        }
        if self.chance.of_1000(500) && self.next_step() {
            return;
        }
        let held = self.movable();
        if !held.is_empty() {
            let id = *self.chance.pick(&held);
            let fate = self.fate();
            return self.release(id, fate);
        }
        if self.next_step() {
            return;
        }
        self.pass_time().await;
    }

    /// Hours pass, or the ops lead saves another cap or zone.
    async fn days_go_by(&mut self, money: Money) -> bool {
        if self.chance.of_1000(money.saves) {
            let mut purse = self.rig.net.lock().purse.clone().expect("a life of money");
            purse.saved(&mut self.chance);
            self.note(format_args!("the ops lead saves {purse:?}"));
            self.rig.net.lock().purse = Some(purse);
            return true;
        }
        if !self.chance.of_1000(money.hours) {
            return false;
        }
        // A write that is on its way arrives within minutes or never: no net holds it for hours.
        if self.rig.net.lock().held.iter().any(|held| matches!(held.call, Call::Crm(_))) {
            return false;
        }
        let ms = self.chance.between(20, 900) * 60_000;
        self.note(format_args!("{} minutes pass", ms / 60_000));
        self.advance(ms).await;
        true
    }

    /// Nothing can go on by itself: time passes, until the next timer or the next thing that is due.
    async fn pass_time(&mut self) {
        let asleep = self.actors.iter().any(|actor| !actor.frozen);
        let due = self.executions.iter().filter(|e| !e.ended && !e.running).map(|e| e.due_ms).min();
        let wait = due.map_or(5_000, |due| (due - self.true_ms).max(1));
        let ms = match (asleep, self.actors.is_empty()) {
            (true, _) => *self.chance.pick(&[250, 500]),
            (false, true) => wait.min(30_000),
            (false, false) => *self.chance.pick(&[1_000, 5_000, 20_000]),
        };
        self.advance(ms).await;
    }

    /// Held requests that may go now. What somebody who is frozen asked for may be done, and its answer waits
    /// for her.
    fn movable(&mut self) -> Vec<u64> {
        let frozen: BTreeSet<usize> = self.actors.iter().filter(|a| a.frozen).map(|a| a.env).collect();
        let of_frozen: BTreeSet<u64> = {
            let wires = self.rig.net.lock();
            wires.held.iter().filter(|held| frozen.contains(&held.env)).map(|held| held.id).collect()
        };
        let buffered = self.chance.of_1000(300);
        self.sorted().into_iter().filter(|id| buffered || !of_frozen.contains(id)).collect()
    }

    fn fate(&mut self) -> Fate {
        let [before, after, refused] = self.profile.lost;
        let rest = 1_000 - before - after - refused;
        match self.chance.weighted(&[before, after, refused, rest]) {
            Some(0) => Fate::Lose,
            Some(1) => Fate::LoseAnswer,
            Some(2) => Fate::Refuse,
            _ => Fate::Pass,
        }
    }

    /// Requests that nobody waits for any more: they arrive or they do not.
    fn orphans(&mut self) {
        let gone: BTreeSet<u64> = {
            let wires = self.rig.net.lock();
            wires.held.iter().filter(|held| held.answer.is_closed()).map(|held| held.id).collect()
        };
        for id in self.sorted().into_iter().filter(|id| gone.contains(id)) {
            if self.chance.of_1000(500) {
                let fate = if self.chance.of_1000(500) { Fate::Pass } else { Fate::Lose };
                self.release(id, fate);
            }
        }
    }

    /// The next step of an execution that is due.
    fn next_step(&mut self) -> bool {
        let now = self.true_ms;
        let due: Vec<usize> = (0..self.executions.len())
            .filter(|index| {
                let execution = &self.executions[*index];
                !execution.ended && !execution.running && execution.due_ms <= now
            })
            .collect();
        if due.is_empty() {
            return false;
        }
        let index = *self.chance.pick(&due);
        self.step(index, false)
    }

    fn begin_something(&mut self) {
        let halts_free = self.free(HALTS).is_some();
        if halts_free && self.chance.of_1000(30) {
            return self.bot();
        }
        let customer = DEALS[self.chance.below(DEALS.len())].1;
        let by = self.chance.below(2);
        let as_before = self.chance.of_1000(self.profile.as_before);
        let scope = if self.chance.of_1000(750) { "global" } else { customer };
        if self.events.len() < usize::try_from(self.profile.events).unwrap() && self.chance.of_1000(400) {
            return self.event();
        }
        let jobs = self.profile.jobs;
        match self.chance.weighted(&jobs) {
            Some(0) => drop(self.sweep_effects()),
            Some(1) if halts_free => {
                let _asked = self.ask_halt(super::Job::SweepFlags, serde_json::json!({"sweep": "flags"}));
            }
            Some(2) if halts_free => self.look(by),
            Some(3) if halts_free => self.press("global"),
            Some(4) if halts_free => self.press(customer),
            Some(5 | 6) if halts_free => self.resume(by, scope, as_before),
            Some(7) if halts_free => {
                let tool = *self.chance.pick(&WRITING);
                let mode = if self.chance.of_1000(700) { Mode::Live } else { Mode::DryRun };
                self.flip(tool, mode);
            }
            Some(8) => self.by_hand(customer),
            Some(9) => self.in_the_crm(),
            _ => {}
        }
    }

    /// A webhook: a new event, an old one again, several at once, or the echo of our own write.
    pub(super) fn event(&mut self) {
        let (mut deal, _) = *self.chance.pick(&DEALS);
        if self.her.is_some() && self.chance.of_1000(500) {
            deal = super::forget::HER_DEAL;
        }
        let mut batch = self.crm.pending_events();
        if self.chance.of_1000(700) || self.events.is_empty() {
            batch.extend(self.mail_of(deal).map(|email| self.crm.email_event(email)));
        }
        if self.chance.of_1000(400) && !self.events.is_empty() {
            let again = self.chance.pick(&self.events).clone();
            batch.push(again);
        }
        if self.chance.of_1000(300)
            && let Some(twice) = batch.last().cloned()
        {
            batch.push(twice);
        }
        for event in &batch {
            if !self.events.contains(event) {
                self.events.push(event.clone());
                self.open_events.push(event.clone());
            }
        }
        self.deliver(batch);
    }

    /// A person types at the flags.
    fn by_hand(&mut self, customer: &str) {
        let global = "agent:halted:global".to_owned();
        let of_customer = format!("agent:halted:customer:{customer}");
        let key = if self.chance.of_1000(500) { global } else { of_customer };
        self.truth().reason_to_halt();
        if self.chance.of_1000(600) {
            let value = *self.chance.pick(&["1", "0", "", "false", "no"]);
            self.set_by_hand(&key, value);
        } else {
            self.lose(&key, "by hand: DEL");
        }
    }

    pub(super) fn set_by_hand(&mut self, key: &str, value: &str) {
        self.flags.set_by_hand(key, value);
        let truth = Arc::clone(&self.truth);
        let mut truth = truth.lock().unwrap();
        truth.reason_to_halt();
        truth.flags_against_control(&self.flags);
        drop(truth);
        self.note(format_args!("by hand: SET {key} {value:?}"));
    }

    /// The replica takes over; those who are stuck go on with the old primary.
    pub(super) fn fail_over(&mut self, stuck: BTreeSet<usize>) {
        self.note(format_args!("the flags fail over; stuck with the old primary: {stuck:?}"));
        self.flags.fail_over(stuck);
        let truth = Arc::clone(&self.truth);
        let mut truth = truth.lock().unwrap();
        truth.reason_to_halt();
        truth.flags_against_control(&self.flags);
    }

    pub(super) fn lose(&mut self, key: &str, why: &str) {
        self.flags.lose(key);
        self.truth().reason_to_halt();
        self.truth().told.retain(|_, told| told.latched);
        self.note(format_args!("{why} {key}"));
    }

    /// A person moves the deal in HubSpot's own pages.
    fn in_the_crm(&mut self) {
        let (deal, _) = *self.chance.pick(&DEALS);
        let stage = *self.chance.pick(&STAGES);
        self.crm.edit_by_person(Kind::Deal, deal, "dealstage", stage).expect("the deal is there");
        self.note(format_args!("a person moves deal {deal} to {stage}"));
    }

    async fn fault(&mut self) {
        let weights = self.profile.faults;
        let kind = self.chance.weighted(&weights);
        if let Some(count) = kind.and_then(|kind| self.totals.faults.get_mut(kind)) {
            *count += 1;
        }
        match kind {
            Some(0) => self.crash(),
            Some(1) => self.freeze(),
            Some(2) => {
                self.flags_down = !self.flags_down;
                self.truth().reason_to_halt();
                self.note(format_args!("the flags are {}", if self.flags_down { "away" } else { "back" }));
            }
            Some(3) => {
                self.flags.wipe();
                self.truth().reason_to_halt();
                self.truth().told.retain(|_, told| told.latched);
                self.note("the flags are wiped");
            }
            Some(4) => {
                let stuck: BTreeSet<usize> = STEPS.filter(|_| self.chance.of_1000(200)).collect();
                self.fail_over(stuck);
            }
            Some(5) => {
                let names = self.flags.names();
                if !names.is_empty() {
                    let key = self.chance.pick(&names).clone();
                    self.lose(&key, "evicted");
                }
            }
            Some(6) => {
                self.flags.full = !self.flags.full;
                self.note(format_args!(
                    "the flags are {}",
                    if self.flags.full { "full" } else { "not full any more" }
                ));
            }
            Some(7) => {
                self.flags.lagging = true;
                self.note("the replica lags");
            }
            Some(8) => {
                self.tables_down = !self.tables_down;
                self.note(format_args!("the tables are {}", if self.tables_down { "away" } else { "back" }));
            }
            Some(9) => self.jump(),
            Some(10) => self.twice(),
            Some(11) => {
                let answers = !self.rig.net.lock().config_answers;
                self.rig.net.lock().config_answers = answers;
            }
            _ => {}
        }
        if self.chance.of_1000(100) {
            let ms = *self.chance.pick(&[300, 2_100, 10_000, 62_000, 300_000]);
            self.note(format_args!("{ms} ms pass"));
            self.advance(ms).await;
        }
    }

    /// An invocation dies at the await where it stands; the next one comes at once, or after the deadline.
    fn crash(&mut self) {
        let alive: Vec<usize> = (0..self.actors.len()).collect();
        if alive.is_empty() {
            return;
        }
        let index = *self.chance.pick(&alive);
        let soon = self.chance.of_1000(500);
        let after = if soon { 2_000 } else { self.actors[index].ends_ms - self.true_ms + 5_000 };
        self.kill(index, "a crash ends", after);
    }

    fn freeze(&mut self) {
        let count = self.actors.len();
        if count == 0 {
            return;
        }
        let index = self.chance.below(count);
        let Actor { frozen, env, .. } = &mut self.actors[index];
        *frozen = !*frozen;
        let (frozen, env) = (*frozen, *env);
        self.note(format_args!("env {env} {}", if frozen { "freezes" } else { "thaws" }));
    }

    /// The clock that everybody reads jumps a little, within what the margin covers.
    fn jump(&mut self) {
        let to = self.chance.between(-super::SKEW_MS, super::SKEW_MS);
        self.rig.clock.advance_ms(to - self.skew_ms);
        self.skew_ms = to;
    }

    /// A step that is under way, or is due, is invoked a second time.
    fn twice(&mut self) {
        let open: Vec<usize> =
            (0..self.executions.len()).filter(|index| !self.executions[*index].ended).collect();
        if !open.is_empty() {
            let index = *self.chance.pick(&open);
            self.note("the same step is invoked twice");
            self.step(index, true);
        }
    }

    /// Held runs that a person starts again.
    pub(super) fn restart_held(&mut self) -> bool {
        let held = |run: &super::super::truth::RunRow| run.status == "held";
        let Some(run) = self.truth().runs.iter().find(|(_, run)| held(run)).map(|(id, _)| id.clone()) else {
            return false;
        };
        let Some(env) = self.free(STEPS) else { return false };
        let deps = Arc::clone(&self.rig.steps[env]);
        self.spawn(env, super::Job::Restart, async move {
            let id = types::RunId::new(run).unwrap();
            let mut run = deps.ledger.run(&id).await.map_err(|error| error.to_string())?;
            run.requeue();
            let stored = deps.ledger.commit(&mut run, ledger::Commit::default()).await;
            let start = starter::Start { name: run.execution_name(), run_id: run.run_id.clone(), n: run.n };
            if stored.map_err(|error| error.to_string())? == ledger::Stored::Yes {
                deps.starter.start(&start).await.map_err(|error| error.to_string())?;
            }
            Ok(Value::Null)
        });
        true
    }
}
