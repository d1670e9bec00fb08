//! People and keys: who can halt, who can resume. Must never show a key but the invitation just made.
use super::{kit, layout};
use crate::frame::{Frame, Menu};
use interlock::{People, Person, PersonKey, Role};
use maud::{Markup, html};
use sight::moment;
use types::{PersonId, Timestamp};
use web::{Fields, Response};

/// What was typed, and what was wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Typed {
    /// Whom the form was about; empty for somebody new.
    pub(crate) person: String,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) error: Option<String>,
}

impl Default for Typed {
    fn default() -> Self {
        Self { person: String::new(), name: String::new(), role: Role::Reader, error: None }
    }
}

impl Typed {
    pub(crate) fn of(form: &Fields) -> Self {
        let text = |field: &str| form.get(field).unwrap_or_default().trim().chars().take(200).collect();
        let role = if form.get("role") == Some("ops") { Role::Ops } else { Role::Reader };
        Self { person: text("person"), name: text("name"), role, error: None }
    }
}

/// An invitation as it is shown, once.
pub(crate) struct Invitation {
    pub(crate) name: String,
    pub(crate) has_pin: bool,
    pub(crate) until: Option<Timestamp>,
    /// The whole address, where the halt page's is known.
    pub(crate) address: Option<String>,
    pub(crate) path: String,
}

/// What a role may do, in words.
pub(crate) const fn role_word(role: Role) -> &'static str {
    match role {
        Role::Ops => "ops: everything",
        Role::Reader => "reader: look and HALT",
    }
}

/// The page. `None`: the store is silent.
pub(crate) fn page(frame: &Frame, people: Option<&People>, typed: &Typed, status: u16) -> Response {
    let main = html! {
        h1 { "People and keys" }
        p class="sub" {
            "Who can halt, and who can resume. A key is a link on a phone: it sees and halts. The PIN does \
                the rest." }
        @match people {
            Some(people) => {
                @for (id, person) in &people.people { (one(frame, people, id, person, typed)) }
                @if frame.viewer.may_change { (add(frame, typed)) }
            }
            None => p class="note" { "People and keys cannot be read now. HALT works; nothing can be changed."
                },
        }
    };
    layout::with_status(frame, Menu::People, "People and keys", main, status)
}

fn add(frame: &Frame, typed: &Typed) -> Markup {
    let mine = typed.person.is_empty();
    html! {
        section class="box" {
            h2 { "Add a person" }
            @if mine { (wrong(typed)) }
            (kit::form(frame, "/people/invite", html! {
                label for="name" { "Name" }
                input id="name" name="name" required maxlength="80" autocomplete="off"
                    value=(kit::short(&typed.name, 200));
                label for="role" { "Role" }
                (roles("role", if mine { typed.role } else { Role::Reader }))
                (pin("pin-add"))
                div class="acts" { button class="do" { "Make an invitation" } }
                p class="small" { "A link and a code to scan: one use, 15 minutes. Opening it adds nothing \
                    before a PIN is chosen there." }
            }))
        }
    }
}

fn roles(id: &str, chosen: Role) -> Markup {
    html! {
        select id=(id) name="role" {
            option value="reader" selected[chosen == Role::Reader] { (role_word(Role::Reader)) }
            option value="ops" selected[chosen == Role::Ops] { (role_word(Role::Ops)) }
        }
    }
}

fn pin(id: &str) -> Markup {
    html! {
        label for=(id) { "Your PIN" }
        input id=(id) name="pin" type="password" inputmode="numeric" autocomplete="current-password" required
            maxlength="12";
    }
}

fn wrong(typed: &Typed) -> Markup {
    html! {
        @if let Some(error) = &typed.error { p class="note" role="alert" { b { (kit::short(error, 300)) } } }
    }
}

fn one(frame: &Frame, people: &People, id: &PersonId, person: &Person, typed: &Typed) -> Markup {
    let mine = typed.person == id.as_str();
    html! {
        section class="box" {
            h2 { (kit::short(&person.name, 80)) @if *id == frame.viewer.person { " (you)" } }
            p {
                code { (kit::line(id.as_str())) } ", " (role_word(person.role)) ". PIN "
                @if person.pin_hash.is_some() { "set" } @else { "not set" }
                @if person.pin_wrong_total >= web::PIN_WRONG_BEFORE_RESET {
                    ", " b { "blocked after too many wrong ones: give her a new one" }
                }
                "."
                @if let Some(at) = person.revoked_ms { " " b { "Removed " (frame.stamp(moment(at))) "." } }
            }
            @if mine { (wrong(typed)) }
            @if person.keys.is_empty() { p { "No keys." } } @else {
                table class="r" {
                    thead { tr { th { "Key" } th { "Kind" } th { "Added" } th { "Change" } } }
                    tbody { @for (key_id, key) in &person.keys { (key_row(frame, people, id, key_id, key)) } }
                }
            }
            @if frame.viewer.may_change && person.revoked_ms.is_none() {
                (changes(frame, id, person, mine && typed.error.is_some()))
            }
        }
    }
}

/// Another phone, another role, another PIN: each asks for the viewer's own PIN.
fn changes(frame: &Frame, id: &PersonId, person: &Person, open: bool) -> Markup {
    let her = html! { input type="hidden" name="person" value=(id.as_str()); };
    let other = match person.role {
        Role::Ops => ("reader", "Make her a reader"),
        Role::Reader => ("ops", "Make her ops"),
    };
    html! {
        details open[open] { summary { "Add a phone, change the role or the PIN…" }
            (kit::form(frame, "/people/invite", html! {
                (her) (pin(&format!("p-{id}")))
                div class="acts" {
                    button { "Invitation for a phone" }
                    @if *id != frame.viewer.person {
                        button name="new_pin" value="1" { "Invitation with a new PIN" }
                    }
                }
            }))
            (kit::form(frame, "/people/role", html! {
                (her) input type="hidden" name="role" value=(other.0);
                (pin(&format!("r-{id}")))
                div class="acts" { button { (other.1) } }
            }))
        }
    }
}

fn key_row(frame: &Frame, people: &People, id: &PersonId, key_id: &str, key: &PersonKey) -> Markup {
    html! {
        tr {
            td { code { (kit::short(key_id, 9)) } }
            td { (kit::short(&key.kind, 40)) }
            td { (frame.stamp(moment(key.added_ms))) ", " (kit::short(&sight::name_of(&key.added_by,
                Some(people)), 60)) }
            td {
                @match key.revoked_ms {
                    Some(at) => { "Revoked " (frame.stamp(moment(at))) }
                    None => (kit::form(frame, "/people/revoke", html! {
                        input type="hidden" name="person" value=(id.as_str());
                        input type="hidden" name="key" value=(key_id);
                        button { "Revoke" }
                    })),
                }
            }
        }
    }
}

/// The invitation, shown once: it is in no address and in no row.
pub(crate) fn invitation(frame: &Frame, view: &Invitation) -> Response {
    let title = format!("Invitation for {}", kit::short(&view.name, 80));
    let main = html! {
        div class="col" {
            a href="/people" { "People and keys" }
            h1 { (title) }
            p {
                "Let her scan it with the phone that is to have the HALT button, or send her the link. "
                b { "It works once" }
                @if let Some(until) = view.until { ", until " (frame.stamp(until)) }
                @if view.has_pin { "; she types the PIN she has." } @else { "; she chooses her PIN there." }
            }
            @match &view.address {
                Some(address) => {
                    (code(address))
                    label for="link" { "The link" }
                    input id="link" readonly value=(address);
                }
                None => {
                    p class="note" { "The halt page's address is not set (PUBLIC_HALT_URL): put this behind it." }
                    input aria-label="The link" readonly value=(view.path);
                }
            }
            p class="sub" { "It is shown only here. Leave this page and make another if it was not used." }
            p { a class="bt" href="/people" { "Done" } }
        }
    };
    layout::page(frame, Menu::People, &title, main)
}

/// The address as a code to scan: dark squares of one path on white, with the quiet rim that readers need.
fn code(address: &str) -> Markup {
    let Ok(code) = qrcode::QrCode::with_error_correction_level(address, qrcode::EcLevel::L) else {
        return html! {};
    };
    let side = code.width();
    let mut path = String::new();
    for (y, row) in code.to_colors().chunks(side.max(1)).enumerate() {
        for (x, _) in row.iter().enumerate().filter(|(_, color)| **color == qrcode::Color::Dark) {
            path.push_str(&format!("M{} {}h1v1h-1z", x.saturating_add(4), y.saturating_add(4)));
        }
    }
    let whole = side.saturating_add(8);
    html! {
        svg class="qr" viewBox={ "0 0 " (whole) " " (whole) } role="img" aria-label="The link as a QR code" {
            rect width=(whole) height=(whole) fill="#fff" {}
            path d=(path) fill="#000" {}
        }
    }
}
