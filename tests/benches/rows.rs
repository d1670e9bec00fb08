//! Rows as a year of an agent's work would leave them, by number. Must never depend on anything but the
//! number.
use ledger::{ENTRY_SCHEMA_VERSION, Entry};
use types::{Actor, CustomerId, EntryState, IntentId, Mode, Reason, RunId, Target, Tier, Timestamp};

/// 2026-03-01 00:00 UTC.
pub const START_S: i64 = 1_772_323_200;
/// Deals are this many rows each on average.
pub const ROWS_PER_DEAL: u64 = 50;

/// The n-th entry: runs of five entries, a read, an opened and applied stage change, a would-have and an end.
pub fn entry(n: u64) -> Entry {
    let (run_no, step) = (n / 5, n % 5);
    let run = RunId::new(format!("r-{run_no:020x}")).expect("an id");
    let intent = IntentId::new(format!("i-{run_no:x}-{}", step.clamp(1, 2))).expect("an id");
    let (verb, state, tier, mode, intent) = match step {
        0 => ("get_deal", EntryState::Applied, Some(Tier::Read), None, None),
        1 => ("set_stage", EntryState::Opened, Some(Tier::SemiReversible), Some(Mode::Live), Some(intent)),
        2 => {
            let first = IntentId::new(format!("i-{run_no:x}-1")).expect("an id");
            ("set_stage", EntryState::Applied, Some(Tier::SemiReversible), Some(Mode::Live), Some(first))
        }
        3 => ("append_note", EntryState::WouldHave, Some(Tier::Reversible), Some(Mode::DryRun), Some(intent)),
        _ => ("run", EntryState::Applied, None, None, None),
    };
    let moves = verb == "set_stage";
    let deal = run_no % 2_000_003 % (100_000.min(run_no / 10 + 1));
    Entry {
        schema_version: ENTRY_SCHEMA_VERSION,
        entry_id: format!("{run}#{step}"),
        stream: run.to_string(),
        event_no: step,
        occurred_at: Timestamp::from_millisecond(START_S * 1_000 + i64::try_from(n).expect("small") * 2_000)
            .expect("a time"),
        actor: Actor::Agent(run.clone()),
        verb: verb.to_owned(),
        target: Target::new("deal", deal),
        customer_id: Some(CustomerId::new((deal % 50_000).to_string()).expect("an id")),
        state,
        reason: (state == EntryState::WouldHave).then_some(Reason::DryRun),
        mode,
        tier,
        intent_id: intent,
        run_id: Some(run),
        step: Some(2),
        before: moves.then(|| serde_json::json!({"stage": "negotiation", "label": "Negotiation"})),
        after: moves.then(|| serde_json::json!({"stage": "closedlost", "label": "Closed Lost"})),
        because: Some("The customer wrote that they signed with another supplier last week.".to_owned()),
        detail: Some(serde_json::json!({
            "what": "set stage Negotiation to Closed Lost", "event": "email 1042 of contact 501",
            "customer": "Van Dijk Logistics", "deal": "Van Dijk, trailers 2026", "warnings": [],
        })),
        prompt: None,
        model_version: Some("claude-haiku-5-5".to_owned()),
        config_version: Some("stages:3 caps:1 prices:0 zone:1".to_owned()),
        subjects: vec![format!("contact:{}", deal % 30_000), format!("c{}@example.com", deal % 30_000)],
    }
}
