//! What the button does. Must never be refused for a form's sake, nor say more than the switches confirmed.
use crate::{
    Deps,
    page::{self, Notice},
    route::{Visit, Visitor},
};
use config::metrics::{self, Metric};
use interlock::{ControlHalt, HaltReport, Press, Recent};
use kill_switch::FlagHalt;
use std::time::Duration;
use types::{Actor, CustomerId, Scope};
use web::{Fields, Response};

/// How long a press waits to learn whether its link was taken back.
const PEOPLE_TIMEOUT: Duration = Duration::from_millis(200);
/// How long a name is looked up among the last customers.
const NAME_TIMEOUT: Duration = Duration::from_millis(600);

/// What the form asks to halt.
enum Asked {
    Scope(Scope),
    /// One customer, by a name or number that is none.
    NoSuchCustomer,
}

/// Halts, then sends the browser back to the page.
// INVARIANT (I33): one reachable switch is enough; nothing but a link that was taken back refuses a press.
pub(crate) async fn halt(deps: &Deps, visit: &Visit<'_>) -> Response {
    if is_revoked(deps, &visit.visitor).await {
        return visit.gone();
    }
    // FAIL-CLOSED: a form that cannot be read still is a press of HALT, and stops everything.
    let form = visit.request.form().unwrap_or_default();
    let scope = match asked(deps, &form).await {
        Asked::Scope(scope) => scope,
        Asked::NoSuchCustomer => return page::main(deps, visit, 422, Some(Notice::NoSuchCustomer)).await,
    };
    let press = press_of(&visit.visitor);
    let report = deps.interlock.halt(&scope, &press).await;
    note(&report, &scope, &press);
    match (&report.control, report.flags) {
        (ControlHalt::Latched(_), _) | (ControlHalt::Failed(_), FlagHalt::Confirmed { .. }) => {
            Response::see_other(&visit.url(""))
        }
        (ControlHalt::Failed(_), FlagHalt::TooFewAcks { .. }) => {
            page::not_confirmed(deps, visit, Notice::SentNotConfirmed)
        }
        (ControlHalt::Failed(_), FlagHalt::Failed) => page::not_confirmed(deps, visit, Notice::NotConfirmed),
    }
}

/// Who presses, as the log names it.
fn press_of(visitor: &Visitor) -> Press {
    let (actor, source) = match visitor.link.kind {
        web::LinkKind::Slack => (Actor::System("slack_link".to_owned()), "slack_link"),
        web::LinkKind::Person | web::LinkKind::Deputy | web::LinkKind::Invite => {
            (Actor::Person(visitor.link.person.clone()), "page")
        }
    };
    Press { actor, source: source.to_owned(), because: "pressed".to_owned() }
}

/// Whether the store says that this link was taken back. A silent store says nothing, and the press goes on.
async fn is_revoked(deps: &Deps, visitor: &Visitor) -> bool {
    match tokio::time::timeout(PEOPLE_TIMEOUT, deps.interlock.people()).await {
        Ok(Ok(people)) => visitor.is_revoked(&people),
        Ok(Err(_)) | Err(_) => false,
    }
}

async fn asked(deps: &Deps, form: &Fields) -> Asked {
    if form.get("scope") != Some("customer") {
        return Asked::Scope(Scope::Global);
    }
    let text = form.get("customer").unwrap_or_default().trim();
    if let Some(id) = customer_number(text) {
        return Asked::Scope(Scope::Customer(id));
    }
    let view = tokio::time::timeout(NAME_TIMEOUT, deps.interlock.view()).await;
    let found = view.ok().and_then(|view| by_name(&view.recent, text));
    found.map_or(Asked::NoSuchCustomer, |id| Asked::Scope(Scope::Customer(id)))
}

/// A company's number, or `deal-<number>` for a deal without a company.
fn customer_number(text: &str) -> Option<CustomerId> {
    let digits = text.strip_prefix("deal-").unwrap_or(text);
    let plain = !digits.is_empty() && digits.len() <= 20 && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| CustomerId::new(text).ok()).flatten()
}

/// The one customer of that name among the last ones; none when two share it.
fn by_name(recent: &Recent, text: &str) -> Option<CustomerId> {
    let wanted = text.to_lowercase();
    let mut same = recent.customers.iter().filter(|known| known.name.trim().to_lowercase() == wanted);
    let first = same.next().filter(|_| !wanted.is_empty())?;
    same.next().is_none().then(|| first.customer_id.clone())
}

/// Counts a press that at least one switch has.
pub(crate) fn count(latched: bool, flags: FlagHalt) {
    if latched || flags != FlagHalt::Failed {
        metrics::count(Metric::Halts, 1);
    }
}

fn note(report: &HaltReport, scope: &Scope, press: &Press) {
    let since = |at: Option<i64>| at.map(|at| at.saturating_sub(report.pressed_ms));
    let latched = matches!(report.control, ControlHalt::Latched(_));
    count(latched, report.flags);
    tracing::info!(
        %scope,
        actor = %press.actor,
        source = press.source,
        latched,
        flags = ?report.flags,
        ms_to_flag = since(report.flags_ms),
        ms_to_latch = since(report.control_ms),
        "halt pressed"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customers_number_is_digits_or_a_deal_without_company() {
        for good in ["1234", "deal-4411"] {
            assert_eq!(customer_number(good).map(|id| id.to_string()).as_deref(), Some(good));
        }
        for bad in ["", "deal-", "12a", "-1", "global", "1234567890123456789012"] {
            assert_eq!(customer_number(bad), None, "{bad}");
        }
    }
}
