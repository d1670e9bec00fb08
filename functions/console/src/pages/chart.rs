//! Two charts as inline SVG, each with its table. Must never draw a line through what was not measured.
use super::kit;
use crate::frame::Frame;
use maud::{Markup, html};
use types::UsdNanos;

/// Spend of the day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spend {
    pub(crate) spent: UsdNanos,
    pub(crate) pending: UsdNanos,
    pub(crate) cap: UsdNanos,
    /// Minutes since the day began there.
    pub(crate) minute: i64,
    /// The day's cap was reached.
    pub(crate) tripped: bool,
    /// Hours in which something was spent, in order.
    pub(crate) hours: Vec<Hour>,
}

/// One hour's spend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hour {
    /// Minutes of the day at which it ends, or now.
    pub(crate) until: i64,
    /// `14:00`.
    pub(crate) from: String,
    pub(crate) spent: UsdNanos,
}

impl Spend {
    /// Minute and sum after each hour; what no hour counts was spent before the first.
    fn steps(&self) -> Vec<(i64, UsdNanos)> {
        let counted = self.hours.iter().fold(UsdNanos::ZERO, |sum, hour| sum.plus(hour.spent));
        let mut sum = self.spent.minus(counted).max(UsdNanos::ZERO);
        let mut steps = vec![(0, sum)];
        for hour in &self.hours {
            sum = sum.plus(hour.spent);
            steps.push((hour.until.min(self.minute), sum));
        }
        steps
    }
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
    /// `4/6`, where there is room for no more.
    pub(crate) short: String,
    pub(crate) long: String,
    pub(crate) would_have: i64,
    pub(crate) did: i64,
    pub(crate) surprising: i64,
}

const LEFT: i64 = 66;
const WIDE: i64 = 370;
const TOP: i64 = 30;
const HIGH: i64 = 116;

/// Where a minute of the day lies.
fn x_of(minute: i64) -> i64 {
    LEFT.saturating_add(minute.clamp(0, 1_440).saturating_mul(WIDE) / 1_440)
}

/// The line of the day: level within an hour, up at its end, for only then is it known.
fn step_line(spend: &Spend, y_of: &impl Fn(UsdNanos) -> i64) -> String {
    let mut path = String::new();
    for (n, (minute, sum)) in spend.steps().into_iter().enumerate() {
        let (x, y) = (x_of(minute), y_of(sum));
        path.push_str(&if n == 0 { format!("M{x} {y}") } else { format!("H{x}V{y}") });
    }
    path.push_str(&format!("H{}", x_of(spend.minute)));
    path
}

/// Round sums to rule the chart with, below its top: 1, 2 or 5 times a power of ten.
fn rules(top: UsdNanos) -> Vec<UsdNanos> {
    let mut step = UsdNanos::from_cents(1);
    let mut factors = [2, 5, 10].into_iter().cycle();
    let mut unit = step.0;
    while top.0 / step.0.max(1) > 3 {
        let factor = factors.next().unwrap_or(10);
        step = UsdNanos(unit.saturating_mul(factor));
        if factor == 10 {
            unit = step.0;
        }
    }
    (1..=3).map(|n| UsdNanos(step.0.saturating_mul(n))).filter(|sum| *sum < top).collect()
}

/// Today's spend under its cap: a line by the hour, a dot now, and a square where the cap was reached.
pub(crate) fn spend(spend: &Spend) -> Markup {
    let top = spend.cap.0.max(spend.spent.0).max(1);
    let y_of = |usd: UsdNanos| {
        let up = i128::from(usd.0.max(0)).saturating_mul(i128::from(HIGH)) / i128::from(top);
        TOP.saturating_add(HIGH).saturating_sub(i64::try_from(up).unwrap_or(HIGH))
    };
    let x = x_of(spend.minute);
    let line = step_line(spend, &y_of);
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
            text class="t" text-anchor="end" x=(LEFT.saturating_sub(6)) y=(base.saturating_add(4)) { "$0" }
            @for rule in rules(UsdNanos(top)) {
                @let ruled = y_of(rule);
                line x1=(LEFT) x2=(right) y1=(ruled) y2=(ruled) stroke="currentColor" stroke-opacity=".25" {}
                // A sum that lies close under the cap would be written over it.
                @if ruled > cap.saturating_add(8) { text class="t" text-anchor="end" x=(LEFT.saturating_sub(6))
                    y=(ruled.saturating_add(4)) { (rule) } }
            }
            @for (hour, offset) in [("00:00", 0), ("06:00", 1), ("12:00", 2), ("18:00", 3), ("24:00", 4)] {
                text class="t" text-anchor="middle" x=(LEFT.saturating_add(WIDE * offset / 4))
                    y=(base.saturating_add(20)) { (hour) }
            }
            path d=(line) fill="none" stroke="#0a73b7" stroke-width="3" {}
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
            @if !spend.hours.is_empty() {
                table {
                    thead { tr { th { "Hour from" } th class="num" { "Spent" } th class="num" { "In all" } } }
                    tbody { @for (hour, (_, sum)) in spend.hours.iter().zip(spend.steps().into_iter().skip(1)) {
                        tr { td { (hour.from) } td class="num" { (hour.spent) } td class="num" { (sum) } }
                    } }
                }
            }
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
        p class="small legend" { span { "□ would have" } span { "■ did" } span { "⚠ you called it surprising" } }
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
            @if tool.days.len() <= 5 {
                @for (n, day) in tool.days.iter().enumerate() {
                    (bars(day, i64::try_from(n).unwrap_or(0).saturating_mul(34), most))
                }
            } @else { (narrow(&tool.days, most)) }
        }
    }
}

/// A month: bars without numbers, the day under every tenth. The numbers are in the label and in the table.
fn narrow(days: &[ToolDay], most: i64) -> Markup {
    let count = i64::try_from(days.len()).unwrap_or(i64::MAX).max(1);
    let slot = (170 / count).max(3);
    let bar = |n: i64, x: i64, fill: &str| {
        let tall = n.max(0).saturating_mul(82) / most;
        html! { @if n > 0 {
            rect x=(x) y=(116_i64.saturating_sub(tall)) width=(slot / 2) height=(tall) fill=(fill)
                stroke="#0a73b7" {}
        } }
    };
    html! {
        @for (n, day) in days.iter().enumerate() {
            @let x = i64::try_from(n).unwrap_or(0).saturating_mul(slot);
            (bar(day.would_have, x, "none"))
            (bar(day.did, x.saturating_add(slot / 2), "#0a73b7"))
            @if day.surprising > 0 { text class="h" x=(x) y="147" { "⚠" } }
            @if n % 10 == 0 { text class="t" x=(x) y="131" { (day.short) } }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn day(hours: &[(i64, i64)], spent: i64) -> Spend {
        let hour = |&(until, cents): &(i64, i64)| Hour {
            until,
            from: String::new(),
            spent: UsdNanos::from_cents(cents),
        };
        Spend {
            spent: UsdNanos::from_cents(spent),
            pending: UsdNanos::ZERO,
            cap: UsdNanos::from_cents(1_000),
            minute: 615,
            tripped: false,
            hours: hours.iter().map(hour).collect(),
        }
    }

    #[test]
    fn the_line_rises_at_the_end_of_each_hour_and_ends_now() {
        let y_of = |usd: UsdNanos| usd.0 / 10_000_000;
        let line = step_line(&day(&[(540, 100), (660, 50)], 150), &y_of);
        let x = |minute: i64| LEFT + minute * WIDE / 1_440;
        assert_eq!(line, format!("M66 0H{}V100H{}V150H{}", x(540), x(615), x(615)));
        let before = step_line(&day(&[(540, 100)], 130), &y_of);
        assert!(before.starts_with("M66 30H"), "what no hour counts lies before: {before}");
    }

    #[test]
    fn the_rules_are_round_and_few() {
        for (top, sums) in [
            (2_500, vec![1_000, 2_000]),
            (1_000, vec![500]),
            (300, vec![100, 200]),
            (7, vec![2, 4, 6]),
            (1, vec![]),
            (1_000_000, vec![500_000]),
        ] {
            let sums: Vec<UsdNanos> = sums.into_iter().map(UsdNanos::from_cents).collect();
            assert_eq!(rules(UsdNanos::from_cents(top)), sums, "{top}");
        }
    }
}
