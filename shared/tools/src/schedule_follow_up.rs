//! `schedule_follow_up`: a task on the run's deal for the deal's owner. Must never be due in the past or out
//! of sight.
use crate::links::{self, Expected};
use crate::outcome::{created, deal_of, is_planned, marker_found, not_as_planned, plan_of, request_of};
use crate::text::one_line;
use crate::{Permit, Ports, arguments, schema::schema_of};
use async_trait::async_trait;
use crm::{ApiVersion, DealReader, NewTask, RecordId, TaskWriter, marker_of, request_of_create_task};
use gate::{Act, ActTier, Context, Kind, Plan, ReadBack, Refusal, Sent, Tool};
use jiff::{ToSpan, civil::Date, tz::TimeZone};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use types::{Reason, Timestamp};

const NAME: &str = "schedule_follow_up";

/// Characters of a subject.
const SUBJECT_CHARS_MAX: usize = 200;

/// How far ahead a follow-up may be, in days.
const DAYS_MAX: i64 = 365;

/// The hour at which it is due, in the ops lead's zone.
const DUE_HOUR: i8 = 9;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The id of the deal this run is about.
    deal_id: String,
    /// The day it is due, YYYY-MM-DD, from today to one year ahead.
    due_date: String,
    /// What is to be done, one line, 1 to 200 characters.
    subject: String,
    /// Why, in one sentence for the people who do it, 1 to 300 characters.
    because: String,
}

pub(crate) fn tool(ports: &Ports) -> Tool {
    let schedule_follow_up = ScheduleFollowUp {
        api_version: ports.api_version.clone(),
        deals: ports.deals.clone(),
        tasks: ports.tasks.clone(),
        read_back: ports.read_back.clone(),
    };
    Tool {
        name: NAME,
        description: "Give the deal's owner a task on a day: a call, a reminder, a check. Use it \
            when the customer named a time, or asked for something that a colleague must \
            do later. Do not use it for something to decide now (ask_human).",
        schema: schema_of::<Arguments>(),
        noun: "follow-ups",
        kind: Kind::Act(ActTier::Reversible, Box::new(schedule_follow_up)),
    }
}

struct ScheduleFollowUp {
    api_version: ApiVersion,
    deals: DealReader,
    tasks: TaskWriter,
    read_back: crm::ReadBack,
}

impl ScheduleFollowUp {
    /// The task that the plan is about; none when it would not be sent exactly as planned.
    fn planned_task(&self, context: &Context, plan: &Plan) -> Option<NewTask> {
        let after = plan.after.as_ref()?;
        let text = |name: &str| after.get(name).and_then(Value::as_str);
        let task = NewTask {
            deal_id: context.deal_id.clone(),
            subject: text("subject")?.to_owned(),
            text: plan.because.clone()?,
            due: text("due_at")?.parse().ok()?,
            owner_id: text("owner_id").and_then(|id| RecordId::parse(id).ok()),
            intent_id: context.intent_id.clone(),
        };
        is_planned(request_of_create_task(&self.api_version, &task), plan).then_some(task)
    }
}

#[async_trait]
impl Act for ScheduleFollowUp {
    async fn plan(&self, context: &Context, arguments: &Value) -> Result<Plan, Refusal> {
        let given: Arguments = arguments::read(arguments)?;
        arguments::own_deal(context, &given.deal_id)?;
        let subject = arguments::line("subject", &given.subject, SUBJECT_CHARS_MAX)?;
        let because = arguments::because(&given.because)?;
        let (date, due) = due_of(given.due_date.trim(), &context.zone, context.now)?;
        let deal = deal_of(&self.deals, context).await?;
        let task = NewTask {
            deal_id: context.deal_id.clone(),
            subject: subject.clone(),
            text: because.clone(),
            due,
            owner_id: deal.owner_id,
            intent_id: context.intent_id.clone(),
        };
        let what = format!("schedule a follow-up on {date}: {}", one_line(&subject, 120));
        let mut plan = plan_of(context, NAME, what);
        plan.request = Some(request_of(request_of_create_task(&self.api_version, &task))?);
        plan.warnings = links::warnings(&[&subject, &because], &Expected::default());
        plan.warnings.extend(links::hidden(&[&given.subject, &given.because]));
        if deal.owner_id.is_none() {
            plan.warnings.push("the deal has no owner, so nobody is given the task".to_owned());
        }
        plan.after = Some(json!({
            "subject": subject,
            "due_date": date,
            "due_at": due,
            "owner_id": deal.owner_id,
        }));
        plan.because = Some(because);
        Ok(plan)
    }

    async fn apply(&self, context: &Context, plan: &Plan, permit: &Permit) -> Sent {
        // FAIL-CLOSED: a task that is not the planned one is not sent.
        let Some(task) = self.planned_task(context, plan) else {
            return not_as_planned();
        };
        created(self.tasks.create_task(permit, &task).await, plan, "task", "task_id")
    }

    async fn read_back(&self, context: &Context, _plan: &Plan) -> ReadBack {
        let marker = marker_of(&context.intent_id);
        marker_found(self.read_back.find_marker(&context.deal_id, &marker, crm::Kind::Task).await)
    }
}

/// The day and the moment it is due: nine o'clock in that zone.
fn due_of(text: &str, zone: &str, now: Timestamp) -> Result<(Date, Timestamp), Refusal> {
    let date = plain_date(text)
        .ok_or_else(|| arguments::malformed("due_date must be a day of the calendar, as YYYY-MM-DD"))?;
    // FAIL-CLOSED: in an unknown zone nobody knows what day it is.
    let zone = TimeZone::get(zone).map_err(|_unknown| {
        Refusal::new(Reason::ConfigUnusable, "the configured time zone is not known; ask_human instead")
    })?;
    let today = now.to_zoned_datetime(zone.clone()).date();
    let last = today.checked_add(DAYS_MAX.days()).unwrap_or(Date::MAX);
    if date < today || date > last {
        let tell = format!("due_date must be from {today} (today) to {last}");
        return Err(Refusal::new(Reason::DateOutOfRange, tell));
    }
    let due = date.at(DUE_HOUR, 0, 0, 0).to_zoned_datetime(zone).map_err(|_out_of_calendar| {
        Refusal::new(Reason::DateOutOfRange, "that day cannot be expressed in the configured time zone")
    })?;
    Ok((date, due.timestamp()))
}

/// `YYYY-MM-DD` and nothing else: the library would also read times, other forms and signs.
fn plain_date(text: &str) -> Option<Date> {
    let plain = text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(at, b)| if matches!(at, 4 | 7) { b == b'-' } else { b.is_ascii_digit() });
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests;
