//! Signing in: a personal link and a PIN make a session. Must never sign in by the link alone, nor on a GET.
use crate::{
    Deps,
    acts::pin::{self, PinAnswer},
    pages,
};
use types::PersonId;
use web::{KeyId, Link, LinkKind, Request, Response, SentFrom};

/// What a link that does not work any more gets: nothing of the state, and no word on whether it ever worked.
const GONE: &str = "This link does not work any more.\n\
    Other ways to halt: another person's halt page, or `holdfast halt` in a terminal.\n";

/// The form that asks for the PIN.
pub(crate) fn page(deps: &Deps, token: &str) -> Response {
    match link_of(deps, token) {
        Some(_) => pages::sign_in::page(&deps.install, token, None, 200),
        None => Response::not_found(GONE),
    }
}

/// Checks the PIN and begins a session.
pub(crate) async fn submit(deps: &Deps, request: &Request, token: &str) -> Response {
    let Some(link) = link_of(deps, token) else { return Response::not_found(GONE) };
    if request.sent_from(deps.install.console_url.as_deref()) == SentFrom::Elsewhere {
        return Response::text(
            403,
            "This form was sent from another site. Open your link and sign in there.\n",
        );
    }
    let form = request.form().unwrap_or_default();
    let answer = pin::check(deps, &link.person, &link.key_id, form.get("pin").unwrap_or_default()).await;
    let status = match answer {
        PinAnswer::Right => return begin(deps, &link.person, &link.key_id),
        PinAnswer::Revoked => return Response::not_found(GONE),
        PinAnswer::Unavailable => 503,
        PinAnswer::Wait { .. } | PinAnswer::Locked => 429,
        PinAnswer::Wrong { .. } | PinAnswer::NotSix | PinAnswer::NotSet => 422,
    };
    let text = answer.text(&deps.zone());
    pages::sign_in::page(&deps.install, token, Some(&text), status)
}

fn begin(deps: &Deps, person: &PersonId, key_id: &KeyId) -> Response {
    match deps.sessions.begin(person, key_id, deps.now()) {
        Ok((_, cookie)) => Response::see_other("/").with_cookie(cookie),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "no session could be begun");
            Response::text(503, "You cannot be signed in now. The agent's state is not changed. Try again.\n")
        }
    }
}

/// A person's or a deputy's own link. Slack's links and invitations see and halt elsewhere; they sign nobody
/// in.
fn link_of(deps: &Deps, token: &str) -> Option<Link> {
    let link = deps.signer.verifier().verify(token, deps.now())?;
    matches!(link.kind, LinkKind::Person | LinkKind::Deputy).then_some(link)
}
