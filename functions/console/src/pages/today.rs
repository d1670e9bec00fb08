//! Today: is it running, what needs me, what did it do, what did it cost. Must never hold anything that
//! changes something.
use super::chart::{self, Spend, ToolDays};
use super::{kit, layout};
use crate::frame::{Frame, Menu};
use crate::view::RowView;
use maud::{Markup, html};
use web::Response;

/// One line of "Needs you".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) count: u64,
    pub(crate) text: String,
    pub(crate) link: String,
    pub(crate) link_text: &'static str,
}

/// What the page shows.
pub(crate) struct Today {
    /// `Thursday 4 June`.
    pub(crate) date: String,
    /// The day of the install, from 1; `None`: the log is away or empty.
    pub(crate) day: Option<i64>,
    /// Tool calls today; `None`: the log is away.
    pub(crate) calls: Option<i64>,
    pub(crate) writing: usize,
    pub(crate) dry: usize,
    pub(crate) needs: Vec<Need>,
    pub(crate) spend: Option<Spend>,
    /// The day could not be read.
    pub(crate) spend_unread: bool,
    pub(crate) tools: Option<Vec<ToolDays>>,
    pub(crate) last: Option<Vec<RowView>>,
    /// Nothing was ever turned on: the first-day banner.
    pub(crate) all_dry: bool,
    /// May be resumed from here.
    pub(crate) resume: bool,
}

/// The page.
pub(crate) fn page(frame: &Frame, view: &Today) -> Response {
    let title = format!("Today, {}", view.date);
    let main = html! {
        h1 { (title) }
        p class="sub" {
            @if let Some(day) = view.day { "Day " (day) ". " }
            @if let Some(calls) = view.calls { (kit::plural(calls.unsigned_abs(), "tool call", "tool calls"))
                " today. " }
            (kit::plural(count(view.writing), "tool writes", "tools write")) ", "
            (kit::plural(count(view.dry), "tool only says what it would have done",
                "tools only say what they would have done"))
            "."
        }
        @if view.resume && frame.viewer.may_change {
            p class="note" {
                "The agent is halted. Nothing starts until a person resumes it. "
                a href="/resume" { "Resume…" }
            }
        } @else if view.all_dry {
            p class="note" {
                b { "Everything is in dry-run." } " Press HALT once now, then resume: you will know it works."
            }
        }
        h2 { "Needs you" }
        (needs(&view.needs))
        div class="two" {
            (chart::spend_box(frame, view.spend.as_ref(), view.spend_unread))
            section class="box" {
                h2 { "Per tool per day" }
                @match &view.tools {
                    Some(tools) => { (chart::tools(tools)) (chart::tools_table(tools)) }
                    None => p { "The log cannot be read now." },
                }
            }
        }
        h2 { "Last actions" }
        @match &view.last {
            Some(rows) if rows.is_empty() => p { "No actions yet. The agent answers HubSpot events." },
            Some(rows) => (last(frame, rows)),
            None => p { "The log cannot be read now." },
        }
    };
    layout::page(frame, Menu::Today, &title, main)
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn needs(needs: &[Need]) -> Markup {
    html! {
        @if needs.is_empty() { p { "Nothing needs you now." } } @else {
            ul class="needs" { @for need in needs { li {
                b { (need.count) }
                span { (kit::short(&need.text, 200)) }
                a href=(need.link) { (need.link_text) }
            } } }
        }
    }
}

fn last(frame: &Frame, rows: &[RowView]) -> Markup {
    html! {
        table class="r" {
            thead { tr { th { "Time" } th { "What" } th { "Customer" } th { "Result" } } }
            tbody { @for row in rows { tr {
                td class="nb" { (frame.stamp(row.at)) }
                td {
                    a href={ "/audit/" (row.seq) } { (kit::what(&row.what)) }
                    @if row.deal_id.is_some() { ", " (kit::short(&row.target, 40)) }
                }
                td { (kit::short(row.customer.as_deref().unwrap_or("–"), 60)) }
                td { (kit::result(row)) }
            } } }
        }
    }
}
