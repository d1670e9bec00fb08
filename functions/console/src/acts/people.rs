//! People and their keys: inviting, roles, new PINs, taking a key back. Must never make an invitation without
//! its row.
use super::pin::{self, PinAnswer};
use crate::entry;
use crate::pages::people::{self as pages, Invitation, Typed};
use crate::pages::problem;
use crate::route::Visit;
use interlock::{People, Person, Role};
use ledger::Entry;
use serde_json::json;
use types::{EntryState, PersonId, Reason, Target};
use web::{Fields, LinkKind, Response, SignedLink};

/// Revokes one key, in one click: a lost phone can then do nothing more.
pub(crate) async fn revoke(visit: &Visit<'_>, form: &Fields) -> Response {
    let key_id = form.get("key").unwrap_or_default().to_owned();
    let Ok(person) = PersonId::new(form.get("person").unwrap_or_default()) else {
        return visit.problem(problem::BAD_FORM);
    };
    let Ok(mut people) = visit.deps.interlock.people().await else {
        return visit.problem(problem::NO_ANSWER);
    };
    let known = people.people.get_mut(&person).and_then(|known| known.keys.get_mut(&key_id));
    let Some(key) = known.filter(|key| key.revoked_ms.is_none()) else {
        return Response::see_other("/people?n=gone");
    };
    key.revoked_ms = Some(visit.deps.now().as_millisecond());
    let mut row = row_of(visit, "revoke", &person);
    row.detail = Some(json!({ "key_id": key_id, "kind": key.kind }));
    // Toward safe: a lost phone is shut out also when its row has to be written later by hand.
    let written = entry::before(visit.deps, &row).await;
    if let Err(error) = &written {
        tracing::error!(error = error as &dyn std::error::Error, "a key is revoked without its row");
    }
    match put(visit, &people, &row).await {
        Ok(()) => Response::see_other("/people?n=revoked"),
        Err(response) => response,
    }
}

/// Makes an invitation: for somebody new, for another phone, or with a new PIN. It is shown once, here.
///
/// A PIN for each: whoever is invited sees the state and can halt, an ops person can do everything.
pub(crate) async fn invite(visit: &Visit<'_>, form: &Fields) -> Response {
    let typed = Typed::of(form);
    let new_pin = form.get("new_pin") == Some("1");
    if typed.person.is_empty() && !types::is_name(&typed.name) {
        let error = "A name is one line of 1 to 80 visible characters.";
        return refused(visit, typed, error.to_owned(), 422).await;
    }
    if new_pin && typed.person == visit.viewer.person.as_str() {
        let error = "Another ops person sets a new PIN for you.";
        return refused(visit, typed, error.to_owned(), 422).await;
    }
    if let Err(response) = right_pin(visit, &typed, form).await {
        return response;
    }
    let Ok(mut people) = visit.deps.interlock.people().await else {
        return visit.problem(problem::NO_ANSWER);
    };
    let invited = match invited(&mut people, &typed, new_pin) {
        Ok(invited) => invited,
        Err(error) => return refused(visit, typed, error.to_owned(), 422).await,
    };
    let Ok(link) = visit.deps.signer.sign(LinkKind::Invite, &invited, visit.deps.now()) else {
        return visit.problem(problem::NO_ANSWER);
    };
    let mut row = row_of(visit, "invite", &invited);
    row.detail = Some(json!({
        "key_id": link.link.key_id, "new": typed.person.is_empty(), "new_pin": new_pin,
        "role": people.people.get(&invited).map(|person| person.role), "source": "console",
    }));
    if entry::before(visit.deps, &row).await.is_err() {
        return visit.problem(problem::NO_ROW);
    }
    // Another phone changes nobody: only its own POST adds a key.
    if (typed.person.is_empty() || new_pin)
        && let Err(response) = put(visit, &people, &row).await
    {
        return response;
    }
    let Some(person) = people.people.get(&invited) else { return visit.problem(problem::BAD_FORM) };
    show(visit, person, &link)
}

/// Who is invited, put into the list in hand.
fn invited(people: &mut People, typed: &Typed, new_pin: bool) -> Result<PersonId, &'static str> {
    if !typed.person.is_empty() {
        let known = PersonId::new(&typed.person).ok();
        let found = known.and_then(|id| people.people.get_mut(&id).map(|person| (id, person)));
        let Some((id, person)) = found.filter(|(_, person)| person.revoked_ms.is_none()) else {
            return Err("This person is not there any more.");
        };
        if new_pin {
            person.forget_pin();
        }
        return Ok(id);
    }
    let name = typed.name.trim();
    if people.find(name).is_some() {
        return Err("Somebody of this name is there already. Add a phone for her, or use another name.");
    }
    let id = people.fresh_id(name).ok_or("No id is left for this name.")?;
    people.people.insert(id.clone(), Person::new(name, typed.role));
    Ok(id)
}

/// Changes what somebody may do.
pub(crate) async fn role(visit: &Visit<'_>, form: &Fields) -> Response {
    let typed = Typed::of(form);
    let Ok(id) = PersonId::new(&typed.person) else { return visit.problem(problem::BAD_FORM) };
    if let Err(response) = right_pin(visit, &typed, form).await {
        return response;
    }
    let Ok(mut people) = visit.deps.interlock.people().await else {
        return visit.problem(problem::NO_ANSWER);
    };
    let Some(person) = people.people.get_mut(&id).filter(|person| person.revoked_ms.is_none()) else {
        return Response::see_other("/people?n=gone");
    };
    let before = std::mem::replace(&mut person.role, typed.role);
    if before == typed.role {
        return Response::see_other("/people?n=already");
    }
    // FAIL-CLOSED: without anybody who can resume, a halt could only be lifted from a terminal.
    if before == Role::Ops && !people.people.values().any(Person::can_resume) {
        let error = "She is the last who can resume. Make somebody else ops first.";
        return refused(visit, typed, error.to_owned(), 422).await;
    }
    let mut row = row_of(visit, "set_role", &id);
    row.before = Some(json!({ "label": pages::role_word(before) }));
    row.after = Some(json!({ "label": pages::role_word(typed.role) }));
    if entry::before(visit.deps, &row).await.is_err() {
        return visit.problem(problem::NO_ROW);
    }
    match put(visit, &people, &row).await {
        Ok(()) => Response::see_other("/people?n=role"),
        Err(response) => response,
    }
}

fn row_of(visit: &Visit<'_>, verb: &str, person: &PersonId) -> Entry {
    entry::of_person(visit.deps.now(), &visit.viewer.person, verb, Target::new("person", person))
}

async fn right_pin(visit: &Visit<'_>, typed: &Typed, form: &Fields) -> Result<(), Response> {
    let pin = form.get("pin").unwrap_or_default();
    let answer = pin::check(visit.deps, &visit.viewer.person, &visit.session.key_id, pin).await;
    if answer == PinAnswer::Right {
        return Ok(());
    }
    Err(refused(visit, typed.clone(), answer.text(&visit.deps.zone()), 422).await)
}

async fn refused(visit: &Visit<'_>, typed: Typed, error: String, status: u16) -> Response {
    let typed = Typed { error: Some(error), ..typed };
    let (frame, _) = visit.framed().await;
    pages::page(&frame, visit.sight.people.as_ref(), &typed, status)
}

/// Stores everybody; the row says what became of it.
async fn put(visit: &Visit<'_>, people: &People, row: &Entry) -> Result<(), Response> {
    match visit.deps.interlock.put_people(people).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            entry::not_made(visit.deps, row, EntryState::Failed, Reason::Conflict).await;
            Err(Response::see_other("/people?n=moved"))
        }
        Err(_) => {
            entry::not_made(visit.deps, row, EntryState::Unknown, Reason::OutcomeUnknown).await;
            Err(visit.problem(problem::NO_ANSWER))
        }
    }
}

fn show(visit: &Visit<'_>, person: &Person, link: &SignedLink) -> Response {
    let halt_url = visit.deps.install.halt_url.as_deref().map(|url| url.trim_end_matches('/'));
    let view = Invitation {
        name: person.name.clone(),
        has_pin: person.pin_hash.is_some(),
        until: link.link.until,
        address: halt_url.map(|url| format!("{url}{}", link.path())),
        path: link.path(),
    };
    pages::invitation(&visit.frame(), &view)
}
