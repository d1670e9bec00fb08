//! The would-have log: would I have done this? Must never offer to judge what was not shown.
use super::{kit, layout};
use crate::frame::{Frame, Menu};
use crate::view::RowView;
use audit_log::Judged;
use maud::{Markup, html};
use web::Response;

/// Rows a page.
pub(crate) const ROWS: u32 = 25;

/// The filters, as the address carries them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filters {
    pub(crate) day: String,
    pub(crate) tool: String,
    pub(crate) customer: String,
    pub(crate) judged: String,
    pub(crate) after: String,
}

impl Filters {
    /// The address of this view; `after` says from which row on.
    pub(crate) fn address(&self, path: &str, after: &str) -> String {
        let pairs = [
            ("day", self.day.as_str()),
            ("tool", &self.tool),
            ("customer", &self.customer),
            ("judged", &self.judged),
            ("after", after),
        ];
        format!("{path}{}", kit::query(&pairs))
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the page shows.
pub(crate) struct WouldHave {
    pub(crate) filters: Filters,
    /// Days to choose from: value and text.
    pub(crate) days: Vec<(String, String)>,
    /// Tools to choose from.
    pub(crate) tools: Vec<String>,
    /// `None`: the log is away.
    pub(crate) rows: Option<Vec<RowView>>,
    pub(crate) next: Option<i64>,
    /// How many match in all, up to 1,000.
    pub(crate) total: Option<u64>,
    /// The last event that set the agent off.
    pub(crate) last_event: Option<types::Timestamp>,
}

/// The page.
pub(crate) fn page(frame: &Frame, view: &WouldHave) -> Response {
    let main = html! {
        h1 { "Would-have log" }
        p class="sub" { "What the agent would have done. Nothing on this page was written to HubSpot." }
        (filters(frame, view))
        @if let Some(rows) = &view.rows {
            @if rows.is_empty() { (empty(frame, view)) } @else { (table(frame, view, rows)) }
        }
    };
    layout::page(frame, Menu::WouldHave, "Would-have log", main)
}

fn filters(frame: &Frame, view: &WouldHave) -> Markup {
    let chosen = &view.filters;
    let not_yet = match frame.counts.not_judged {
        Some(n) => format!("Not judged yet ({n})"),
        None => "Not judged yet".to_owned(),
    };
    html! {
        form class="f" method="get" action="/would-have" {
            div { label for="day" { "Day" }
                select id="day" name="day" {
                    (kit::option("", "All days", &chosen.day))
                    @for (value, text) in &view.days { (kit::option(value, text, &chosen.day)) }
                }
            }
            div { label for="tool" { "Tool" }
                select id="tool" name="tool" {
                    (kit::option("", "All tools", &chosen.tool))
                    @for tool in &view.tools { (kit::option(tool, tool, &chosen.tool)) }
                }
            }
            div { label for="customer" { "Customer or deal number" }
                input id="customer" name="customer" value=(kit::short(&chosen.customer, 300)) maxlength="128";
            }
            div { label for="judged" { "Your judgement" }
                select id="judged" name="judged" {
                    (kit::option("", "All", &chosen.judged))
                    (kit::option("not_yet", &not_yet, &chosen.judged))
                    (kit::option("expected", "Expected", &chosen.judged))
                    (kit::option("surprising", "Surprising", &chosen.judged))
                }
            }
            button class="do" { "Show" }
            span class="end acts" {
                a class="bt" href=(chosen.address("/would-have.csv", "")) { "Download CSV" }
                a class="bt" href=(chosen.address("/would-have.jsonl", ""))
                    title="Surprising ones: what the agent saw, would have done and should have done" {
                    "Examples (JSON lines)" }
            }
        }
    }
}

fn empty(frame: &Frame, view: &WouldHave) -> Markup {
    html! {
        @if view.filters.is_empty() {
            p {
                "No actions yet. The agent answers HubSpot events"
                @match view.last_event {
                    Some(at) => { "; the last one came " (frame.stamp(at)) "." }
                    None => "; none came yet.",
                }
            }
        } @else {
            p { "Nothing for these filters. " a href="/would-have" { "Clear" } }
        }
    }
}

fn table(frame: &Frame, view: &WouldHave, rows: &[RowView]) -> Markup {
    let open: Vec<&RowView> = rows.iter().filter(|row| row.judgement.is_none()).collect();
    html! {
        table class="r" {
            thead { tr {
                th { "Time" } th { "Customer, deal" } th { "Would have" } th { "Because" } th { "Set off by" }
                th { "Did you expect this?" }
            } }
            tbody { @for row in rows { (one(frame, row)) } }
        }
        p {
            "Showing " (rows.len())
            @if let Some(total) = view.total {
                " of " @if total >= 1_000 { "1,000 or more" } @else { (total) }
            }
            "."
            @if let Some(next) = view.next {
                " " a href=(view.filters.address("/would-have", &next.to_string())) { "Next " (ROWS) }
            }
        }
        @if frame.viewer.may_change && open.len() > 1 {
            form method="post" action="/would-have/judge" {
                (kit::token(frame))
                @for row in &open { input type="hidden" name="seq" value=(row.seq); }
                button name="judged" value="expected" { "All " (open.len()) " on this page as expected" }
            }
        }
    }
}

fn one(frame: &Frame, row: &RowView) -> Markup {
    html! {
        tr {
            td class="nb" { (frame.stamp(row.at)) }
            td {
                @if let Some(customer) = &row.customer { (kit::short(customer, 60)) br; }
                a href={ "/audit/" (row.seq) } {
                    (kit::short(row.deal_id.as_deref().unwrap_or(&row.target), 40))
                    @if let Some(name) = &row.deal_name { " " (kit::short(name, 60)) }
                }
            }
            td { (kit::what(&row.what)) @for warning in row.warnings.iter().take(2) { " " span class="b w" {
                "⚠ "
                (kit::short(warning, 60)) } } }
            td { @if let Some(because) = &row.because { (kit::quoted(because, 300)) } }
            td {
                @if let Some(by) = &row.set_off_by { (kit::short(by, 40)) @if row.run_id.is_some() { ", " } }
                @if let Some(run) = &row.run_id { a href={ "/runs/" (web::encode_component(run)) } { "read" }
                    }
            }
            td { (judgement(frame, row)) }
        }
    }
}

fn judgement(frame: &Frame, row: &RowView) -> Markup {
    let hidden = html! { input type="hidden" name="seq" value=(row.seq); };
    match &row.judgement {
        Some(said) => html! {
            @if said.judged == Judged::Surprising {
                span class="b w" { "⚠ Surprising" }
            } @else { span class="b" { "✓ Expected" } }
            " " (kit::form(frame, "/would-have/judge", html! {
                (hidden) button class="l" name="judged" value="withdrawn" { "undo" }
            }))
            @if let Some(note) = &said.note { div { (kit::quoted(note, 200)) } }
            @if said.judged == Judged::Surprising {
                div { a href={ "/would-have/" (row.seq) ".jsonl" } { "as an example" } }
            }
        },
        None => html! {
            (kit::form(frame, "/would-have/judge", html! {
                (hidden) button name="judged" value="expected" { "Expected" }
            }))
            @if frame.viewer.may_change {
                details { summary { "Surprising…" }
                    (kit::form(frame, "/would-have/judge", html! {
                        (hidden)
                        label for={ "n" (row.seq) } { "What should it have done?" }
                        input id={ "n" (row.seq) } name="note" maxlength="300";
                        button name="judged" value="surprising" { "Surprising" }
                    }))
                }
            }
        },
    }
}

/// The same rows as a spreadsheet file; no field is ever a formula.
pub(crate) fn csv(rows: &[RowView], console_url: &str) -> String {
    let mut out = String::from(
        "\u{feff}time_utc,customer,deal,deal_name,tool,would_have,before,after,because,set_off_by,\
        judgement,note,address\r\n",
    );
    for row in rows {
        let said = row.judgement.as_ref();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let fields = [
            row.at.to_string(),
            text(&row.customer),
            row.deal_id.clone().unwrap_or_else(|| row.target.clone()),
            text(&row.deal_name),
            row.verb.clone(),
            row.what.words.clone(),
            text(&row.what.before),
            text(&row.what.after),
            text(&row.because),
            text(&row.set_off_by),
            said.map(|said| said.judged.code().to_owned()).unwrap_or_default(),
            said.and_then(|said| said.note.clone()).unwrap_or_default(),
            format!("{console_url}/audit/{}", row.seq),
        ];
        let fields: Vec<String> = fields.iter().map(|field| web::csv_field(field)).collect();
        out.push_str(&fields.join(","));
        out.push_str("\r\n");
    }
    out
}
