//! Budgets: how near the caps. Must never let a cap be raised without a reason and a PIN.
use super::chart::{self, Spend};
use super::{kit, layout};
use crate::frame::{Frame, Menu};
use maud::{Markup, html};
use std::collections::BTreeMap;
use types::{Cap, Caps, Timestamp};
use web::Response;

/// What the page shows.
pub(crate) struct Budgets {
    /// `None`: the caps cannot be read.
    pub(crate) caps: Option<Caps>,
    /// The caps' version on the page she looks at.
    pub(crate) version: i64,
    pub(crate) spend: Option<Spend>,
    pub(crate) spend_unread: bool,
    /// The caps cannot be saved now.
    pub(crate) config_away: bool,
    /// Until the new day: `7 h 18 min`.
    pub(crate) new_day_in: String,
    /// Who changed which cap last, and when; `None`: the log is away.
    pub(crate) changed: Option<BTreeMap<Cap, (Timestamp, String)>>,
    /// The last trip: when, and what.
    pub(crate) last_trip: Option<(Timestamp, String)>,
    pub(crate) typed: Typed,
}

/// What was typed into the form of one cap, and what was wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Typed {
    pub(crate) cap: Option<Cap>,
    pub(crate) value: String,
    pub(crate) why: String,
    pub(crate) error: Option<String>,
}

/// The cap's name for people.
pub(crate) const fn name(cap: Cap) -> &'static str {
    match cap {
        Cap::UsdPerDay => "Dollars per day",
        Cap::TokensPerRun => "Tokens per run",
        Cap::ToolCallsPerRun => "Tool calls per run",
    }
}

/// The cap's value as a person writes it.
pub(crate) fn written(caps: &Caps, cap: Cap) -> String {
    match cap {
        Cap::UsdPerDay => {
            let cents = caps.usd_per_day.0 / 10_000_000;
            format!("{}.{:02}", cents / 100, cents % 100)
        }
        Cap::TokensPerRun => caps.tokens_per_run.to_string(),
        Cap::ToolCallsPerRun => caps.tool_calls_per_run.to_string(),
    }
}

/// `40,000`: the whole part in threes.
fn grouped(number: &str) -> String {
    let (whole, rest) = number.find('.').map_or((number, ""), |at| number.split_at(at));
    let mut out = String::new();
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && whole.len().saturating_sub(n) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    format!("{out}{rest}")
}

/// The order of the page.
pub(crate) const ORDER: [Cap; 3] = [Cap::UsdPerDay, Cap::TokensPerRun, Cap::ToolCallsPerRun];

/// The page.
pub(crate) fn page(frame: &Frame, view: &Budgets, status: u16) -> Response {
    let main = html! {
        h1 { "Budgets" }
        p class="sub" {
            "Checked before every model call. A call that does not fit is not made: the agent halts and \
                Slack is told." }
        @if view.config_away { p class="note" { b { "The caps cannot be saved now." }
            " Those in force stay in force." } }
        @match &view.caps {
            Some(caps) => table class="r" {
                thead { tr { th { "Limit" } th { "Now" } th { "Used" } th class="num" { "Cap" } th { "Last change" } th { "Change"
                    } } }
                tbody { @for cap in ORDER { (one(frame, view, caps, cap)) } }
            },
            None => p class="note" { b { "The caps cannot be read." } " No model call is made without them."
                },
        }
        div class="two" {
            (chart::spend_box(frame, view.spend.as_ref(), view.spend_unread))
            (trips(frame, view))
        }
    };
    layout::with_status(frame, Menu::Budgets, "Budgets", main, status)
}

fn one(frame: &Frame, view: &Budgets, caps: &Caps, cap: Cap) -> Markup {
    let day = view.spend.as_ref().filter(|_| cap == Cap::UsdPerDay);
    html! {
        tr {
            td { b { (name(cap)) } br;
                @match cap {
                    Cap::UsdPerDay => { "New day at 00:00 " (frame.zone.city()) ", in "
                        (kit::line(&view.new_day_in)) }
                    Cap::TokensPerRun | Cap::ToolCallsPerRun => "A run keeps the cap it began with",
                }
            }
            td { @if let Some(day) = day {
                b { (day.spent) } @if let Some(percent) = percent(day.spent.0, day.cap.0) { " (" (percent)
                    " %)" }
                br; "+ " (day.pending) " reserved"
            } @else { "–" } }
            td { @if let Some(day) = day { (chart::bar(day.spent.0, day.cap.0)) } }
            td class="num" data-l="Cap:" { b { @if cap == Cap::UsdPerDay { "$" } (grouped(&written(caps, cap))) } }
            td { @match view.changed.as_ref().map(|changed| changed.get(&cap)) {
                Some(Some((at, who))) => { (frame.stamp(*at)) ", " (kit::short(who, 60)) }
                Some(None) => "Install",
                None => "–",
            } }
            td { (change(frame, view, caps, cap)) }
        }
    }
}

fn percent(used: i64, cap: i64) -> Option<i128> {
    let half = i128::from(cap) / 2;
    i128::from(used).saturating_mul(100).saturating_add(half).checked_div(i128::from(cap))
}

fn change(frame: &Frame, view: &Budgets, caps: &Caps, cap: Cap) -> Markup {
    let typed = Some(&view.typed).filter(|typed| typed.cap == Some(cap));
    let code = cap.code();
    let value = typed.map_or_else(|| written(caps, cap), |typed| typed.value.clone());
    if !frame.viewer.may_change || view.config_away {
        return html! {};
    }
    html! {
        details open[typed.is_some()] { summary { "Change…" }
            form method="post" action={ "/budgets/" (code) } {
                (kit::token(frame))
                @if let Some(error) = typed.and_then(|typed| typed.error.as_ref()) {
                    p class="note" role="alert" { b { (kit::short(error, 300)) } }
                }
                input type="hidden" name="version" value=(view.version);
                label for={ "v-" (code) } { "New cap" @if cap == Cap::UsdPerDay { ", in dollars" } }
                input id={ "v-" (code) } name="value" inputmode="decimal" required maxlength="12"
                    value=(kit::short(&value, 300));
                p class="small" { "Lower: that is all. To raise it:" }
                label for={ "w-" (code) } { "Why raise it? (10 characters or more)" }
                input id={ "w-" (code) } name="why" maxlength="300"
                    value=(kit::short(typed.map_or("", |typed| typed.why.as_str()), 300));
                label for={ "p-" (code) } { "Your PIN, to raise it" }
                input id={ "p-" (code) } name="pin" type="password" inputmode="numeric"
                    autocomplete="current-password"
                    maxlength="12";
                div class="acts" { button { "Save the cap" } }
            }
        }
    }
}

fn trips(frame: &Frame, view: &Budgets) -> Markup {
    html! {
        section class="box" {
            h2 { "When a cap trips" }
            ol {
                li { "The call is not made." }
                li { "The same switch as the HALT button is set." }
                li { "Slack gets the limit and the last tool call." }
                li { "It stays halted, also after midnight, until a person resumes it." }
            }
            p { b { "Last time: " }
                @match &view.last_trip {
                    Some((at, what)) => { (frame.stamp(*at)) ", " (kit::short(what, 80)) "." }
                    None => "none in the log.",
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_threes() {
        for (number, read) in
            [("30", "30"), ("40000", "40,000"), ("1234567", "1,234,567"), ("2500.00", "2,500.00")]
        {
            assert_eq!(grouped(number), read);
        }
    }
}
