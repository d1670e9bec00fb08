//! Step 0: fixes the run's deal and customer and writes the first message, by reads only. Must never call the
//! model.
use crate::step::{InHand, Next, StepOutput};
use crate::{StepError, close};
use crm::{CrmError, Deal, Email, RecordId};
use interlock::DEADLINE_MARGIN_MS;
use ledger::{Commit, Intent, Leased, RunDeal, RunStatus, Stored};
use std::fmt::Write;
use types::{DealId, EntryState, Reason, Tier};

/// Runs of one deal on one day; the brake if an echo of our own write ever starts runs.
const RUNS_PER_DEAL_AND_DAY: u64 = 20;
/// How long to wait once for a mail's deal, which may be linked after the mail was logged (seconds).
const LATE_LINK_S: u32 = 20;
/// The most runs, each started again as the next, of which the model is told.
const RUNS_BEFORE_MAX: usize = 5;
/// The most deals of one mail that are looked at.
const DEALS_OF_A_MAIL_MAX: usize = 5;

/// What the event is about, once read.
enum Found {
    Deal(Box<Deal>, Option<Box<Email>>),
    None(Reason),
    NotYet,
}

/// Step 0.
pub(crate) async fn open(hand: &mut InHand<'_>) -> Result<StepOutput, StepError> {
    let (deal, email) = match find(hand).await {
        Ok(Found::Deal(deal, email)) => (deal, email),
        Ok(Found::None(reason)) => return close::finish(hand, RunStatus::Done, reason, None).await,
        Ok(Found::NotYet) if !hand.run.waited_for_deal => {
            hand.run.waited_for_deal = true;
            hand.run.claim = None;
            return match hand.deps.ledger.commit(&mut hand.run, Commit::default()).await? {
                Stored::Yes => Ok(hand.wait(LATE_LINK_S)),
                Stored::Raced => Err(StepError::Raced),
            };
        }
        Ok(Found::NotYet) => return close::finish(hand, RunStatus::Done, Reason::NoDeal, None).await,
        Err(error) => return crm_failed(hand, &error).await,
    };
    let fixed = match fix(hand, &deal, email.as_deref()).await {
        Ok(fixed) => fixed,
        Err(error) => return crm_failed(hand, &error).await,
    };
    let until_ms = hand.invocation.deadline_ms.saturating_add(DEADLINE_MARGIN_MS).saturating_add(60_000);
    if hand.deps.ledger.lease(&fixed.customer_id, &hand.run.run_id, until_ms).await? == Leased::Busy {
        return Ok(hand.wait(5));
    }
    let day = day_of(hand);
    if hand.deps.ledger.count_run(&fixed.deal_id, &day).await? > RUNS_PER_DEAL_AND_DAY {
        hand.run.deal = Some(fixed);
        return close::finish(hand, RunStatus::Failed, Reason::RunsPerDeal, None).await;
    }
    let mut first = first_message(hand, &fixed, email.as_deref(), &day);
    first.push_str(&before(hand, &fixed).await?);
    let bytes = String::from_utf8(model::user_text(&first)?)
        .map_err(|_| StepError::Inconsistent { what: "the first message is no text" })?;
    let frozen =
        match model::Frozen::new(&hand.deps.model_name, model::system_text(), &specs(&hand.deps.tools)) {
            Ok(frozen) => frozen,
            // Another try would not know it either: the run ends here and says why.
            Err(model::ModelError::ModelUnknown { .. }) => {
                hand.run.deal = Some(fixed);
                return close::finish(hand, RunStatus::Failed, Reason::ModelWithoutPrice, None).await;
            }
            Err(error) => return Err(error.into()),
        };
    let frozen_text = String::from_utf8(frozen.bytes().to_vec())
        .map_err(|_| StepError::Inconsistent { what: "the frozen part is no text" })?;
    let part = hand.deps.ledger.put_shared(&frozen_text).await?;
    hand.run.deal = Some(fixed);
    hand.run.frozen = Some(part.hash);
    hand.run.model = hand.deps.model_name.clone();
    hand.run.config_version = hand.config.hot.version.clone();
    hand.run.caps = hand.config.hot.caps;
    hand.run.parked_since_ms = None;
    hand.run.n = 1;
    hand.run.claim = None;
    let commit = Commit { messages: vec![bytes], ..Commit::default() };
    match hand.deps.ledger.commit(&mut hand.run, commit).await? {
        Stored::Yes => Ok(hand.output(Next::Continue, 0)),
        Stored::Raced => Err(StepError::Raced),
    }
}

/// Reads what the event is about.
async fn find(hand: &InHand<'_>) -> Result<Found, CrmError> {
    let event = &hand.run.event;
    if event.kind != "email_created" {
        let deal_id =
            DealId::new(event.object_id.clone()).map_err(|_| CrmError::BadId { call: "get deal" })?;
        let deal = hand.deps.deals.get_deal(&deal_id).await?;
        return Ok(Found::Deal(Box::new(deal), None));
    }
    let id = RecordId::parse(&event.object_id).map_err(|_| CrmError::BadId { call: "get email" })?;
    let email = hand.deps.emails.get_email(id).await?;
    if !email.is_inbound_reply() {
        return Ok(Found::None(Reason::NotInbound));
    }
    let mut newest: Option<Deal> = None;
    for id in email.deal_ids.iter().take(DEALS_OF_A_MAIL_MAX) {
        let deal_id = DealId::new(id.to_string()).map_err(|_| CrmError::BadId { call: "get deal" })?;
        let deal = hand.deps.deals.get_deal(&deal_id).await?;
        // Several deals on one mail: an open one rather than a closed one, then the one that changed last.
        let rank = |deal: &Deal| (!is_closed(hand, deal), deal.updated_at);
        if newest.as_ref().is_none_or(|best| rank(&deal) > rank(best)) {
            newest = Some(deal);
        }
    }
    Ok(match newest {
        Some(deal) => Found::Deal(Box::new(deal), Some(Box::new(email))),
        None => Found::NotYet,
    })
}

fn is_closed(hand: &InHand<'_>, deal: &Deal) -> bool {
    let stage = deal.stage.as_deref().and_then(|stage| hand.config.hot.stages.find(stage));
    stage.is_some_and(|rule| rule.closed)
}

/// The deal, its customer and the names that people know them by.
async fn fix(hand: &InHand<'_>, deal: &Deal, email: Option<&Email>) -> Result<RunDeal, CrmError> {
    let customer_id = deal.customer_id()?;
    let customer_name = customer_name(hand, deal, customer_id.as_str()).await?;
    let contact_ids: Vec<String> = deal.contact_ids.iter().map(ToString::to_string).collect();
    let mut subjects = contact_ids.clone();
    subjects.extend(email.iter().flat_map(|email| email.contact_ids.iter().map(ToString::to_string)));
    subjects.extend(email.and_then(|email| email.from.clone()));
    subjects.sort();
    subjects.dedup();
    Ok(RunDeal {
        deal_id: deal.id.clone(),
        deal_name: line(deal.name.as_deref().unwrap_or("(no name)")),
        customer_id,
        customer_name,
        contact_ids,
        subjects,
    })
}

async fn customer_name(hand: &InHand<'_>, deal: &Deal, customer: &str) -> Result<String, CrmError> {
    if let Some(company) = deal.companies.iter().find(|company| company.id.to_string() == customer) {
        let company = hand.deps.companies.get_company(company.id).await?;
        return Ok(line(company.name.as_deref().unwrap_or("(no name)")));
    }
    let Some(first) = deal.contact_ids.first() else { return Ok("(no company)".to_owned()) };
    let contact = hand.deps.contacts.get_contact(*first).await?;
    let name = [contact.first_name, contact.last_name].into_iter().flatten().collect::<Vec<_>>().join(" ");
    Ok(format!("{} (no company)", line(&name)))
}

/// A name as one short line without control characters: it is shown to people and to the model.
fn line(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_control()).take(120).collect();
    plain.trim().to_owned()
}

/// What the model reads first: the event, the run's own deal, the rules that change, and the mail as data.
fn first_message(hand: &InHand<'_>, deal: &RunDeal, email: Option<&Email>, day: &str) -> String {
    let hot = &hand.config.hot;
    let mut text = format!("Today is {day} ({}). This run is about deal {}.\n", hot.zone, deal.deal_id);
    let stages: Vec<String> = hot
        .stages
        .0
        .iter()
        .filter(|rule| rule.agent_may_move_here)
        .map(|rule| format!("{} ({})", rule.stage_id, line(&rule.label)))
        .collect();
    let listed = if stages.is_empty() { "none".to_owned() } else { stages.join(", ") };
    // Writing into a String cannot fail.
    let _ = writeln!(text, "Stages that set_stage may move it to: {listed}.");
    match (email, hand.run.event.property.as_deref()) {
        (Some(email), _) => {
            text.push_str("Event: a reply arrived.\n");
            text.push_str(&model::untrusted("mail", &mail_text(email)));
        }
        (None, Some(property)) => {
            let _ = write!(text, "Event: `{property}` of the deal was changed in the CRM.");
        }
        (None, None) => text.push_str("Event: the deal was created in the CRM."),
    }
    text
}

/// What the runs did that this one starts again: the model is told, and `act` holds it to that.
async fn before(hand: &mut InHand<'_>, deal: &RunDeal) -> Result<String, StepError> {
    let Some(follows) = &mut hand.run.follows else { return Ok(String::new()) };
    if follows.deal_id.as_ref() != Some(&deal.deal_id) {
        // The mail belongs to another deal by now: nothing was done to this one.
        follows.acts.clear();
        return Ok(String::new());
    }
    let (mut lines, mut next) = (Vec::new(), Some(follows.run_id.clone()));
    for _ in 0..RUNS_BEFORE_MAX {
        let Some(run_id) = next.take() else { break };
        let (run, transcript) =
            tokio::join!(hand.deps.ledger.run(&run_id), hand.deps.ledger.transcript(&run_id));
        let did = transcript?.intents.into_values().filter_map(|intent| did(&intent));
        lines.splice(0..0, did);
        next = run?.follows.map(|follows| follows.run_id);
    }
    if lines.is_empty() {
        return Ok("\nAn earlier run about this event was stopped before it did anything.".to_owned());
    }
    let list = model::untrusted("earlier acts", &lines.join("\n"));
    Ok(format!(
        "\nAn earlier run about this event was stopped before it ended. Go on from what it did, and do none \
         of it again:\n{list}"
    ))
}

/// One line of what a tool call came to; none where it only read.
fn did(intent: &Intent) -> Option<String> {
    let outcome = intent.outcome.as_ref()?;
    let word = match outcome.state {
        _ if intent.tier.is_none_or(|tier| tier == Tier::Read) => return None,
        EntryState::Applied => "done",
        EntryState::Drafted => "drafted for a person",
        EntryState::WouldHave => "not done, the tool was in dry-run",
        EntryState::Failed | EntryState::Refused | EntryState::Halted => "not done",
        EntryState::Opened | EntryState::Unknown => "perhaps done",
    };
    Some(format!("- {} ({word}): {}", intent.tool, line(&intent.what)))
}

fn mail_text(email: &Email) -> String {
    let at = email.timestamp.map(|at| at.to_string()).unwrap_or_default();
    format!(
        "From: {}\nDate: {at}\nSubject: {}\n\n{}",
        email.from.as_deref().unwrap_or("(unknown)"),
        email.subject.as_deref().unwrap_or("(none)"),
        email.text.as_deref().unwrap_or("(empty)"),
    )
}

fn specs(tools: &tools::Registry) -> Vec<model::ToolSpec> {
    tools
        .all()
        .iter()
        .map(|tool| model::ToolSpec {
            name: tool.name.to_owned(),
            description: tool.description.to_owned(),
            input_schema: tool.schema.clone(),
        })
        .collect()
}

/// Today in the ops lead's zone.
pub(crate) fn day_of(hand: &InHand<'_>) -> String {
    let now = hand.deps.clock.now();
    match now.in_tz(&hand.config.hot.zone) {
        Ok(zoned) => zoned.date().to_string(),
        Err(_) => now.strftime("%Y-%m-%d").to_string(),
    }
}

/// The CRM could not be read: look again, or end.
pub(crate) async fn crm_failed(hand: &mut InHand<'_>, error: &CrmError) -> Result<StepOutput, StepError> {
    tracing::warn!(run_id = %hand.run.run_id, %error, "the CRM could not be read");
    match error {
        CrmError::RateLimited { daily: false, .. } => close::park(hand, Reason::CrmRateLimited).await,
        CrmError::RateLimited { .. } => {
            close::finish(hand, RunStatus::Failed, Reason::CrmRateLimited, None).await
        }
        CrmError::Unavailable { .. } => close::park(hand, Reason::CrmUnavailable).await,
        CrmError::NotFound { .. }
        | CrmError::Refused { .. }
        | CrmError::Malformed { .. }
        | CrmError::TooLarge { .. }
        | CrmError::Incomplete { .. }
        | CrmError::BadId { .. } => close::finish(hand, RunStatus::Failed, error.reason(), None).await,
    }
}
