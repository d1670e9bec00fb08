//! A note to a halt, once it is in force. Must never be asked for before, nor delay a press.
use crate::{Deps, page, resume, route::Visit, rows, words::HaltWord};
use ledger::Entry;
use maud::html;
use serde_json::json;
use sight::Sight;
use types::{Actor, CustomerId, EntryState, Target};
use web::{
    Response, SentFrom,
    panel::{Control, HaltedCustomer},
};

/// The most characters of a note.
const CHARACTERS_MAX: usize = 300;

/// What a form came to.
enum Kept {
    Yes,
    Refused(u16, HaltWord),
}

/// The page with its one field, and what it sends. `of` is one customer's id; without it, everything.
pub(crate) async fn answer(deps: &Deps, visit: &Visit<'_>, of: Option<&str>, post: bool) -> Response {
    let Ok(customer) = of.map(CustomerId::new).transpose() else { return visit.gone() };
    let sight = match visit.sight().await {
        Ok(sight) => sight,
        Err(gone) => return gone,
    };
    let halted = customer.and_then(|id| sight.seen.customers.iter().find(|halted| halted.id == id));
    let in_force = match of {
        None => matches!(sight.seen.control, Control::Halted { .. }),
        Some(_) => halted.is_some(),
    };
    let form = visit.request.form().unwrap_or_default();
    let typed = form.get("note").unwrap_or_default().trim();
    match (in_force, post) {
        (false, false) => Response::see_other(&visit.url("")),
        (false, true) => show(deps, visit, &sight, halted, Some((409, HaltWord::NotHalted)), typed),
        (true, false) => show(deps, visit, &sight, halted, None, ""),
        (true, true) => match keep(deps, visit, halted, typed).await {
            Kept::Yes => Response::see_other(&visit.url_saying("noted")),
            Kept::Refused(status, word) => show(deps, visit, &sight, halted, Some((status, word)), typed),
        },
    }
}

/// One row in the outbox, of whoever typed it.
async fn keep(deps: &Deps, visit: &Visit<'_>, halted: Option<&HaltedCustomer>, typed: &str) -> Kept {
    if visit.request.sent_from(deps.install.halt_url.as_deref()) != SentFrom::OurPage {
        return Kept::Refused(403, HaltWord::FormForeign);
    }
    if typed.is_empty() {
        return Kept::Refused(422, HaltWord::NoteEmpty);
    }
    let target = match halted {
        None => Target::new("agent", "global"),
        Some(halted) => Target::new("customer", &halted.id),
    };
    let link = &visit.visitor.link;
    let id = format!("{}-{}-{}-note", link.key_id, deps.now_ms(), visit.request.request_id());
    let actor = Actor::Person(link.person.clone());
    let what = ("note", target, EntryState::Applied);
    let row = Entry {
        because: Some(typed.chars().take(CHARACTERS_MAX).collect()),
        ..rows::of_person(&id, deps.now(), actor, what, json!({"source": "page"}))
    };
    match deps.ledger.append_outbox(&[row]).await {
        Ok(()) => Kept::Yes,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a note was not written to the outbox");
            Kept::Refused(503, HaltWord::NoteLost)
        }
    }
}

fn show(
    deps: &Deps,
    visit: &Visit<'_>,
    sight: &Sight,
    halted: Option<&HaltedCustomer>,
    refused: Option<(u16, HaltWord)>,
    typed: &str,
) -> Response {
    let path = match halted {
        None => "/note".to_owned(),
        Some(halted) => format!("/note/{}", web::encode_component(halted.id.as_str())),
    };
    let title = visit.say(HaltWord::NoteTitle);
    let body = html! {
        div class="p short f-halt" { p { b { "■ " (resume::since(visit, sight, halted)) } } }
        h1 { (title) }
        @if let Some((_, word)) = refused { p class="bad" role="alert" { (visit.say(word)) } }
        form method="post" action=(visit.url(&path)) {
            label for="t" { (visit.say(HaltWord::NoteLabel)) }
            textarea id="t" name="note" rows="3" maxlength=(CHARACTERS_MAX) required { (typed) }
            button class="blue" { (visit.say(HaltWord::NoteButton)) }
        }
        p { a class="go" href=(visit.url("")) { (visit.say(HaltWord::Back)) } }
    };
    Response::html(refused.map_or(200, |(status, _)| status), &page::framed(deps, visit, title, "", body))
}
