//! Resuming: its own page, a reason and a PIN. Must never resume by a link, nor wake a run that was halted.
use super::{kit, layout};
use crate::frame::{Frame, Menu};
use maud::{Markup, html};
use web::Response;
use web::panel::tools_word;

/// What the page shows.
pub(crate) struct Resume {
    /// What the switches showed; sent back, so that a press made meanwhile wins.
    pub(crate) shown: Option<Shown>,
    /// Who halted, when and why, in a sentence.
    pub(crate) halted: String,
    /// Tools that wrote before.
    pub(crate) wrote: Vec<String>,
    /// Events that wait; `None`: not known.
    pub(crate) held: Option<usize>,
    /// Customers that stay halted.
    pub(crate) customers: usize,
    /// The daily cap was reached and nothing changed since.
    pub(crate) cap_first: bool,
    pub(crate) why: String,
    pub(crate) error: Option<String>,
}

/// The epoch and the flags' press counter on the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) epoch: u64,
    pub(crate) seq: String,
}

/// The page.
pub(crate) fn page(frame: &Frame, view: &Resume, status: u16) -> Response {
    let main = html! {
        div class="col" {
            a href="/" { "Today" }
            h1 { "Resume the agent" }
            p { (kit::short(&view.halted, 300)) }
            p {
                @match view.held {
                    Some(0) => "No event waits. ",
                    Some(n) => { (kit::plural(u64::try_from(n).unwrap_or(u64::MAX), "event waits",
                        "events wait")) ": start or discard them on the page Waiting. " }
                    None => {},
                }
                "Runs that were stopped stay stopped: they are never picked up half-way."
            }
            @if view.customers > 0 {
                p { (kit::plural(u64::try_from(view.customers).unwrap_or(u64::MAX), "customer stays",
                    "customers stay")) " halted." }
            }
            @if let Some(error) = &view.error { p class="note" role="alert" { b { (kit::short(error, 300)) } }
                }
            @match &view.shown {
                _ if view.cap_first => p class="note" {
                    b { "The daily budget is used up." } " Raise the cap first, or wait for 00:00 "
                        (frame.zone.city()) ". "
                    a href="/budgets" { "Budgets" }
                },
                Some(shown) if frame.viewer.may_change => (form(view, frame, shown)),
                Some(_) => p class="note" { "Resuming needs the role ops." },
                None => p class="note" { b { "One of the two switches does not answer." }
                    " Nobody can resume until both do." },
            }
        }
    };
    layout::with_status(frame, Menu::Today, "Resume the agent", main, status)
}

fn form(view: &Resume, frame: &Frame, shown: &Shown) -> Markup {
    let wrote: Vec<String> = view.wrote.iter().map(|tool| tools_word(tool, web::Lang::En)).collect();
    html! {
        form method="post" action="/resume" {
            (kit::token(frame))
            input type="hidden" name="epoch" value=(shown.epoch);
            input type="hidden" name="seq" value=(web::encode_component(&shown.seq));
            label class="tick" { input type="radio" name="modes" value="dry" checked;
                "Dry-run: reads, writes nothing" }
            @if !wrote.is_empty() {
                label class="tick" { input type="radio" name="modes" value="before";
                    "As before: writes on for " (kit::short(&wrote.join(" and "), 300)) }
            }
            label for="why" { "Why is it safe to resume? (10 characters or more)" }
            textarea id="why" name="why" required minlength="10" maxlength="300" { (kit::lines(&view.why,
                400)) }
            label for="pin" { "Your PIN" }
            input id="pin" name="pin" type="password" inputmode="numeric" autocomplete="current-password"
                required
                maxlength="12";
            div class="acts" {
                button class="do" { "Resume the agent" }
                a class="bt" href="/" { "Keep it halted" }
            }
        }
    }
}
