//! HALT from the strip. Must never be refused for an old form, a missing cookie or a full log.
use crate::{Deps, route};
use interlock::{ControlHalt, Press};
use kill_switch::FlagHalt;
use std::time::Duration;
use types::{Actor, PersonId, Scope};
use web::{LinkKind, Request, Response, SentFrom};

/// How long a press waits to learn whether its person was taken back.
const PEOPLE_TIMEOUT: Duration = Duration::from_millis(200);

/// Halts everything in both stores, then sends the browser back to the page.
// INVARIANT (I33): one reachable switch is enough. Nothing is read before it but the press itself.
pub(crate) async fn press(deps: &Deps, request: &Request) -> Response {
    // The cookie is not sent from other sites; a browser that says "elsewhere" is believed all the same.
    if request.sent_from(deps.install.console_url.as_deref()) == SentFrom::Elsewhere {
        return Response::text(
            403,
            "NOT HALTED: this was sent from another site. Press HALT in the console.\n",
        );
    }
    let form = request.form().unwrap_or_default();
    let Some(person) = presser(deps, request, form.get("k").unwrap_or_default()) else {
        return Response::text(
            401,
            "NOT HALTED: you are signed out and this page is more than a day old.\n\
             Press HALT on your halt page, or sign in again with your personal link.\n",
        );
    };
    if is_revoked(deps, &person).await {
        return Response::text(
            403,
            "NOT HALTED: your link was taken back. Ask another person to press HALT.\n",
        );
    }
    let press =
        Press { actor: Actor::Person(person), source: "console".to_owned(), because: "pressed".to_owned() };
    let report = deps.interlock.halt(&Scope::Global, &press).await;
    let latched = matches!(report.control, ControlHalt::Latched(_));
    tracing::info!(actor = %press.actor, latched, flags = ?report.flags, "halt pressed in the console");
    if latched || matches!(report.flags, FlagHalt::Confirmed { .. }) {
        return Response::see_other(&back(form.get("back").unwrap_or("/")));
    }
    route::not_confirmed(deps, request).await
}

/// Who presses: the session's person, else the one of the page's own halt key.
fn presser(deps: &Deps, request: &Request, key: &str) -> Option<PersonId> {
    if let Some(session) = deps.sessions.of(request, deps.now()) {
        return Some(session.person);
    }
    let link = deps.signer.verifier().verify(key, deps.now())?;
    (link.kind == LinkKind::Slack).then_some(link.person)
}

/// Whether the store says that this person was taken back. A silent store says nothing, and the press goes
/// on.
async fn is_revoked(deps: &Deps, person: &PersonId) -> bool {
    match tokio::time::timeout(PEOPLE_TIMEOUT, deps.interlock.people()).await {
        Ok(Ok(people)) => people.people.get(person).is_some_and(|known| known.revoked_ms.is_some()),
        Ok(Err(_)) | Err(_) => false,
    }
}

fn back(path: &str) -> String {
    let joint = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joint}n=halted")
}
