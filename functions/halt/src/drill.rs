//! The drill that a schedule asks for: its own customer is halted and resumed. Must never touch anybody else.
use crate::{Deps, HaltError, rows};
use config::metrics::{self, Metric};
use interlock::{DRILL_CUSTOMER, DrillAsk, Drilled};
use serde_json::{Value, json};
use std::time::Duration;
use types::{Actor, CustomerId, Scope};

/// No deal is the drill customer's, so quiet is there at once.
const QUIET_WITHIN: Duration = Duration::from_secs(2);

/// Drills, and writes the audit entry.
pub(crate) async fn of_the_customer(deps: &Deps) -> Result<Value, HaltError> {
    let failed = |operation| move |source| HaltError::Switches { operation, source };
    let customer =
        CustomerId::new(DRILL_CUSTOMER).map_err(|_never| HaltError::BadField { field: "customer" })?;
    let ask = DrillAsk {
        scope: Scope::Customer(customer),
        actor: Actor::System("drill".to_owned()),
        quiet_within: QUIET_WITHIN,
    };
    let drill = match deps.interlock.drill(&ask).await.map_err(failed("drill"))? {
        Drilled::Done(drill) => drill,
        Drilled::NotRunning => {
            metrics::count(Metric::DrillRuns, 1);
            return Ok(json!({"drilled": false, "why": "not_running"}));
        }
    };
    metrics::count(if drill.fault.is_none() { Metric::DrillRuns } else { Metric::DrillFaults }, 1);
    if let Some(fault) = drill.fault {
        tracing::error!(?fault, "the drill found a fault; its customer stays halted until a person looks");
    }
    let row = rows::of_drill(&drill, deps.now());
    deps.ledger.append_outbox(&row.into_iter().collect::<Vec<_>>()).await.map_err(HaltError::MoveLog)?;
    Ok(json!({"drilled": true, "passed": drill.fault.is_none(), "drill": drill}))
}
