//! The audit: who did what, why, and what was sent to the model. Must never hide a window of time it did not
//! say.
use super::{kit, layout};
use crate::days;
use crate::frame::{Frame, Menu};
use crate::view::RowView;
use maud::{Markup, html};
use types::EntryState;
use web::Response;

/// Rows a page.
pub(crate) const ROWS: u32 = 40;
/// How much of a prompt or of a row's raw data fits on a page.
const RAW_MAX: usize = 36_000;

/// The filters, as the address carries them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filters {
    pub(crate) q: String,
    pub(crate) verb: String,
    pub(crate) to: String,
    /// A date, `all`, or empty for the last 30 days.
    pub(crate) from: String,
    pub(crate) until: String,
    pub(crate) after: String,
}

impl Filters {
    pub(crate) fn address(&self, path: &str, from: &str, after: &str) -> String {
        let pairs = [
            ("q", self.q.as_str()),
            ("verb", &self.verb),
            ("to", &self.to),
            ("from", from),
            ("until", &self.until),
            ("after", after),
        ];
        format!("{path}{}", kit::query(&pairs))
    }
}

/// Why a deal is where it is.
pub(crate) struct Answer {
    pub(crate) row: RowView,
    /// What the run had read before.
    pub(crate) reads: Vec<RowView>,
    /// Who had turned the writes on.
    pub(crate) turned_on: Option<RowView>,
}

/// What the page shows.
pub(crate) struct Audit {
    pub(crate) filters: Filters,
    /// Verbs to choose from.
    pub(crate) verbs: Vec<String>,
    /// Stages to choose from: id and label.
    pub(crate) stages: Vec<(String, String)>,
    pub(crate) answer: Option<Answer>,
    /// `None`: the log is away.
    pub(crate) rows: Option<Vec<RowView>>,
    pub(crate) next: Option<i64>,
    /// Rows before the window, up to 1,000.
    pub(crate) older: u64,
}

/// The page.
pub(crate) fn page(frame: &Frame, view: &Audit) -> Response {
    let main = html! {
        h1 { "Audit" }
        (filters(view))
        @if let Some(answer) = &view.answer { (card(frame, answer)) }
        @if let Some(rows) = &view.rows {
            @if rows.is_empty() { (nothing(view)) } @else { (table(frame, rows)) }
            (window(view, rows.len()))
        }
    };
    layout::page(frame, Menu::Audit, "Audit", main)
}

fn filters(view: &Audit) -> Markup {
    let chosen = &view.filters;
    let from = if chosen.from == "all" { "" } else { &chosen.from };
    html! {
        form class="f" method="get" action="/audit" {
            div { label for="q" { "Deal, customer, contact or run" }
                input id="q" name="q" value=(kit::short(&chosen.q, 300)) maxlength="128"; }
            div { label for="verb" { "What happened" }
                select id="verb" name="verb" {
                    (kit::option("", "Anything", &chosen.verb))
                    @for verb in &view.verbs { (kit::option(verb, &verb.replace('_', " "), &chosen.verb)) }
                } }
            div { label for="to" { "To stage" }
                select id="to" name="to" {
                    (kit::option("", "Any", &chosen.to))
                    @for (id, label) in &view.stages { (kit::option(id, label, &chosen.to)) }
                } }
            div { label for="from" { "From" } input id="from" name="from" type="date" value=(kit::short(from,
                300));
                }
            div { label for="until" { "Until" } input id="until" name="until" type="date"
                value=(kit::short(&chosen.until, 300)); }
            button class="do" { "Search" }
            span class="end acts" {
                a class="bt" href=(chosen.address("/audit.csv", &chosen.from, "")) { "CSV" }
                a class="bt" href=(chosen.address("/audit.json", &chosen.from, "")) { "JSON" }
            }
        }
    }
}

/// The answer in a sentence.
fn card(frame: &Frame, answer: &Answer) -> Markup {
    let row = &answer.row;
    html! {
        div class="box answer" {
            h2 { (sentence(frame, row)) }
            p {
                @match &row.because {
                    Some(because) => { "Because: " (kit::quoted(because, 300)) " " }
                    None => "No reason is kept for it. ",
                }
                @if !answer.reads.is_empty() {
                    "It had read "
                    @for (n, read) in answer.reads.iter().take(3).enumerate() {
                        @if n > 0 { ", " }
                        a href={ "/audit/" (read.seq) } { (kit::short(&read.what.words, 60)) " at "
                            (frame.zone.clock(read.at)) }
                    }
                    ". "
                }
                @if let Some(on) = &answer.turned_on {
                    "Writes for " (kit::line(&row.verb)) " were on, turned on by " (kit::short(&on.actor, 60))
                        " on "
                    (days::long_with_year(days::date_of(on.at, &frame.zone))) "."
                }
            }
            (links(row))
        }
    }
}

/// `On Tuesday 17 March 2026 at 14:02:09 the agent moved deal 4187 “Pallet pool” from “Negotiation” to
/// “Closed Lost”.`
fn sentence(frame: &Frame, row: &RowView) -> Markup {
    let day = days::long_with_year(days::date_of(row.at, &frame.zone));
    let who = if row.actor == "agent" { "the agent".to_owned() } else { kit::short(&row.actor, 60) };
    let did = if row.state == EntryState::Unknown { " tried to move " } else { " moved " };
    html! {
        "On " (day) " at " (frame.zone.clock(row.at)) " " (who) (did) (kit::short(&row.target, 60))
        @if let Some(name) = &row.deal_name { " " (kit::quoted(name, 80)) }
        @if let Some(before) = &row.what.before { " from " (kit::quoted(before, 60)) }
        @if let Some(after) = &row.what.after { " to " (kit::quoted(after, 60)) }
        "."
        @if row.state == EntryState::Unknown { " HubSpot did not answer." }
    }
}

fn links(row: &RowView) -> Markup {
    html! {
        p {
            @if let Some(hash) = &row.prompt_hash { a href={ "/prompts/" (web::encode_component(hash)) } {
                "Exact prompt" } " · " }
            @if let Some(run) = &row.run_id { a href={ "/runs/" (web::encode_component(run)) } {
                "Step by step" } " · " }
            a href={ "/audit/" (row.seq) } { "Link to this row" } " · "
            a href={ "/audit/" (row.seq) ".json" } { "Download row (JSON)" }
        }
    }
}

fn table(frame: &Frame, rows: &[RowView]) -> Markup {
    html! {
        table class="r" {
            thead { tr {
                th { "Time (" (frame.zone.city()) ")" } th { "Actor" } th { "Verb" } th { "Target" }
                th { "Before → after" } th { "Result" } th { "Run" } th { "Prompt" } th { "Model" }
            } }
            tbody { @for row in rows { tr {
                td class="nb" { a href={ "/audit/" (row.seq) } { (frame.stamp(row.at)) } }
                td { (kit::short(&row.actor, 40)) }
                td { code { (kit::short(&row.verb, 40)) } }
                td { (kit::short(&row.target, 60)) }
                td { (kit::change(&row.what)) }
                td { (kit::result(row)) }
                td { @if let Some(run) = &row.run_id { (kit::run_link(run)) } }
                td { @if let (Some(short), Some(hash)) = (row.prompt_short(), &row.prompt_hash) {
                    a class="mono" href={ "/prompts/" (web::encode_component(hash)) } { (kit::line(short)) }
                } }
                td class="small" { (kit::short(row.model.as_deref().unwrap_or_default(), 40)) }
            } } }
        }
    }
}

fn nothing(view: &Audit) -> Markup {
    let chosen = &view.filters;
    html! {
        p {
            @if chosen.q.is_empty() { "No row for these filters." } @else {
                "No row for " b { (kit::short(&chosen.q, 80)) } " in this time. The agent did not touch it."
            }
            " " a href=(chosen.address("/audit", "all", "")) { "Search all dates" }
        }
    }
}

fn window(view: &Audit, shown: usize) -> Markup {
    let chosen = &view.filters;
    html! {
        p {
            @if shown > 0 { "Showing " (shown) " rows. " }
            @if let Some(next) = view.next {
                a href=(chosen.address("/audit", &chosen.from, &next.to_string())) { "Next " (ROWS) } ". "
            }
            @if chosen.from.is_empty() { "Showing 30 days. " }
            @if view.older > 0 {
                @if view.older >= 1_000 { "1,000 or more" } @else { (view.older) }
                " older rows: " a href=(chosen.address("/audit", "all", "")) { "widen" }
            }
        }
    }
}

/// One row, at its permanent address.
pub(crate) fn one(frame: &Frame, row: &RowView) -> Response {
    let title = format!("Row {}", row.seq);
    let text = serde_json::to_string_pretty(&row.row).unwrap_or_default();
    let main = html! {
        a href="/audit" { "Audit" }
        h1 { (title) ": " (kit::short(&row.what.words, 120)) }
        @if let Some(request) = &row.erased_on { p class="note" { "Erased on request " (kit::short(request,
            60)) "." } }
        (facts(frame, row))
        (links(row))
        details { summary { "Everything that is kept of it" } (raw(&text)) }
    };
    layout::page(frame, Menu::Audit, &title, main)
}

fn facts(frame: &Frame, row: &RowView) -> Markup {
    let fact = |name: &str, value: Markup| html! { tr { th scope="row" { (name) } td { (value) } } };
    html! {
        table { tbody {
            (fact("Time", frame.stamp(row.at)))
            (fact("Actor", html! { (kit::short(&row.actor, 80)) }))
            (fact("Verb", html! { code { (kit::short(&row.verb, 60)) } }))
            (fact("Target", html! { (kit::short(&row.target, 80)) @if let Some(name) = &row.deal_name { ", "
                (kit::short(name, 80)) } }))
            @if let Some(customer) = &row.customer { (fact("Customer", html! { (kit::short(customer, 80)) }))
                }
            (fact("Change", kit::what(&row.what)))
            (fact("Result", html! { (kit::result(row)) @if let Some(reason) = &row.reason { " " code {
                (kit::short(reason, 60)) } } }))
            @if let Some(because) = &row.because { (fact("Because", kit::quoted(because, 600))) }
            @for warning in &row.warnings { (fact("Mind", html! { "⚠ " (kit::short(warning, 200)) })) }
            @if let Some(mode) = row.mode { (fact("Mode", kit::mode(mode))) }
            @if let Some(tier) = row.tier { (fact("Tier", html! { code { (tier.code()) } })) }
            @if let Some(model) = &row.model { (fact("Model", html! { code { (kit::short(model, 80)) } })) }
            @if let Some(version) = &row.config_version { (fact("Configuration", html! { code {
                (kit::short(version, 120)) } })) }
            (fact("Chain", html! { code { (kit::line(&row.row.hash)) } }))
        } }
    }
}

/// As much as fits; a cut is said.
fn raw(text: &str) -> Markup {
    let shown = kit::lines(text, RAW_MAX);
    let is_cut = shown.ends_with('…') && !text.ends_with('…');
    html! {
        pre { (shown) }
        @if is_cut { p { "Cut here. Download it to see all of it." } }
    }
}

/// What the model was sent.
pub(crate) enum PromptView {
    /// The exact bytes; their hash was checked just now.
    Exact(String),
    Erased,
    Absent,
    /// The stored bytes do not have this hash.
    Altered,
}

/// The exact prompt.
pub(crate) fn prompt(frame: &Frame, hash: &str, view: &PromptView) -> Response {
    let short = kit::short(hash, 9);
    let main = html! {
        a href="/audit" { "Audit" }
        h1 { "Prompt " (short) }
        p class="sub" { "SHA-256 " code { (kit::line(hash)) } }
        @match view {
            PromptView::Exact(text) => {
                p class="ok" {
                    "These are the exact bytes the model was sent: their hash was computed again just now." }
                p { a href={ "/prompts/" (web::encode_component(hash)) ".json" } { "Download (JSON)" } }
                (raw(text))
            }
            PromptView::Erased => p { "Its bytes were erased on a person’s request. The hash stays." },
            PromptView::Absent => p { "No prompt with this hash is kept." },
            PromptView::Altered => p class="note" { b {
                "The stored bytes do not have this hash. Somebody changed them." } },
        }
    };
    let status = if matches!(view, PromptView::Absent) { 404 } else { 200 };
    layout::with_status(frame, Menu::Audit, &format!("Prompt {short}"), main, status)
}

/// The rows as a spreadsheet file; no field is ever a formula.
pub(crate) fn csv(rows: &[RowView], console_url: &str) -> String {
    let mut out = String::from(
        "\u{feff}time_utc,actor,verb,target,before,after,result,reason,because,mode,tier,run,\
        prompt_hash,model,address\r\n",
    );
    for row in rows {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let fields = [
            row.at.to_string(),
            row.actor.clone(),
            row.verb.clone(),
            row.row.target_id.clone().unwrap_or_default(),
            text(&row.what.before),
            row.what.after.clone().unwrap_or_else(|| row.what.words.clone()),
            row.state.code().to_owned(),
            text(&row.reason),
            text(&row.because),
            row.mode.map(|mode| mode.code().to_owned()).unwrap_or_default(),
            row.tier.map(|tier| tier.code().to_owned()).unwrap_or_default(),
            text(&row.run_id),
            text(&row.prompt_hash),
            text(&row.model),
            format!("{console_url}/audit/{}", row.seq),
        ];
        let fields: Vec<String> = fields.iter().map(|field| web::csv_field(field)).collect();
        out.push_str(&fields.join(","));
        out.push_str("\r\n");
    }
    out
}
