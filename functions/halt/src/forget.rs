//! The halt page's share of an erasure: what it shows of a person goes. Must never hold up a halt, nor the
//! sweep.
use crate::Deps;
use interlock::Forgotten;
use ledger::{DataRequest, RequestStage};

/// Clears what the control table holds of every person whose request has come that far. Returns how many.
pub(crate) async fn sweep(deps: &Deps) -> usize {
    let open = match deps.ledger.open_requests().await {
        Ok(open) => open,
        Err(error) => {
            tracing::warn!(%error, "the data requests could not be read; the next sweep looks again");
            return 0;
        }
    };
    let mut done = 0_usize;
    for request in open.into_iter().filter(|request| request.stage == RequestStage::Showing) {
        match one(deps, request).await {
            Ok(true) => done = done.saturating_add(1),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(
                    error = &*error,
                    "a person is not cleared from the halt page yet; the next sweep tries"
                );
            }
        }
    }
    done
}

async fn one(
    deps: &Deps,
    mut request: DataRequest,
) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    match deps.interlock.forget_person(&request.subject, &request.runs).await? {
        Forgotten::NotYet => Ok(false),
        Forgotten::Done(items) => {
            request.counts.rows = request.counts.rows.saturating_add(items);
            request.stage = RequestStage::Erasing;
            Ok(deps.ledger.save_request(&mut request, &[]).await?)
        }
    }
}
