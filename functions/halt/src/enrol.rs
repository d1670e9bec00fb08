//! Adding a phone by an invitation. Must never be done by opening the link: chat previews and mail
//! scanners open links.
use crate::{Deps, page, resume::tries_of, route::Visit, rows, words::HaltWord};
use interlock::{People, Person, PersonKey};
use maud::html;
use serde_json::json;
use sight::moment;
use types::{Actor, EntryState, Target};
use web::{LinkKind, LinkSigner, Piece, Pin, PinHash, PinVerdict, Response, SentFrom, SignedLink, phrase};

/// How often a change of the people's item is tried against others'.
const PEOPLE_TRIES: usize = 5;

/// What a PIN was worth to an invitation.
enum Judged {
    /// She has none yet: this is hers now.
    First(String),
    /// The one she has.
    Right,
    /// Not the one she has; counted.
    Wrong,
    /// Not to be tried now.
    Blocked,
}

/// The form. Changes nothing.
pub(crate) async fn show(deps: &Deps, visit: &Visit<'_>) -> Response {
    match open(deps, visit).await {
        Ok(people) => form(deps, visit, &people, 200, None),
        Err(response) => response,
    }
}

/// Everybody, if the invitation still holds.
async fn open(deps: &Deps, visit: &Visit<'_>) -> Result<People, Response> {
    let Ok(people) = deps.interlock.people().await else {
        return Err(Response::text(503, &format!("{}\n", visit.say(HaltWord::AddSilent))));
    };
    let link = &visit.visitor.link;
    let used = people.used_invites.contains_key(link.key_id.as_str());
    let person = people.people.get(&link.person).filter(|person| person.revoked_ms.is_none());
    if used || person.is_none() { Err(visit.gone()) } else { Ok(people) }
}

/// Uses the invitation up and leads to the new page.
pub(crate) async fn enrol(deps: &Deps, visit: &Visit<'_>) -> Response {
    if visit.request.sent_from(deps.install.halt_url.as_deref()) == SentFrom::Elsewhere {
        return Response::text(403, &format!("{}\n", visit.say(HaltWord::FormForeign)));
    }
    let fields = visit.request.form().unwrap_or_default();
    let pin = fields.get("pin").and_then(Pin::parse);
    for _ in 0..PEOPLE_TRIES {
        let mut people = match open(deps, visit).await {
            Ok(people) => people,
            Err(response) => return response,
        };
        let Some(pin) = &pin else { return form(deps, visit, &people, 422, Some(HaltWord::PinSix)) };
        let Some(signed) = sign(deps, visit).await else {
            return form(deps, visit, &people, 503, Some(HaltWord::AddSilent));
        };
        let word = match take(deps, visit, &mut people, pin, &signed) {
            Some(Judged::First(_) | Judged::Right) => None,
            Some(Judged::Wrong) => Some(HaltWord::PinWrong),
            Some(Judged::Blocked) => return form(deps, visit, &people, 429, Some(HaltWord::PinLocked)),
            None => return form(deps, visit, &people, 503, Some(HaltWord::AddSilent)),
        };
        match deps.interlock.put_people(&people).await {
            Ok(true) => {}
            Ok(false) => continue,
            Err(_) => return form(deps, visit, &people, 503, Some(HaltWord::AddSilent)),
        }
        if let Some(word) = word {
            return form(deps, visit, &people, 422, Some(word));
        }
        log(deps, visit, &signed).await;
        return Response::see_other(&format!("{}?l={}&welcome=1", signed.path(), visit.lang.code()));
    }
    let people = People::default();
    form(deps, visit, &people, 409, Some(HaltWord::PinBusy))
}

/// Changes the list in hand: the PIN's count, and for a right one the key and the used invitation.
fn take(
    deps: &Deps,
    visit: &Visit<'_>,
    people: &mut People,
    pin: &Pin,
    signed: &SignedLink,
) -> Option<Judged> {
    let now_ms = deps.now_ms();
    let person = people.people.get_mut(&visit.visitor.link.person)?;
    let judged = judge(person, pin, now_ms)?;
    match &judged {
        Judged::First(hash) => person.pin_hash = Some(hash.clone()),
        Judged::Right => {}
        Judged::Wrong | Judged::Blocked => return Some(judged),
    }
    let added_by = Actor::Person(visit.visitor.link.person.clone()).to_string();
    let key = PersonKey { kind: "phone".to_owned(), added_ms: now_ms, added_by, revoked_ms: None };
    person.keys.insert(signed.link.key_id.to_string(), key);
    people.used_invites.insert(visit.visitor.link.key_id.to_string(), now_ms);
    // An invitation ends by itself after minutes; those used a day ago need no memory.
    people.used_invites.retain(|_, used_ms| now_ms.saturating_sub(*used_ms) < 86_400_000);
    Some(judged)
}

/// WHY NOT let an invitation set a new PIN over an old one: then a stolen invitation could resume. `None`
/// when a PIN cannot be hashed.
fn judge(person: &mut Person, pin: &Pin, now_ms: i64) -> Option<Judged> {
    let Some(hash) = &person.pin_hash else {
        return Some(Judged::First(PinHash::of(pin).ok()?.as_phc().to_owned()));
    };
    let tries = tries_of(person);
    if tries.verdict(now_ms) != PinVerdict::MayTry {
        return Some(Judged::Blocked);
    }
    let right = PinHash::from_phc(hash).matches(pin);
    let after = tries.after(now_ms, right);
    (person.pin_wrong, person.pin_window_ms) = (after.wrong, after.window_ms);
    person.pin_wrong_total = after.wrong_total;
    Some(if right { Judged::Right } else { Judged::Wrong })
}

/// The new phone's link. The signing key is fetched for this alone; halting needs only the public one.
async fn sign(deps: &Deps, visit: &Visit<'_>) -> Option<SignedLink> {
    let secret = deps.secrets.get(config::SecretName::LinkSigningKey).await.ok()?;
    let signer = LinkSigner::from_secret_hex(secret.expose()).ok()?;
    signer.sign(LinkKind::Person, &visit.visitor.link.person, deps.now()).ok()
}

async fn log(deps: &Deps, visit: &Visit<'_>, signed: &SignedLink) {
    let person = &visit.visitor.link.person;
    let (id, what) =
        (signed.link.key_id.as_str(), ("enrol", Target::new("person", person), EntryState::Applied));
    let detail = json!({"key_id": id, "source": "page"});
    let row = rows::of_person(id, deps.now(), Actor::Person(person.clone()), what, detail);
    if let Err(error) = deps.ledger.append_outbox(&[row]).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "an added phone was not written to the outbox"
        );
    }
}

fn form(deps: &Deps, visit: &Visit<'_>, people: &People, status: u16, refused: Option<HaltWord>) -> Response {
    let link = &visit.visitor.link;
    let person = people.people.get(&link.person);
    let name = person.map_or(link.person.as_str(), |person| person.name.as_str());
    let title = phrase(visit.say(HaltWord::AddTitle), &[("name", Piece::Text(name))]);
    let has_pin = person.is_some_and(|person| person.pin_hash.is_some());
    let until = link.until.unwrap_or_else(|| moment(0));
    let until = deps.zone().stamp(until, deps.now(), visit.lang);
    let body = html! {
        h1 { (title) }
        p { (visit.say(HaltWord::AddIntro)) }
        @if let Some(word) = refused { p class="bad" role="alert" { (visit.say(word)) } }
        form method="post" action=(visit.url("")) {
            label for="n" { (visit.say(if has_pin { HaltWord::YourPin } else { HaltWord::ChoosePin })) }
            input id="n" name="pin" type="password" inputmode="numeric" required
                autocomplete=(if has_pin { "current-password" } else { "new-password" });
            button class="blue" { (visit.say(HaltWord::AddButton)) }
        }
        p class="q" { (phrase(visit.say(HaltWord::AddUntil), &[("time", Piece::Html(until))])) }
    };
    Response::html(status, &page::framed(deps, visit, &title.0, "", body))
}
