//! The decision: pure and total. Must never read anything, and never say "execute" on doubt.
use crate::plan::Plan;
use crate::tool::{Kind, Tool};
use interlock::Go;
use std::collections::BTreeMap;
use types::{Mode, Reason};

/// What is done with a plan.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a decision that nobody follows leaves a tool call without a row"]
pub enum Decision {
    /// Go on to the act: intent row, permit, flags again, act.
    Execute(Plan),
    /// Write the would-have log, change nothing.
    WouldHave(Plan, Reason),
    /// Put it before a human.
    Draft(Plan),
    /// Ask people.
    Ask(Plan),
    /// Not allowed.
    Refuse(Reason),
}

/// What the decision rests on besides the plan.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// Both stores said yes, just now; holds the modes of this moment.
    pub go: &'a Go,
    /// The modes when the run began: a tool turned on later stays dry for this run.
    pub modes_at_start: &'a BTreeMap<String, Mode>,
    /// Is the hot configuration usable?
    pub config_usable: bool,
    /// Does the audit log keep up?
    pub log_keeps_up: bool,
}

/// Decides what is done with a plan.
// INVARIANT (I19): a tool that is not live now and was not live at the start causes no write.
pub fn decide(plan: Plan, tool: &Tool, standing: Standing<'_>) -> Decision {
    match &tool.kind {
        // A read is answered by `Kind::Read`; a plan for it would be a mistake, and mistakes do nothing.
        Kind::Read(_) => Decision::Refuse(Reason::MalformedArguments),
        Kind::Draft(_) => Decision::Draft(plan),
        Kind::Ask(_) => Decision::Ask(plan),
        Kind::Act(..) => {
            // FAIL-CLOSED: without usable configuration every tool is dry.
            if !standing.config_usable {
                return Decision::WouldHave(plan, Reason::ConfigUnusable);
            }
            // FAIL-CLOSED: what the log does not have yet nobody can look up, so no more of it is made.
            if !standing.log_keeps_up && standing.go.mode(tool.name) == Mode::Live {
                return Decision::WouldHave(plan, Reason::AuditBehind);
            }
            let at_start = standing.modes_at_start.get(tool.name).copied().unwrap_or_default();
            match (standing.go.mode(tool.name), at_start) {
                (Mode::Live, Mode::Live) => Decision::Execute(plan),
                (Mode::Live, Mode::DryRun) => Decision::WouldHave(plan, Reason::LiveFromNextRun),
                (Mode::DryRun, _) => Decision::WouldHave(plan, Reason::DryRun),
            }
        }
    }
}
