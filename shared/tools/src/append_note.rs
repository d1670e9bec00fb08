//! `append_note`: a note on the run's deal. Must never change or remove a note that is there.
use crate::links::{self, Expected};
use crate::outcome::{created, deal_of, is_planned, marker_found, not_as_planned, plan_of, request_of};
use crate::text::one_line;
use crate::{Permit, Ports, arguments, schema::schema_of};
use async_trait::async_trait;
use crm::{ApiVersion, DealReader, NewNote, NoteWriter, marker_of, request_of_create_note};
use gate::{Act, ActTier, Context, Kind, Plan, ReadBack, Refusal, Sent, Tool};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

const NAME: &str = "append_note";

/// Characters of a note.
const TEXT_CHARS_MAX: usize = 5_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The id of the deal this run is about.
    deal_id: String,
    /// The note, plain text, 1 to 5,000 characters.
    text: String,
    /// Why, in one sentence for the people who read the log, 1 to 300 characters.
    because: String,
}

pub(crate) fn tool(ports: &Ports) -> Tool {
    let append_note = AppendNote {
        api_version: ports.api_version.clone(),
        deals: ports.deals.clone(),
        notes: ports.notes.clone(),
        read_back: ports.read_back.clone(),
    };
    Tool {
        name: NAME,
        description: "Put a note on the deal for colleagues. Use it to keep a fact from a reply that \
            the deal does not show. Write what was said, not what you make of it. Do not \
            use it to ask a question (ask_human) or to write to the customer \
            (draft_email).",
        schema: schema_of::<Arguments>(),
        noun: "notes",
        kind: Kind::Act(ActTier::Reversible, Box::new(append_note)),
    }
}

struct AppendNote {
    api_version: ApiVersion,
    deals: DealReader,
    notes: NoteWriter,
    read_back: crm::ReadBack,
}

impl AppendNote {
    /// The note that the plan is about; none when it would not be sent exactly as planned.
    fn planned_note(&self, context: &Context, plan: &Plan) -> Option<NewNote> {
        let note = NewNote {
            deal_id: context.deal_id.clone(),
            text: plan.after.as_ref()?.get("note")?.as_str()?.to_owned(),
            timestamp: plan
                .request
                .as_ref()?
                .pointer("/body/properties/hs_timestamp")?
                .as_str()?
                .parse()
                .ok()?,
            owner_id: None,
            intent_id: context.intent_id.clone(),
        };
        is_planned(request_of_create_note(&self.api_version, &note), plan).then_some(note)
    }
}

#[async_trait]
impl Act for AppendNote {
    async fn plan(&self, context: &Context, arguments: &Value) -> Result<Plan, Refusal> {
        let given: Arguments = arguments::read(arguments)?;
        arguments::own_deal(context, &given.deal_id)?;
        let text = arguments::lines("text", &given.text, TEXT_CHARS_MAX)?;
        let because = arguments::because(&given.because)?;
        // The deal must be there: HubSpot would keep a note on a deal that is gone, where nobody sees it.
        deal_of(&self.deals, context).await?;
        let note = NewNote {
            deal_id: context.deal_id.clone(),
            text: text.clone(),
            timestamp: context.now,
            owner_id: None,
            intent_id: context.intent_id.clone(),
        };
        let mut plan = plan_of(context, NAME, format!("add a note: {}", one_line(&text, 120)));
        plan.request = Some(request_of(request_of_create_note(&self.api_version, &note))?);
        plan.warnings = links::warnings(&[&text], &Expected::default());
        plan.warnings.extend(links::hidden(&[&given.text, &given.because]));
        plan.after = Some(json!({ "note": text }));
        plan.because = Some(because);
        Ok(plan)
    }

    async fn apply(&self, context: &Context, plan: &Plan, permit: &Permit) -> Sent {
        // FAIL-CLOSED: a note that is not the planned one is not sent.
        let Some(note) = self.planned_note(context, plan) else {
            return not_as_planned();
        };
        created(self.notes.create_note(permit, &note).await, plan, "note", "note_id")
    }

    async fn read_back(&self, context: &Context, _plan: &Plan) -> ReadBack {
        let marker = marker_of(&context.intent_id);
        marker_found(self.read_back.find_marker(&context.deal_id, &marker, crm::Kind::Note).await)
    }
}

#[cfg(test)]
mod tests;
