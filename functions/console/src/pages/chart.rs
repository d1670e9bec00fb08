//! Two charts as inline SVG, each with its table. Must never draw a line through what was not measured.
use super::kit;
use crate::frame::Frame;
use maud::{Markup, html};
use types::UsdNanos;

/// Spend of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spend {
    pub(crate) spent: UsdNanos,
    pub(crate) pending: UsdNanos,
    pub(crate) cap: UsdNanos,
    /// Minutes since the day began there.
    pub(crate) minute: i64,
    /// The day's cap was reached.
    pub(crate) tripped: bool,
}

/// One tool's days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToolDays {
    pub(crate) name: String,
    pub(crate) days: Vec<ToolDay>,
}

/// One tool on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToolDay {
    pub(crate) day: String,
    pub(crate) long: String,
    pub(crate) would_have: i64,
    pub(crate) did: i64,
    pub(crate) surprising: i64,
}

const LEFT: i64 = 66;
const WIDE: i64 = 370;
const TOP: i64 = 30;
const HIGH: i64 = 116;

/// Today's spend under its cap: a dot now, and a square where the cap was reached.
pub(crate) fn spend(spend: &Spend) -> Markup {
    let top = spend.cap.0.max(spend.spent.0).max(1);
    let y_of = |usd: UsdNanos| {
        let up = i128::from(usd.0.max(0)).saturating_mul(i128::from(HIGH)) / i128::from(top);
        TOP.saturating_add(HIGH).saturating_sub(i64::try_from(up).unwrap_or(HIGH))
    };
    let x = LEFT.saturating_add(spend.minute.clamp(0, 1_440).saturating_mul(WIDE) / 1_440);
    let (y, cap, base) = (y_of(spend.spent), y_of(spend.cap), TOP.saturating_add(HIGH));
    let right = LEFT.saturating_add(WIDE);
    let label =
        format!("{} spent and {} reserved of a cap of {} today.", spend.spent, spend.pending, spend.cap);
    // The label of the dot stands left of it in the afternoon, so that it never leaves the picture.
    let late = spend.minute > 900;
    // And above it, so that a small sum is not written over the axis.
    let label_y = y.saturating_sub(6).max(TOP);
    html! {
        svg class="c" viewBox="0 0 470 180" role="img" aria-label=(label) {
            text class="h" x=(LEFT) y=(cap.saturating_sub(8)) { "Cap " (spend.cap) ": the agent halts here" }
            line x1=(LEFT) x2=(right) y1=(cap) y2=(cap) stroke="#b3001b" stroke-width="3"
                stroke-dasharray="8 5" {}
            line x1=(LEFT) x2=(right) y1=(base) y2=(base) stroke="currentColor" stroke-width="1" {}
            text class="t" x="8" y=(base.saturating_add(4)) { "$0" }
            @for (hour, offset) in [("00:00", 0), ("06:00", 1), ("12:00", 2), ("18:00", 3), ("24:00", 4)] {
                text class="t" text-anchor="middle" x=(LEFT.saturating_add(WIDE * offset / 4))
                    y=(base.saturating_add(20)) { (hour) }
            }
            line x1=(x) x2=(x) y1=(base) y2=(y) stroke="#0a73b7" stroke-width="3" {}
            @if spend.tripped {
                rect x=(x.saturating_sub(6)) y=(y.saturating_sub(6)) width="12" height="12" fill="#0a73b7" {}
            } @else { circle cx=(x) cy=(y) r="6" fill="#0a73b7" {} }
            text class="h" y=(label_y) x=(if late { x.saturating_sub(12) } else {
                x.saturating_add(12) })
                text-anchor=(if late { "end" } else { "start" }) { (spend.spent) " now" }
        }
    }
}

/// The same as a table.
pub(crate) fn spend_table(spend: &Spend) -> Markup {
    html! {
        details { summary { "Show as table" }
            table { tbody {
                tr { th scope="row" { "Spent" } td class="num" { (spend.spent) } }
                tr { th scope="row" { "Reserved" } td class="num" { (spend.pending) } }
                tr { th scope="row" { "Cap" } td class="num" { (spend.cap) } }
            } }
        }
    }
}

/// Small bars per tool: hollow for would-have, solid for done.
pub(crate) fn tools(tools: &[ToolDays]) -> Markup {
    let most = tools.iter().flat_map(|tool| &tool.days).map(|day| day.would_have.max(day.did)).max();
    let most = most.unwrap_or(0).max(1);
    html! {
        div class="three" { @for tool in tools { (group(tool, most)) } }
        p class="small" { "□ would have   ■ did   ⚠ you called it surprising" }
    }
}

fn group(tool: &ToolDays, most: i64) -> Markup {
    let told: Vec<String> = tool
        .days
        .iter()
        .map(|day| {
            format!(
                "{}: {} would have, {} did, {} surprising",
                day.long, day.would_have, day.did, day.surprising
            )
        })
        .collect();
    html! {
        svg class="c" viewBox="0 0 170 150" role="img" aria-label={ (kit::line(&tool.name)) ". "
            (told.join(". ")) } {
            text class="h" x="4" y="12" { (kit::short(&tool.name, 24)) }
            line x1="0" x2="170" y1="116" y2="116" stroke="currentColor" stroke-width="1" {}
            @for (n, day) in tool.days.iter().take(5).enumerate() {
                (bars(day, i64::try_from(n).unwrap_or(0).saturating_mul(34), most))
            }
        }
    }
}

fn bars(day: &ToolDay, x: i64, most: i64) -> Markup {
    let high = |n: i64| n.max(0).saturating_mul(82) / most;
    let both = day.would_have > 0 && day.did > 0;
    let wide = if both { 13 } else { 24 };
    let bar = |n: i64, x: i64, fill: &str| {
        let tall = high(n);
        html! {
            @if n > 0 {
                rect x=(x) y=(116_i64.saturating_sub(tall)) width=(wide) height=(tall) fill=(fill)
                    stroke="#0a73b7"
                    stroke-width="2" {}
                text x=(x.saturating_add(wide / 2)) y=(111_i64.saturating_sub(tall)) text-anchor="middle" {
                    (n) }
            }
        }
    };
    let did_x = if both { x.saturating_add(19) } else { x.saturating_add(5) };
    html! {
        (bar(day.would_have, x.saturating_add(5), "none"))
        (bar(day.did, did_x, "#0a73b7"))
        text class="t" x=(x.saturating_add(17)) y="131" text-anchor="middle" { (day.day) }
        @if day.surprising > 0 {
            text class="h" x=(x.saturating_add(17)) y="147" text-anchor="middle" { "⚠" (day.surprising) }
        }
    }
}

/// The same as a table.
pub(crate) fn tools_table(tools: &[ToolDays]) -> Markup {
    html! {
        details { summary { "Show as table" }
            table {
                thead { tr { th { "Tool" } th { "Day" } th class="num" { "Would have" } th class="num" { "Did"
                    } th class="num" { "Surprising" } } }
                tbody { @for tool in tools { @for day in &tool.days { tr {
                    td { (kit::line(&tool.name)) } td { (kit::line(&day.long)) } td class="num" {
                        (day.would_have) }
                    td class="num" { (day.did) } td class="num" { (day.surprising) }
                } } } }
            }
        }
    }
}

/// How much of a cap is used.
pub(crate) fn bar(used: i64, cap: i64) -> Markup {
    let part = if cap <= 0 {
        296
    } else {
        i64::try_from(i128::from(used.max(0)).saturating_mul(296) / i128::from(cap)).unwrap_or(296).min(296)
    };
    html! {
        svg class="bar" viewBox="0 0 304 26" preserveAspectRatio="none" aria-hidden="true" {
            rect x="1" y="5" width="299" height="16" fill="none" stroke="currentColor" stroke-width="1.5" {}
            rect x="2" y="6" width=(part) height="14" fill="#0a73b7" {}
            rect x="299" y="0" width="4" height="26" fill="#b3001b" {}
        }
    }
}

/// The spend box of Today and Budgets.
pub(crate) fn spend_box(frame: &Frame, day: Option<&Spend>, unread: bool) -> Markup {
    html! {
        section class="box" {
            h2 { "Spend today" }
            @match day {
                Some(day) => { (spend(day)) (spend_table(day)) }
                None if unread => p { b { "Spend unknown: no model call is made." } },
                None => p { "Nothing was spent yet. The day is counted in " (frame.zone.city()) " time." },
            }
        }
    }
}
