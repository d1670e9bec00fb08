//! A run, step by step. Must never offer to pick up a run that was halted.
use super::{kit, layout};
use crate::frame::{Frame, Menu};
use maud::{Markup, html};
use types::{Timestamp, UsdNanos};
use web::Response;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) at: Option<Timestamp>,
    /// `Event`, `Model`, the tool's name.
    pub(crate) part: String,
    /// What happened there.
    pub(crate) text: String,
    /// Its row in the log.
    pub(crate) seq: Option<i64>,
    /// What became of it.
    pub(crate) result: Option<&'static str>,
    /// The prompt, where one was sent.
    pub(crate) prompt_hash: Option<String>,
}

/// Starting the run again, as a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StartAgain {
    /// It was not stopped.
    No,
    /// A person may.
    Offer {
        /// The reason that was typed before.
        typed: String,
        /// Why it was not started.
        error: Option<String>,
        /// Nothing can be started while the agent is halted.
        halted: bool,
    },
    /// As this run.
    Done(String),
}

/// What the page shows.
pub(crate) struct RunPage {
    pub(crate) run_id: String,
    /// The status and why, as codes; `None`: the tables are away.
    pub(crate) status: Option<(String, Option<String>)>,
    pub(crate) deal: Option<String>,
    pub(crate) customer: Option<String>,
    pub(crate) usd: UsdNanos,
    pub(crate) tokens: u64,
    pub(crate) calls: usize,
    pub(crate) steps: Vec<Step>,
    /// The log is away: what was decided is missing.
    pub(crate) log_missing: bool,
    pub(crate) deal_url: Option<String>,
    /// The run that this one starts again.
    pub(crate) follows: Option<String>,
    pub(crate) again: StartAgain,
}

/// The most lines on a page; the raw rows have all of them.
const STEPS_MAX: usize = 60;

/// The page.
pub(crate) fn page(frame: &Frame, view: &RunPage, status: u16) -> Response {
    let title = format!("Run {}", view.run_id);
    let main = html! {
        a href="/audit" { "Audit" }
        h1 { (kit::line(&title)) }
        p class="sub" { (summary(view)) }
        @if let Some(old) = &view.follows { p { "It starts again what run " (kit::run_link(old)) " left." } }
        @if view.log_missing { p class="note" { "The log cannot be read now; this is what the tables hold." }
            }
        table class="r" {
            thead { tr { th { "Time" } th { "Part" } th { "What happened" } th { "Result" } } }
            tbody { @for step in view.steps.iter().take(STEPS_MAX) { (one(frame, step)) } }
        }
        @if view.steps.len() > STEPS_MAX { p { "Showing " (STEPS_MAX) " of " (view.steps.len()) " lines." } }
        @if view.steps.is_empty() { p { "Nothing is kept of this run." } }
        p { a href={ "/runs/" (web::encode_component(&view.run_id)) ".json" } { "Raw rows (JSON)" }
            @if let Some(url) = &view.deal_url { " · " a href=(url) rel="noreferrer" {
                "Open the deal in HubSpot" } } }
        (start_again(frame, view))
    };
    layout::with_status(frame, Menu::Audit, &title, main, status)
}

fn start_again(frame: &Frame, view: &RunPage) -> Markup {
    html! {
        @match &view.again {
            StartAgain::No => {}
            StartAgain::Done(new) => p { "It was started again as run " (kit::run_link(new)) "." },
            StartAgain::Offer { typed, error, halted } => {
                h2 { "Start again" }
                p { "A new run on the same event, with the caps and tools of now. It sees what this run did \
                    and does none of it again." }
                @if let Some(error) = error { p class="note" role="alert" { b { (kit::short(error, 300)) } } }
                @if *halted {
                    p class="note" { "The agent is halted: resume it first." }
                } @else if frame.viewer.may_change {
                    (kit::form(frame, &format!("/runs/{}/again", web::encode_component(&view.run_id)), html! {
                        label for="why" { "Why? (10 characters or more)" }
                        input id="why" name="why" required minlength="10" maxlength="300"
                            value=(kit::short(typed, 300));
                        div class="acts" { button { "Start again as a new run" } }
                    }))
                }
            }
        }
    }
}

fn summary(view: &RunPage) -> Markup {
    html! {
        @if let Some(deal) = &view.deal { (kit::short(deal, 120)) ". " }
        @if let Some(customer) = &view.customer { (kit::short(customer, 80)) ". " }
        @match &view.status {
            Some((status, reason)) => {
                "It is " b { (kit::line(status)) }
                @if let Some(reason) = reason { " (" code { (kit::short(reason, 60)) } ")" }
                ". "
            }
            None => "Where it stands cannot be read now. ",
        }
        (view.calls) " tool calls, " (view.tokens) " tokens, " (view.usd) "."
        @if view.status.as_ref().is_some_and(|(status, _)| status == "halted") {
            " A halted run is never picked up half-way."
        }
    }
}

fn one(frame: &Frame, step: &Step) -> Markup {
    html! {
        tr {
            td class="nb" { @if let Some(at) = step.at { (frame.stamp(at)) } }
            td { b { (kit::short(&step.part, 40)) } }
            td {
                (kit::short(&step.text, 360))
                @if let Some(hash) = &step.prompt_hash {
                    " " a href={ "/prompts/" (web::encode_component(hash)) } { "exact prompt" }
                }
            }
            td {
                @if let Some(result) = step.result { (result) }
                @if let Some(seq) = step.seq { " " a href={ "/audit/" (seq) } { "row" } }
            }
        }
    }
}
