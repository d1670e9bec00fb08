//! Why something was not done, or not done for real: one closed list of stable codes. Must never carry free
//! text.
use crate::mode::codes;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A stable reason code. Each has one line in RUNBOOK.md, which a test checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Everything is halted.
    HaltedGlobal,
    /// This customer is halted.
    HaltedCustomer,
    /// The switch store holds no arming key of this epoch.
    Disarmed,
    /// The switch store did not answer in time.
    SwitchUnreachable,
    /// The control item could not be read or written.
    LedgerUnreachable,
    /// The run began before the last resume.
    OldEpoch,
    /// The tool is in dry-run.
    DryRun,
    /// The tool was turned on after this run began; live from the next run.
    LiveFromNextRun,
    /// The tier is irreversible: only ever drafted.
    DraftedOnly,
    /// The model named a tool that is not registered.
    UnknownTool,
    /// The arguments do not fit the tool's schema or bounds.
    MalformedArguments,
    /// The arguments name another deal than the run's own.
    ForeignDeal,
    /// The stage is not on the ops lead's list.
    StageNotAllowed,
    /// The deal is in that stage already.
    SameStage,
    /// A due date in the past or too far ahead.
    DateOutOfRange,
    /// Tokens of this run are used up.
    TokensPerRun,
    /// Tool calls of this run are used up.
    ToolCallsPerRun,
    /// Dollars of this day are used up.
    UsdPerDay,
    /// The model has no price row.
    ModelWithoutPrice,
    /// Too many permits are in flight or unknown.
    PermitsExhausted,
    /// Too little of the invocation is left for a write.
    OutOfTime,
    /// The CRM refused the request.
    CrmRefused,
    /// The CRM asked us to slow down.
    CrmRateLimited,
    /// The CRM did not answer, or with an error of its own.
    CrmUnavailable,
    /// The record does not exist, or is not readable for us.
    CrmNotFound,
    /// The record changed since it was planned.
    Conflict,
    /// The CRM never answered a write; read back later.
    OutcomeUnknown,
    /// Read back, and the write is not there.
    NotApplied,
    /// Cannot be settled by reading; a person must look.
    NeedsHuman,
    /// The model declined.
    ModelRefusal,
    /// The answer hit its token limit; nothing of it is used.
    ModelTruncated,
    /// A stop reason we do not know; nothing of the answer is used.
    ModelStopUnknown,
    /// The model did not answer, or with an error.
    ModelUnavailable,
    /// The model's request was refused as invalid.
    ModelRejected,
    /// The answer came after a halt and was thrown away.
    AnswerDiscarded,
    /// The model had nothing more to do.
    Finished,
    /// Our own write came back as an event.
    OwnWrite,
    /// An event that starts no run.
    NotSubscribed,
    /// A mail that is not an inbound reply.
    NotInbound,
    /// No deal belongs to the event.
    NoDeal,
    /// A bounded number of runs per deal and day was reached.
    RunsPerDeal,
    /// Parked for too long.
    ParkedTooLong,
    /// A person threw it away.
    Discarded,
    /// A person checked it by hand.
    CheckedByHand,
    /// Slack did not take the message.
    SlackUnavailable,
    /// Nobody armed the agent yet.
    NotYetArmed,
    /// Hot configuration is missing or broken for too long.
    ConfigUnusable,
    /// Too much waits for the audit log.
    AuditBehind,
    /// The person it is about is to be erased.
    SubjectErased,
    /// The run that this one starts again did exactly that.
    DoneBefore,
    /// A resume without reason, right PIN, right key or our own form.
    ResumeRefused,
}
codes!(Reason {
    HaltedGlobal = "halted_global",
    HaltedCustomer = "halted_customer",
    Disarmed = "disarmed",
    SwitchUnreachable = "switch_unreachable",
    LedgerUnreachable = "ledger_unreachable",
    OldEpoch = "old_epoch",
    DryRun = "dry_run",
    LiveFromNextRun = "live_from_next_run",
    DraftedOnly = "drafted_only",
    UnknownTool = "unknown_tool",
    MalformedArguments = "malformed_arguments",
    ForeignDeal = "foreign_deal",
    StageNotAllowed = "stage_not_allowed",
    SameStage = "same_stage",
    DateOutOfRange = "date_out_of_range",
    TokensPerRun = "tokens_per_run",
    ToolCallsPerRun = "tool_calls_per_run",
    UsdPerDay = "usd_per_day",
    ModelWithoutPrice = "model_without_price",
    PermitsExhausted = "permits_exhausted",
    OutOfTime = "out_of_time",
    CrmRefused = "crm_refused",
    CrmRateLimited = "crm_rate_limited",
    CrmUnavailable = "crm_unavailable",
    CrmNotFound = "crm_not_found",
    Conflict = "conflict",
    OutcomeUnknown = "outcome_unknown",
    NotApplied = "not_applied",
    NeedsHuman = "needs_human",
    ModelRefusal = "model_refusal",
    ModelTruncated = "model_truncated",
    ModelStopUnknown = "model_stop_unknown",
    ModelUnavailable = "model_unavailable",
    ModelRejected = "model_rejected",
    AnswerDiscarded = "answer_discarded",
    Finished = "finished",
    OwnWrite = "own_write",
    NotSubscribed = "not_subscribed",
    NotInbound = "not_inbound",
    NoDeal = "no_deal",
    RunsPerDeal = "runs_per_deal",
    ParkedTooLong = "parked_too_long",
    Discarded = "discarded",
    CheckedByHand = "checked_by_hand",
    SlackUnavailable = "slack_unavailable",
    NotYetArmed = "not_yet_armed",
    ConfigUnusable = "config_unusable",
    AuditBehind = "audit_behind",
    SubjectErased = "subject_erased",
    DoneBefore = "done_before",
    ResumeRefused = "resume_refused",
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_its_serde_name_and_reads_back() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).ok(), Some(reason.code().into()));
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
        }
    }
}
