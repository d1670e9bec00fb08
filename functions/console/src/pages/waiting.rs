//! What waits for a person: events that met a halt, and writes nobody answered. Must never start a run that
//! was halted.
use super::{kit, layout};
use crate::days;
use crate::frame::{Frame, Menu};
use maud::{Markup, html};
use types::Timestamp;
use web::Response;

/// One event that met a halt before its run began.
pub(crate) struct HeldRow {
    pub(crate) run_id: String,
    pub(crate) event: String,
    pub(crate) deal: Option<String>,
    pub(crate) customer: Option<String>,
    pub(crate) received: Timestamp,
}

/// One write that cannot be settled by reading.
pub(crate) struct CheckRow {
    pub(crate) run_id: String,
    pub(crate) intent_id: String,
    pub(crate) what: String,
    pub(crate) target: String,
    pub(crate) sent: Option<Timestamp>,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

/// What the page shows. `None`: the tables are away.
pub(crate) struct Waiting {
    pub(crate) held: Option<Vec<HeldRow>>,
    pub(crate) checks: Option<Vec<CheckRow>>,
    /// Nothing can be started while the agent is halted.
    pub(crate) halted: bool,
    pub(crate) error: Option<String>,
    /// What was typed, and for which write.
    pub(crate) typed: Option<(String, String)>,
}

/// The most events on one page.
const ROWS_MAX: usize = 30;

/// The page.
pub(crate) fn page(frame: &Frame, view: &Waiting, status: u16) -> Response {
    let main = html! {
        h1 { "Waiting" }
        p class="sub" { "Events that met a halt before they began, and writes that HubSpot never answered." }
        @if let Some(error) = &view.error { p class="note" role="alert" { b { (kit::short(error, 300)) } } }
        h2 { "Events" }
        @match &view.held {
            Some(rows) if rows.is_empty() => p { "No event waits." },
            Some(rows) => (held(frame, view, rows)),
            None => p class="note" { "The tables cannot be read now. Nothing is lost: the events wait." },
        }
        h2 { "Writes without an answer" }
        @match &view.checks {
            Some(rows) if rows.is_empty() => p { "No write needs you." },
            Some(rows) => @for row in rows.iter().take(10) { (check(frame, view, row)) },
            None => p class="note" { "The tables cannot be read now." },
        }
    };
    layout::with_status(frame, Menu::Waiting, "Waiting", main, status)
}

fn held(frame: &Frame, view: &Waiting, rows: &[HeldRow]) -> Markup {
    html! {
        @if view.halted { p class="note" {
            "The agent is halted: resume it first, then start them. Discarding works now." } }
        table class="r" {
            thead { tr { th { "Event" } th { "Deal, customer" } th class="num" { "Waits" } th { "Run" } th {
                "Change" } } }
            tbody { @for row in rows.iter().take(ROWS_MAX) { tr {
                td { (kit::short(&row.event, 100)) }
                td { (kit::short(row.deal.as_deref().unwrap_or("not read yet"), 80))
                    @if let Some(customer) = &row.customer { ", " (kit::short(customer, 60)) } }
                td class="num" data-l="Waits:" { (days::waited(row.received, frame.now)) }
                td { (kit::run_link(&row.run_id)) }
                td {
                    @if !view.halted { (one_button(frame, "start", &row.run_id, "Start")) }
                    (one_button(frame, "discard", &row.run_id, "Discard"))
                }
            } } }
        }
        @if rows.len() > ROWS_MAX { p { "Showing " (ROWS_MAX) " of " (rows.len()) "." } }
        @if frame.viewer.may_change && rows.len() > 1 {
            div class="acts" {
                @if !view.halted { (all_button(frame, "start", rows, "Start these")) }
                (all_button(frame, "discard", rows, "Discard these"))
            }
        }
    }
}

fn one_button(frame: &Frame, act: &str, run_id: &str, text: &str) -> Markup {
    kit::form(
        frame,
        &format!("/waiting/{act}"),
        html! {
            input type="hidden" name="run" value=(run_id);
            button { (text) }
        },
    )
}

fn all_button(frame: &Frame, act: &str, rows: &[HeldRow], text: &str) -> Markup {
    let shown = rows.iter().take(ROWS_MAX);
    kit::form(
        frame,
        &format!("/waiting/{act}"),
        html! {
            @for row in shown.clone() { input type="hidden" name="run" value=(row.run_id); }
            button { (text) " " (shown.count()) }
        },
    )
}

fn check(frame: &Frame, view: &Waiting, row: &CheckRow) -> Markup {
    let typed =
        view.typed.as_ref().filter(|(id, _)| *id == row.intent_id).map_or("", |(_, why)| why.as_str());
    let id = format!("why-{}", row.intent_id);
    html! {
        section class="box" {
            p { b { (kit::short(&row.what, 160)) } ", " (kit::short(&row.target, 60)) ". "
                @if let Some(sent) = row.sent { "Sent " (frame.stamp(sent)) "; " }
                "HubSpot never answered, and reading it back did not settle it." }
            p { "If it arrived, HubSpot shows "
                (kit::quoted(row.after.as_deref().unwrap_or("the new note or task"), 120))
                "; if not, " (kit::quoted(row.before.as_deref().unwrap_or("nothing new"), 120)) ". "
                (kit::run_link(&row.run_id)) }
            (kit::form(frame, "/waiting/checked", html! {
                input type="hidden" name="run" value=(row.run_id);
                input type="hidden" name="intent" value=(row.intent_id);
                label for={ "f-" (row.intent_id) } { "What did you find in HubSpot?" }
                select id={ "f-" (row.intent_id) } name="found" required {
                    option value="" { "Choose…" }
                    option value="there" { "It is there" }
                    option value="absent" { "It is not there" }
                }
                label for=(id) { "How did you check? (10 characters or more)" }
                input id=(id) name="why" required minlength="10" maxlength="300" value=(kit::short(typed,
                    300));
                div class="acts" { button { "I checked it" } }
            }))
        }
    }
}
