//! `ask_human`: a question to colleagues, in Slack and on the console. Must never wait for the answer, nor
//! write to the CRM.
use crate::links::{self, Expected};
use crate::outcome::plan_of;
use crate::text::one_line;
use crate::{Ports, arguments, schema::schema_of};
use async_trait::async_trait;
use gate::{Ask, Context, Kind, Plan, Refusal, Tool};
use notify::{Link, Posted, Question, Slack};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use types::Reason;

const NAME: &str = "ask_human";

/// Characters of a question.
const QUESTION_CHARS_MAX: usize = 1_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The id of the deal this run is about.
    deal_id: String,
    /// The question, 1 to 1,000 characters, complete enough to be answered by somebody who has not read the
    /// mail.
    question: String,
    /// Why you ask, in one sentence, 1 to 300 characters.
    because: String,
}

pub(crate) fn tool(ports: &Ports) -> Tool {
    Tool {
        name: NAME,
        description: "Ask a colleague about the deal. Use it when the customer's words leave room \
            for doubt, when a tool was refused for a reason that only a person can \
            resolve, or when nothing else fits. The answer does not come back into this \
            run: ask once, then finish.",
        schema: schema_of::<Arguments>(),
        noun: "questions",
        kind: Kind::Ask(Box::new(AskHuman { slack: ports.slack.clone() })),
    }
}

struct AskHuman {
    slack: Option<Slack>,
}

#[async_trait]
impl Ask for AskHuman {
    async fn plan(&self, context: &Context, arguments: &Value) -> Result<Plan, Refusal> {
        let given: Arguments = arguments::read(arguments)?;
        arguments::own_deal(context, &given.deal_id)?;
        let question = arguments::lines("question", &given.question, QUESTION_CHARS_MAX)?;
        let because = arguments::because(&given.because)?;
        let mut plan = plan_of(context, NAME, format!("ask people: {}", one_line(&question, 120)));
        plan.warnings = links::warnings(&[&question, &because], &Expected::default());
        plan.warnings.extend(links::hidden(&[&given.question, &given.because]));
        plan.after = Some(json!({ "question": question }));
        plan.because = Some(because);
        Ok(plan)
    }

    async fn post(&self, context: &Context, plan: &Plan) -> Result<(), Reason> {
        let slack = self.slack.as_ref().ok_or(Reason::SlackUnavailable)?;
        let asked = plan.after.as_ref().and_then(|after| after.get("question")?.as_str());
        let question = Question {
            deal_id: &context.deal_id,
            customer_name: company_name(context),
            question: asked.ok_or(Reason::SlackUnavailable)?,
            because: plan.because.as_deref(),
            run_id: &context.run_id,
        };
        let link = context.run_url.as_deref().and_then(|url| Link::new("Open run", url));
        match slack.post(&notify::question(&question, link.as_slice())).await {
            Posted::Ok => Ok(()),
            Posted::Refused { .. } | Posted::RateLimited { .. } | Posted::Unavailable { .. } => {
                Err(Reason::SlackUnavailable)
            }
        }
    }
}

/// The customer's name, where the customer is a company. A deal without one may carry a person's name, and
/// Slack is no place for it.
fn company_name(context: &Context) -> Option<&str> {
    let is_company = !context.customer_id.as_str().starts_with("deal-");
    is_company.then_some(context.customer_name.as_str()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests;
