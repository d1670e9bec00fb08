//! Data requests: what was asked for, how far it is, and the two forms. Must never show whom a request is
//! about once it is done.
use super::{kit, layout};
use crate::frame::{Frame, Menu};
use ledger::{DataRequest, RequestKind, RequestStage};
use maud::{Markup, html};
use types::Timestamp;
use web::Response;

/// What the page shows.
pub(crate) struct DataRequests {
    /// `None`: the tables are away.
    pub(crate) requests: Option<Vec<Row>>,
    pub(crate) error: Option<String>,
    pub(crate) typed: Typed,
}

/// One request.
pub(crate) struct Row {
    pub(crate) request: DataRequest,
    pub(crate) opened: Timestamp,
    /// One month after it was opened.
    pub(crate) due: Option<Timestamp>,
    pub(crate) by: String,
}

/// What was typed and not accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Typed {
    pub(crate) contact: String,
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) why: String,
}

/// The page.
pub(crate) fn page(frame: &Frame, view: &DataRequests, status: u16) -> Response {
    let main = html! {
        h1 { "Data requests" }
        p class="sub" { "What the agent's stores hold about one person: a copy of it, or to forget her. "
            "Your company is the controller: you answer her, the export is your material." }
        @if let Some(error) = &view.error { p class="note" role="alert" { b { (kit::short(error, 300)) } } }
        @match &view.requests {
            Some(rows) if rows.is_empty() => p { "No request yet." },
            Some(rows) => (table(frame, rows)),
            None => p class="note" { "The tables cannot be read now. Nothing is lost: requests wait." },
        }
        div class="two" { (export(frame, &view.typed)) (erase(frame, &view.typed)) }
    };
    layout::with_status(frame, Menu::DataRequests, "Data requests", main, status)
}

fn table(frame: &Frame, rows: &[Row]) -> Markup {
    html! {
        table class="r" {
            thead { tr { th { "Request" } th { "About" } th { "Received" } th { "Answer due" } th { "Where it is" } th {
                "Rows" } } }
            tbody { @for row in rows { tr {
                td { b { (row.request.request_id.as_str()) } br;
                    @match row.request.kind { RequestKind::Export => "a copy", RequestKind::Erase => "to forget her" } }
                td { (about(&row.request)) }
                td { (frame.stamp(row.opened)) " by " (kit::short(&row.by, 60)) }
                td { @match (row.request.done_ms, row.due) {
                    (None, Some(due)) => { (due.strftime("%-d %B %Y").to_string()) }
                    (Some(_), _) | (None, None) => "–",
                } }
                td { (state(frame, &row.request)) }
                td { (counts(&row.request)) }
            } } }
        }
    }
}

fn about(request: &DataRequest) -> Markup {
    let subject = &request.subject;
    let ids = [("contact", &subject.contacts), ("deal", &subject.deals), ("customer", &subject.customers)];
    html! {
        @if request.stage == RequestStage::Done { "not kept" } @else {
            @for (kind, ids) in ids { @for id in ids { (kind) " " (kit::short(id, 30)) " " } }
            @for text in subject.emails.iter().chain(&subject.names).take(4) { (kit::short(text, 60)) " " }
        }
    }
}

fn state(frame: &Frame, request: &DataRequest) -> Markup {
    let moment = |ms| frame.stamp(sight::moment(ms));
    html! {
        @match (request.stage, request.not_before_ms) {
            (RequestStage::Done, _) => { b { "Done" } " " (moment(request.done_ms.unwrap_or(request.opened_ms))) }
            (_, None) => { b { "Waits for you" } ": confirm it below with the same contact id" }
            (RequestStage::Opened, Some(from)) if from > frame.now.as_millisecond() => {
                b { "Carried out from " (moment(from)) } "; sooner if you confirm it below"
            }
            (RequestStage::Opened | RequestStage::Finding, Some(_)) => { b { "Looking for her rows" } }
            (RequestStage::Stopping, Some(_)) => { b { "Closing her runs" } "; writes on their way are waited for" }
            (RequestStage::Showing, Some(_)) => { b { "Clearing the halt page" } }
            (RequestStage::Erasing, Some(_)) => { b { "Erasing" } }
        }
    }
}

fn counts(request: &DataRequest) -> Markup {
    let counts = &request.counts;
    html! {
        @match (request.stage, request.kind) {
            (RequestStage::Done, RequestKind::Export) => { (counts.rows) }
            (RequestStage::Done, RequestKind::Erase) => {
                (counts.entries) " of the log, " (counts.parts) " of prompts, " (counts.rows) " of the tables"
            }
            (_, _) => "–",
        }
    }
}

fn whom(id: &str, typed: &Typed) -> Markup {
    html! {
        label for={ (id) "c" } { "HubSpot contact id" }
        input id={ (id) "c" } name="contact" inputmode="numeric" maxlength="20" value=(kit::short(&typed.contact, 20));
        label for={ (id) "e" } { "Mail address" }
        input id={ (id) "e" } name="email" type="email" maxlength="120" value=(kit::short(&typed.email, 120));
        label for={ (id) "n" } { "Full name, to look for in texts" }
        input id={ (id) "n" } name="name" maxlength="120" value=(kit::short(&typed.name, 120));
    }
}

fn export(frame: &Frame, typed: &Typed) -> Markup {
    html! {
        section class="box" {
            h2 { "A copy" }
            p { "A ZIP with one page to read, the same rows as CSV and JSON, and a list of what was blacked out because "
                "it concerns others. Read it before you hand it over. Downloading is written to the audit log." }
            (kit::form(frame, "/data-requests/export", html! {
                (whom("x", typed))
                div class="acts" { button { "Download export (ZIP)" } }
            }))
        }
    }
}

fn erase(frame: &Frame, typed: &Typed) -> Markup {
    html! {
        section class="box" {
            h2 { "Forget her" }
            p { "Her runs are closed and her data is erased from every store of the agent, within a few minutes. Rows "
                "keep what happened and lose whom it was about. It cannot be undone. HubSpot and Slack hold copies of "
                "their own; backups age out after 35 days." }
            (kit::form(frame, "/data-requests/erase", html! {
                (whom("f", typed))
                label for="fw" { "Why? (10 characters or more; do not name her)" }
                input id="fw" name="why" required minlength="10" maxlength="300" value=(kit::short(&typed.why, 300));
                label for="fk" { "Type the word erase" }
                input id="fk" name="word" required maxlength="10" autocomplete="off";
                label for="fp" { "Your PIN" }
                input id="fp" name="pin" type="password" inputmode="numeric" required maxlength="12"
                    autocomplete="current-password";
                div class="acts" { button { "Erase for good" } }
            }))
        }
    }
}
