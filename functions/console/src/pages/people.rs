//! People and keys: who can halt, who can resume. Must never show a key: only its public name.
use super::{kit, layout};
use crate::frame::{Frame, Menu};
use interlock::{People, Person, PersonKey, Role};
use maud::{Markup, html};
use sight::moment;
use types::PersonId;
use web::Response;

/// The page. `None`: the store is silent.
pub(crate) fn page(frame: &Frame, people: Option<&People>) -> Response {
    let main = html! {
        h1 { "People and keys" }
        p class="sub" {
            "Who can halt, and who can resume. A key is a link on a phone: it sees and halts. The PIN does \
                the rest." }
        @match people {
            Some(people) => {
                @for (id, person) in &people.people { (one(frame, people, id, person)) }
                p class="sub" { "To add a person or a phone, run " code { "holdfast invite" } "." }
            }
            None => p class="note" { "People and keys cannot be read now. HALT works; nothing can be changed."
                },
        }
    };
    layout::page(frame, Menu::People, "People and keys", main)
}

fn one(frame: &Frame, people: &People, id: &PersonId, person: &Person) -> Markup {
    let role = match person.role {
        Role::Ops => "ops: everything",
        Role::Reader => "reader: look and HALT",
    };
    html! {
        section class="box" {
            h2 { (kit::short(&person.name, 80)) @if *id == frame.viewer.person { " (you)" } }
            p {
                code { (kit::line(id.as_str())) } ", " (role) ". PIN "
                @if person.pin_hash.is_some() { "set" } @else { "not set" }
                @if person.pin_wrong_total >= web::PIN_WRONG_BEFORE_RESET {
                    ", " b { "blocked after too many wrong ones: set a new one with " code { "holdfast invite"
                        } }
                }
                "."
                @if let Some(at) = person.revoked_ms { " " b { "Removed " (frame.stamp(moment(at))) "." } }
            }
            @if person.keys.is_empty() { p { "No keys." } } @else {
                table class="r" {
                    thead { tr { th { "Key" } th { "Kind" } th { "Added" } th { "Change" } } }
                    tbody { @for (key_id, key) in &person.keys { (key_row(frame, people, id, key_id, key)) } }
                }
            }
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
