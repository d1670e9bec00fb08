//! The webhook: signature, admission, start. Must never touch a store before the signature is right, nor run
//! a step.

mod admit;
mod error;
mod start;

pub use admit::{Fate, Report};
pub use error::IntakeError;
pub use start::StartError;

use config::metrics::{self, Metric};
use crm::webhook::{self, Limits, Received, Verdict};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use types::Clock;
use web::{Method, Request, Response};

/// HubSpot counts an answer after five seconds as none; whatever is not stored by then is asked for again.
const ANSWER_WITHIN: Duration = Duration::from_millis(4_000);

/// Everything that intake works with.
pub struct Deps {
    /// Admission.
    pub ledger: ledger::Ledger,
    /// Starts runs.
    pub starter: starter::Starter,
    /// HubSpot's client secrets.
    pub secrets: Arc<config::Secrets>,
    /// Our own app: its writes start nothing.
    pub app_id: Option<u64>,
    /// How long a request to forget somebody is only visible before it is carried out (ms); `None`: a person
    /// must say so.
    pub erase_after_ms: Option<i64>,
    /// The injected clock.
    pub clock: Clock,
}

/// Handles one function-URL event.
///
/// # Errors
/// [`IntakeError`] when the platform handed over something that is no request.
pub async fn handle(deps: &Deps, event: Value) -> Result<Value, IntakeError> {
    let request = Request::from_event(event).map_err(IntakeError::Event)?;
    Ok(answer(deps, &request).await.into_event())
}

/// Judges one request and answers it.
// INVARIANT (I23): forged, stale and malformed requests touch no store.
pub async fn answer(deps: &Deps, request: &Request) -> Response {
    if request.method() != Method::Post {
        return Response::json(405, &json!({"error": "only POST"}));
    }
    let verdict = match verify(deps, request).await {
        Ok(verdict) => verdict,
        Err(error) => {
            // FAIL-CLOSED: without a secret nothing can be verified. HubSpot sends again.
            tracing::error!(%error, "the webhook cannot be verified");
            return Response::json(503, &json!({"error": "not set up"}));
        }
    };
    if verdict != Verdict::Ok {
        tracing::warn!(verdict = ?verdict, "a webhook was refused");
        metrics::count(Metric::WebhooksRefused, 1);
        return Response::json(401, &json!({"error": "signature refused"}));
    }
    let events = match webhook::parse(request.body(), Limits::default()) {
        Ok(events) => events,
        Err(error) => {
            tracing::warn!(%error, "a signed body could not be read");
            return Response::json(status_of(&error), &json!({"error": error.to_string()}));
        }
    };
    let report = admit::all(deps, events, ANSWER_WITHIN).await;
    let status = if report.left_open() == 0 { 200 } else { 503 };
    Response::json(status, &report.to_json())
}

async fn verify(deps: &Deps, request: &Request) -> Result<Verdict, config::ConfigError> {
    let target = deps.secrets.get(config::SecretName::HubspotTargetUrl).await?;
    let secrets = deps.secrets.hubspot_client_secrets().await?;
    let secrets: Vec<crm::Secret> = secrets.iter().map(|secret| crm::Secret::new(secret.expose())).collect();
    let received = Received {
        method: "POST",
        path: request.path(),
        query: request.query_text(),
        body: request.body(),
        signature: request.header("x-hubspot-signature-v3"),
        timestamp: request.header("x-hubspot-request-timestamp"),
    };
    Ok(webhook::verify(target.expose(), &secrets, &received, deps.clock.now_ms()))
}

fn status_of(error: &crm::BodyError) -> u16 {
    match error {
        crm::BodyError::TooLarge { .. } => 413,
        crm::BodyError::TooDeep { .. }
        | crm::BodyError::NotAnArray
        | crm::BodyError::Empty
        | crm::BodyError::TooMany { .. } => 400,
    }
}
