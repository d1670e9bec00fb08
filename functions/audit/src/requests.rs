//! Data requests: opened and carried on, exports handed over. Must never answer with whom an erasure was
//! about.
use crate::{AuditError, Deps};
use base64::Engine as _;
use ledger::DataRequest;
use privacy::Ask;
use serde::Deserialize;
use serde_json::{Value, json};
use types::{Actor, PersonId, Subject};

/// How long one invocation carries requests on (ms): the rest is the next sweep's.
const CARRY_MS: i64 = 20_000;
/// The most bytes of an archive that one answer can carry: the platform allows six megabytes, base64 takes a
/// third.
const ZIP_BYTES_MAX: usize = 4_000_000;

/// What the operator's command sends.
#[derive(Debug, Deserialize)]
struct Asked {
    subject: Subject,
    person: Option<PersonId>,
    because: Option<String>,
}

impl Asked {
    fn read(value: &Value) -> Result<Ask, AuditError> {
        let asked = Self::deserialize(value).map_err(|_| AuditError::Payload)?;
        let by = asked.person.map_or_else(|| Actor::System("cli".to_owned()), Actor::Person);
        Ok(Ask { subject: asked.subject, because: asked.because, by })
    }
}

/// `{"export": {"subject": ..}}`: the archive, base64.
pub(crate) async fn export(deps: &Deps, asked: &Value) -> Result<Value, AuditError> {
    let exported = privacy::export(&deps.ledger, &deps.log, &Asked::read(asked)?).await?;
    // Without the archive where it is too large: the size says why.
    let zip = (exported.zip.len() <= ZIP_BYTES_MAX)
        .then(|| base64::engine::general_purpose::STANDARD.encode(&exported.zip));
    Ok(json!({
        "request_id": exported.request_id, "rows": exported.rows, "blacked_out": exported.blacked_out,
        "bytes": exported.zip.len(), "zip": zip,
    }))
}

/// `{"erase": {"subject": .., "because": ..}}`: opened, and carried on as far as it goes now.
pub(crate) async fn erase(deps: &Deps, asked: &Value) -> Result<Value, AuditError> {
    let opened = privacy::open(&deps.ledger, &Asked::read(asked)?).await?;
    // Opened is durable: a store that is away now holds up nothing but the moment.
    let request = match carry_on(deps, &opened).await {
        Ok(request) => request,
        Err(error) => {
            tracing::warn!(error = error.chain(), request_id = %opened.request_id, "a data request waits");
            opened
        }
    };
    Ok(said(&request))
}

/// The minute's sweep: every request that is due, each on its own.
pub(crate) async fn sweep(deps: &Deps) {
    let open = match deps.ledger.open_requests().await {
        Ok(open) => open,
        Err(error) => {
            tracing::warn!(%error, "the data requests could not be read; the next sweep looks again");
            return;
        }
    };
    for request in open.iter().filter(|request| request.is_due(deps.ledger.clock().now_ms())) {
        if let Err(error) = carry_on(deps, request).await {
            tracing::warn!(error = error.chain(), request_id = %request.request_id, "a data request waits");
        }
    }
}

async fn carry_on(deps: &Deps, request: &DataRequest) -> Result<DataRequest, AuditError> {
    let until_ms = deps.ledger.clock().now_ms().saturating_add(CARRY_MS);
    let carried = privacy::carry_on(&deps.ledger, &deps.log, &request.request_id, until_ms).await?;
    Ok(carried.unwrap_or_else(|| request.clone()))
}

fn said(request: &DataRequest) -> Value {
    json!({
        "request_id": request.request_id, "kind": request.kind, "stage": request.stage,
        "opened_ms": request.opened_ms, "done_ms": request.done_ms, "counts": request.counts,
    })
}
