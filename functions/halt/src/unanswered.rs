//! What HubSpot shows of a write that nobody answered, if it arrived and if not. Must never hold the page up:
//! what cannot be read in time is left out.
use crate::Deps;
use interlock::HeldPermit;
use serde_json::Value;
use sight::Sight;
use std::time::Duration;
use types::Scope;

/// How long the page waits for all of it.
const WITHIN: Duration = Duration::from_millis(250);
/// How many writes are looked up.
const WRITES_MAX: usize = 3;

/// One unanswered write, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unanswered {
    /// The deal's number.
    pub(crate) deal: String,
    /// The deal's page in HubSpot.
    pub(crate) url: Option<String>,
    /// The stage that HubSpot shows if the write did not arrive, and if it did.
    pub(crate) stages: Option<(String, String)>,
}

/// What is known of each unanswered write, in the order of the panel.
pub(crate) async fn of(deps: &Deps, sight: &Sight) -> Vec<Unanswered> {
    let Some(control) = &sight.control else { return Vec::new() };
    let (_, unknown) = control.writes(&Scope::Global, sight.seen.now.as_millisecond());
    let mut known: Vec<_> = unknown.iter().take(WRITES_MAX).map(|held| blank(held)).collect();
    let look = async {
        for (held, known) in unknown.iter().zip(known.iter_mut()) {
            if let Err(error) = fill(deps, held, known).await {
                tracing::warn!(%error, run_id = %held.run_id, "an unanswered write could not be looked up");
            }
        }
    };
    let _ = tokio::time::timeout(WITHIN, look).await;
    known
}

fn blank(held: &HeldPermit) -> Unanswered {
    let deal = held.target.strip_prefix("deal:").unwrap_or(&held.target).to_owned();
    Unanswered { deal, ..Unanswered::default() }
}

async fn fill(deps: &Deps, held: &HeldPermit, known: &mut Unanswered) -> Result<(), ledger::LedgerError> {
    if let Some(app) = &deps.install.hubspot_app_url {
        let portal = deps.ledger.run(&held.run_id).await?.event.portal_id;
        let deal = web::encode_component(&known.deal);
        known.url = Some(format!("{app}/contacts/{portal}/record/0-3/{deal}"));
    }
    if held.tool != "set_stage" {
        return Ok(());
    }
    let transcript = deps.ledger.transcript(&held.run_id).await?;
    let intent = transcript.intents.into_values().find(|intent| intent.intent_id == held.intent_id);
    known.stages = intent.and_then(|intent| label(intent.before.as_ref()).zip(label(intent.after.as_ref())));
    Ok(())
}

/// The stage's name, or its id where it has none.
fn label(value: Option<&Value>) -> Option<String> {
    let value = value?;
    let text = value.get("label").or_else(|| value.get("stage")).and_then(Value::as_str)?;
    Some(text.to_owned())
}
