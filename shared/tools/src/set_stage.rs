//! `set_stage`: the run's deal to a stage that the ops lead allows. Must never use a stage that is not on her
//! list, nor write over a change it has not seen.
use crate::links;
use crate::outcome::{answered, deal_of, is_planned, not_as_planned, plan_of, refused, request_of};
use crate::text::one_line;
use crate::{Permit, Ports, arguments, schema::schema_of};
use async_trait::async_trait;
use crm::{ApiVersion, DealReader, StageChange, StageWriter, request_of_set_stage};
use gate::{Act, ActTier, Context, Kind, Plan, ReadBack, Refusal, Sent, Tool};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use types::{Reason, StageRule, Timestamp};

const NAME: &str = "set_stage";

/// Stages that are listed to the model.
const LISTED_MAX: usize = 40;

/// Characters of a label or id.
const LABEL_CHARS_MAX: usize = 100;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The id of the deal this run is about.
    deal_id: String,
    /// The id of the stage (not its label), one of stages_you_may_set from get_deal.
    stage: String,
    /// Why, in one sentence for the people who read the log, 1 to 300 characters.
    because: String,
}

pub(crate) fn tool(ports: &Ports) -> Tool {
    let set_stage = SetStage {
        api_version: ports.api_version.clone(),
        app_id: ports.app_id,
        deals: ports.deals.clone(),
        stages: ports.stages.clone(),
        read_back: ports.read_back.clone(),
    };
    Tool {
        name: NAME,
        description: "Move the deal to another stage of its pipeline. Use it only when the \
            customer's own words settle it; when they leave room for doubt, use ask_human. \
            Read the deal first.",
        schema: schema_of::<Arguments>(),
        noun: "stages",
        kind: Kind::Act(ActTier::SemiReversible, Box::new(set_stage)),
    }
}

struct SetStage {
    api_version: ApiVersion,
    app_id: Option<u64>,
    deals: DealReader,
    stages: StageWriter,
    read_back: crm::ReadBack,
}

/// The stage in which the deal would be, had this run's dry-run writes been real.
pub(crate) fn would_be_stage(context: &Context) -> Option<&str> {
    let newest = context.own_writes.iter().rev().find(|write| write.tool == NAME)?;
    newest.after.get("stage")?.as_str()
}

/// The label of a stage, cleaned.
pub(crate) fn label(context: &Context, stage: &str) -> String {
    one_line(context.stages.label(stage), LABEL_CHARS_MAX)
}

/// The stages that the agent may use, of that pipeline where one is named.
pub(crate) fn allowed(context: &Context, pipeline: Option<&str>) -> Vec<Value> {
    let usable = context.stages.0.iter().filter(|rule| rule.agent_may_move_here);
    usable
        .filter(|rule| pipeline.is_none_or(|pipeline| rule.pipeline_id == pipeline))
        .take(LISTED_MAX)
        .map(|rule| {
            let id = one_line(&rule.stage_id, LABEL_CHARS_MAX);
            json!({ "stage": id, "label": one_line(&rule.label, LABEL_CHARS_MAX) })
        })
        .collect()
}

/// The rule of a stage that the agent may use.
// INVARIANT (I18): only a stage on the current list, by its id; what is used afterwards is the list's own id.
fn usable<'a>(context: &'a Context, stage: &str) -> Option<&'a StageRule> {
    context.stages.find(stage).filter(|rule| rule.agent_may_move_here || types::mutant("any_stage"))
}

fn not_allowed(context: &Context, pipeline: Option<&str>) -> Refusal {
    let listed = Value::Array(allowed(context, pipeline));
    let tell = format!("that stage is not allowed here; stages you may set: {listed}");
    Refusal::new(Reason::StageNotAllowed, tell)
}

impl SetStage {
    /// Reads the deal once more, just before the write.
    ///
    /// HubSpot has no compare-and-set: a change that a person makes between this read and HubSpot's own write
    /// is still overwritten. The window is one request long, and the deal's property history shows both
    /// changes.
    async fn still_as_planned(&self, context: &Context, plan: &Plan) -> Result<String, Sent> {
        let before = stage_in(plan.before.as_ref());
        let target = stage_in(plan.after.as_ref());
        let (Some(before), Some(target)) = (before, target) else {
            return Err(not_as_planned());
        };
        let again = request_of_set_stage(&self.api_version, &context.deal_id, None, target);
        // FAIL-CLOSED: another request than the planned one is not sent.
        if !is_planned(again, plan) {
            return Err(not_as_planned());
        }
        // The list may have changed since the plan was made.
        if usable(context, target).is_none() {
            let Refusal { reason, tell, retry_ms } = not_allowed(context, None);
            return Err(Sent::NotApplied { reason, tell, retry_ms });
        }
        let deal = self.deals.get_deal(&context.deal_id).await.map_err(|error| {
            let Refusal { reason, tell, retry_ms } = refused(&error);
            Sent::NotApplied { reason, tell, retry_ms }
        })?;
        if deal.stage.as_deref() == Some(before) {
            return Ok(target.to_owned());
        }
        let now = deal.stage.as_deref().map_or_else(|| "none".to_owned(), |stage| label(context, stage));
        let tell = format!("somebody moved the deal meanwhile (its stage is now {now}); nothing was written");
        Err(Sent::NotApplied { reason: Reason::Conflict, tell, retry_ms: None })
    }
}

#[async_trait]
impl Act for SetStage {
    async fn plan(&self, context: &Context, arguments: &Value) -> Result<Plan, Refusal> {
        let given: Arguments = arguments::read(arguments)?;
        arguments::own_deal(context, &given.deal_id)?;
        let because = arguments::because(&given.because)?;
        let rule = usable(context, given.stage.trim()).ok_or_else(|| not_allowed(context, None))?;
        let deal = deal_of(&self.deals, context).await?;
        // FAIL-CLOSED: a deal whose pipeline is not known is moved nowhere.
        if deal.pipeline.as_deref() != Some(rule.pipeline_id.as_str()) {
            return Err(not_allowed(context, deal.pipeline.as_deref().or(Some(""))));
        }
        // FAIL-CLOSED: without the stage of now nobody could see a change made meanwhile, or set it back.
        let Some(stage) = deal.stage.clone() else {
            return Err(Refusal::new(Reason::StageNotAllowed, "the deal has no stage now; use ask_human"));
        };
        let shown = would_be_stage(context).unwrap_or(&stage);
        if shown == rule.stage_id || stage == rule.stage_id {
            let tell = format!("the deal is in {} already", label(context, &rule.stage_id));
            return Err(Refusal::new(Reason::SameStage, tell));
        }
        let (from, to) = (label(context, &stage), label(context, &rule.stage_id));
        let mut plan = plan_of(context, NAME, format!("set stage {from} → {to}"));
        let planned = request_of_set_stage(&self.api_version, &context.deal_id, None, &rule.stage_id);
        plan.request = Some(request_of(planned)?);
        let since = deal.stage_history.first().and_then(|change| change.at);
        plan.before = Some(json!({ "stage": stage, "label": from, "since": since }));
        plan.after = Some(json!({ "stage": rule.stage_id, "label": to }));
        plan.warnings.extend(links::hidden(&[&given.because]));
        plan.because = Some(because);
        Ok(plan)
    }

    async fn apply(&self, context: &Context, plan: &Plan, permit: &Permit) -> Sent {
        let target = match self.still_as_planned(context, plan).await {
            Ok(target) => target,
            Err(not_sent) => return not_sent,
        };
        let sent = self.stages.set_stage(permit, &context.deal_id, None, &target).await;
        answered(sent, |()| Sent::Applied {
            after: plan.after.clone(),
            tell: format!("done: the deal is now in {}", label(context, &target)),
        })
    }

    async fn read_back(&self, context: &Context, plan: &Plan) -> ReadBack {
        match self.read_back.stage_history(&context.deal_id).await {
            Ok(history) => seen_in(&history, plan, self.app_id),
            Err(_) => ReadBack::Unreadable,
        }
    }
}

fn stage_in(value: Option<&Value>) -> Option<&str> {
    value?.get("stage")?.as_str()
}

/// What the stage's history says about a write that was never answered. The newest entry is the stage of now.
// INVARIANT (I21): "applied" needs our own app's newer entry, "not applied" the very entry that was there
// before.
fn seen_in(history: &[StageChange], plan: &Plan, app_id: Option<u64>) -> ReadBack {
    let Some(newest) = history.first() else {
        return ReadBack::Unreadable;
    };
    let since =
        plan.before.as_ref().and_then(|before| before.get("since")?.as_str()?.parse::<Timestamp>().ok());
    let stage = Some(newest.stage.as_str());
    let ours = app_id.is_some_and(|app_id| newest.is_by_app(app_id));
    if let (Some(at), Some(since)) = (newest.at, since) {
        if at > since && ours && stage == stage_in(plan.after.as_ref()) {
            return ReadBack::Applied;
        }
        if at == since && stage == stage_in(plan.before.as_ref()) {
            return ReadBack::NotApplied;
        }
    }
    // FAIL-CLOSED: whatever cannot be told from a person's change is put before a person.
    let unknown = if app_id.is_none() { " (our own app's id is not configured)" } else { "" };
    ReadBack::Conflict { seen: format!("stage {}{unknown}", one_line(&newest.stage, LABEL_CHARS_MAX)) }
}

#[cfg(test)]
mod tests;
