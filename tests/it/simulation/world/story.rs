//! What happens in some lives before chance takes over: meetings that it would seldom arrange. Must never be
//! what a promise rests on alone.
use super::super::rig::{AUDITS, HALTS, INTAKE, STEPS};
use super::super::script::DEALS;
use super::super::wire::Call;
use super::{Fate, Job, World};
use serde_json::json;
use std::collections::BTreeSet;

/// A first act.
#[derive(Debug, Clone, Copy)]
pub enum Story {
    /// A resume overtakes a sweep that has read "halted" already; then a sweep comes between the two halves
    /// of a resume.
    SweepsMeetResumes,
    /// A press reaches the flags alone, and somebody resumes on the page that she saw before it.
    ResumeOnAnOldPage,
    /// The same, and the flags are full: of the press only what was deleted is there.
    PressOnFullFlags,
    /// A press reaches a primary whose replica lags, and the replica takes over.
    FailoverForgetsAPress,
    /// A step has seen a flag and is about to copy it; meanwhile a person resumes.
    RepairMeetsResume,
    /// A step has read the flags and not yet the control item; between the two, somebody resumes.
    FlagIsOlder,
    /// A press on one customer is lost on its way and sent again; between the two, somebody halts everything.
    PressesCross,
    /// A step asks for a permit; before the control item hears of it, somebody halts and resumes.
    PermitMeetsResume,
    /// Between two steps of a run, somebody halts and resumes.
    RunOutlivesResume,
    /// A step is invoked twice; the second's claim arrives when the first has left a write without an answer.
    ClaimComesLate,
    /// The holder of a permit sleeps before it sends, and a sweep comes by.
    HolderSleeps,
    /// A write is about to leave; somebody halts and reads what is in flight.
    WriteMeetsHalt,
    /// A step looks at both switches while a resume is about to release the flags.
    StepMeetsResume,
    /// A person has written, and a run about her has come some steps far.
    SheHasWritten,
    /// A step has read a person's record and not stored it; meanwhile she is forgotten everywhere.
    StepMeetsErasure,
}

impl World<'_> {
    pub(super) async fn tell(&mut self, story: Story) {
        match story {
            Story::SweepsMeetResumes => self.sweeps_meet_resumes().await,
            Story::ResumeOnAnOldPage => self.resume_on_an_old_page(false).await,
            Story::FailoverForgetsAPress => self.failover_forgets_a_press().await,
            Story::RepairMeetsResume => self.repair_meets_resume().await,
            Story::FlagIsOlder => self.flag_is_older().await,
            Story::PressesCross => self.presses_cross().await,
            Story::PermitMeetsResume => self.permit_meets_resume().await,
            Story::RunOutlivesResume => self.run_outlives_resume().await,
            Story::ClaimComesLate => self.claim_comes_late().await,
            Story::HolderSleeps => self.holder_sleeps().await,
            Story::WriteMeetsHalt => self.write_meets_halt().await,
            Story::StepMeetsResume => self.step_meets_resume().await,
            Story::SheHasWritten => self.she_has_written().await,
            Story::StepMeetsErasure => self.step_meets_erasure().await,
            Story::PressOnFullFlags => self.resume_on_an_old_page(true).await,
        }
    }

    async fn sweeps_meet_resumes(&mut self) {
        let (first, second) = (HALTS.start, HALTS.start + 1);
        self.halt_and_look().await;
        self.ask_halt(Job::SweepFlags, json!({"sweep": "flags"}));
        self.go_until(first, &|call| {
            let Call::Flags { pipeline, .. } = call else { return false };
            pipeline.iter().any(|command| command[0] == b"SETNX")
        })
        .await;
        self.resume(0, "global", true);
        self.go_until(second, &|_| false).await;
        self.quiesce().await;
        self.halt_and_look().await;
        self.resume(0, "global", true);
        self.go_until(first, &|call| {
            let Call::Table { body, .. } = call else { return false };
            body.contains("#armed_ms")
        })
        .await;
        self.ask_halt(Job::SweepFlags, json!({"sweep": "flags"}));
        self.go_until(second, &|_| false).await;
        self.quiesce().await;
    }

    async fn resume_on_an_old_page(&mut self, full: bool) {
        self.look(0);
        self.quiesce().await;
        self.tables_down = true;
        self.flags.full = full;
        self.press("global");
        self.quiesce().await;
        self.tables_down = false;
        self.flags.full = false;
        self.resume(0, "global", true);
        self.quiesce().await;
    }

    async fn failover_forgets_a_press(&mut self) {
        self.flags.lagging = true;
        self.tables_down = true;
        self.press("global");
        self.quiesce().await;
        self.tables_down = false;
        self.fail_over(BTreeSet::new());
    }

    async fn repair_meets_resume(&mut self) {
        self.event();
        self.quiesce().await;
        self.set_by_hand("agent:halted:global", "1");
        self.step(0, false);
        self.go_until(STEPS.start, &|call| {
            let Call::Table { operation, body } = call else { return false };
            operation == "UpdateItem" && body.contains("#halted_by")
        })
        .await;
        self.look(0);
        self.go_until(HALTS.start, &|_| false).await;
        self.resume(0, "global", true);
        self.go_until(HALTS.start, &|_| false).await;
        self.quiesce().await;
    }

    async fn flag_is_older(&mut self) {
        self.event();
        self.quiesce().await;
        self.halt_and_look().await;
        self.step(0, false);
        let reads_control = |call: &Call| {
            let Call::Table { operation, body } = call else { return false };
            operation == "GetItem" && body.contains("sim-control")
        };
        self.go_but(STEPS.start, &reads_control).await;
        self.resume(0, "global", true);
        self.go_until(HALTS.start, &|_| false).await;
        self.quiesce().await;
    }

    async fn claim_comes_late(&mut self) {
        let (first, second) = (STEPS.start + 1, STEPS.start);
        self.event();
        self.quiesce().await;
        self.step(0, false);
        self.go_until(STEPS.start, &|_| false).await;
        self.step(0, true);
        let claims = |call: &Call| {
            let Call::Table { body, .. } = call else { return false };
            body.contains("SET #owner = :me")
        };
        self.go_but(second, &claims).await;
        self.step(0, false);
        self.go_until(first, &|call| matches!(call, Call::Crm(_))).await;
        let write = {
            let mut wires = self.rig.net.lock();
            let at = wires.held.iter().position(|held| matches!(held.call, Call::Crm(_)));
            at.map(|at| wires.held.remove(at))
        };
        if let Some(super::Held { call: Call::Crm(crm), answer, .. }) = write {
            self.note("the write is done, and its connection breaks");
            self.apply(crm, None);
            drop(answer);
        }
        self.go_until(first, &|_| false).await;
        self.go_until(second, &|_| false).await;
        self.quiesce().await;
    }

    async fn presses_cross(&mut self) {
        let (deal, customer) = DEALS[0];
        let event = self.crm.email_event(900_000 + deal);
        self.events.push(event.clone());
        self.open_events.push(event.clone());
        self.deliver(vec![event]);
        self.quiesce().await;
        let latches = |call: &Call| {
            let Call::Table { operation, body } = call else { return false };
            operation == "UpdateItem" && body.contains("#cust_halted")
        };
        self.press(customer);
        self.go_until(HALTS.start, &latches).await;
        let lost = self.rig.net.lock().held.iter().find(|held| latches(&held.call)).map(|held| held.id);
        let Some(lost) = lost else { return };
        self.release(lost, Fate::Lose);
        self.go_until(HALTS.start, &latches).await;
        self.press("global");
        self.go_until(HALTS.start + 1, &|_| false).await;
        self.quiesce().await;
        // What the control item says is all that is left of it.
        self.lose(&format!("agent:halted:customer:{customer}"), "evicted");
        self.look(0);
        self.quiesce().await;
        self.resume(0, "global", true);
        self.quiesce().await;
        for _ in 0..3 {
            self.step(0, false);
            self.go_until(STEPS.start, &|_| false).await;
        }
        self.quiesce().await;
    }

    async fn permit_meets_resume(&mut self) {
        self.write_until("SET #inflight.#p = :held").await;
        self.press("global");
        self.go_until(HALTS.start, &|_| false).await;
        self.look(0);
        self.go_until(HALTS.start, &|_| false).await;
        self.resume(0, "global", true);
        self.go_until(HALTS.start, &|_| false).await;
        self.quiesce().await;
    }

    async fn run_outlives_resume(&mut self) {
        self.event();
        self.quiesce().await;
        for n in 0..6 {
            if n == 2 {
                self.halt_and_look().await;
                self.resume(0, "global", true);
                self.quiesce().await;
            }
            self.step(0, false);
            self.go_until(STEPS.start, &|_| false).await;
        }
        self.quiesce().await;
    }

    async fn step_meets_resume(&mut self) {
        self.event();
        self.quiesce().await;
        self.halt_and_look().await;
        self.resume(0, "global", true);
        self.go_until(HALTS.start, &|call| {
            let Call::Flags { pipeline, .. } = call else { return false };
            pipeline.iter().any(|command| command[0] == b"WATCH")
        })
        .await;
        self.step(0, false);
        self.go_until(STEPS.start, &|_| false).await;
        self.quiesce().await;
    }

    async fn she_has_written(&mut self) {
        self.her_event();
        self.quiesce().await;
        for _ in 0..3 {
            self.step(0, false);
            self.go_until(STEPS.start, &|_| false).await;
        }
    }

    async fn step_meets_erasure(&mut self) {
        self.her_event();
        self.quiesce().await;
        self.step(0, false);
        self.go_until(STEPS.start, &|call| {
            let Call::Table { body, .. } = call else { return false };
            body.contains("msg#0000")
        })
        .await;
        self.ask_to_forget();
        for _ in 0..2 {
            self.go_until(AUDITS.start, &|_| false).await;
            self.go_until(INTAKE, &|_| false).await;
            self.ask_halt(Job::SweepFlags, json!({"sweep": "flags"}));
            self.go_until(HALTS.start, &|_| false).await;
            self.sweep_outbox();
        }
        self.go_until(AUDITS.start, &|_| false).await;
        self.quiesce().await;
    }

    async fn write_meets_halt(&mut self) {
        self.write_until(r#"\"state\":\"open\""#).await;
        self.press("global");
        self.go_until(HALTS.start, &|_| false).await;
        self.look(0);
        self.go_until(HALTS.start, &|_| false).await;
        self.quiesce().await;
    }

    async fn holder_sleeps(&mut self) {
        self.write_until(r#"\"state\":\"open\""#).await;
        let of_holder = |held: &&super::Held| held.env == STEPS.start;
        let next = self.rig.net.lock().held.iter().find(of_holder).map(|held| held.id);
        let Some(id) = next else { return };
        self.freeze_env(STEPS.start, true);
        // Done, and she does not hear of it yet.
        self.release(id, Fate::Pass);
        self.advance(8_000).await;
        self.sweep_effects();
        self.go_until(STEPS.start + 1, &|_| false).await;
        self.freeze_env(STEPS.start, false);
        self.quiesce().await;
    }

    fn freeze_env(&mut self, env: usize, frozen: bool) {
        self.actors.iter_mut().filter(|actor| actor.env == env).for_each(|actor| actor.frozen = frozen);
        self.note(format_args!("env {env} {}", if frozen { "freezes" } else { "thaws" }));
    }

    /// A run goes on until it asks the tables for that.
    async fn write_until(&mut self, wanted: &'static str) {
        self.event();
        self.quiesce().await;
        for _ in 0..4 {
            self.step(0, false);
            self.go_until(STEPS.start, &|call| {
                let Call::Table { body, .. } = call else { return false };
                body.contains(wanted)
            })
            .await;
            if self.free(STEPS) != Some(STEPS.start) {
                return;
            }
        }
    }

    async fn halt_and_look(&mut self) {
        self.press("global");
        self.quiesce().await;
        self.look(0);
        self.quiesce().await;
    }

    /// Lets through whatever one environment asks for, but that.
    async fn go_but(&mut self, env: usize, kept: &dyn Fn(&Call) -> bool) {
        loop {
            self.settle().await;
            let next = {
                let wires = self.rig.net.lock();
                wires.held.iter().find(|held| held.env == env && !kept(&held.call)).map(|held| held.id)
            };
            let Some(id) = next else { return };
            self.release(id, Fate::Pass);
        }
    }

    /// Lets one environment go on alone, until it asks for that or has answered.
    async fn go_until(&mut self, env: usize, stop: &dyn Fn(&Call) -> bool) {
        for _ in 0..500 {
            self.settle().await;
            if self.broken() || self.actors.iter().all(|actor| actor.env != env) {
                return;
            }
            let next = self.rig.net.lock().held.iter().find(|h| h.env == env).map(|h| (h.id, stop(&h.call)));
            match next {
                Some((_, true)) => return,
                Some((id, false)) => self.release(id, Fate::Pass),
                None => self.advance(50).await,
            }
        }
        panic!("environment {env} never asks for it");
    }
}
