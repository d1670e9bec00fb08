//! Reads what Today shows. Must never leave a line out silently: a store that is away is named.
use super::{Inbox, read};
use crate::days;
use crate::load::tools::counts;
use crate::pages::chart::{Spend, ToolDay, ToolDays};
use crate::pages::today::{Need, Today, page as page_of};
use crate::route::Visit;
use crate::view::RowView;
use audit_log::{Count, Query};
use types::{Mode, Stages, Timestamp};
use web::{Response, Zone};

/// Rows of "Last actions".
const LAST: usize = 12;
/// Rows that are looked at for them.
const LOOKED_AT: u32 = 100;

/// The page.
pub(crate) async fn page(visit: &Visit<'_>) -> Response {
    let newest = Query { limit: LOOKED_AT, ..Query::default() };
    let ((frame, inbox), counts, last) = tokio::join!(
        visit.framed(),
        counts(visit),
        read(visit.deps, |log| async move { log.search(&newest).await }),
    );
    let today = days::date_of(frame.now, &frame.zone);
    let people = visit.sight.people.as_ref();
    let modes = &frame.seen.modes;
    let state = frame.panel().state;
    let writing = modes.iter().filter(|(_, mode)| *mode == Mode::Live).count();
    let date = today.to_string();
    let view = Today {
        date: days::long(today),
        calls: counts.as_deref().map(|counts| calls_on(counts, &date)),
        writing,
        dry: modes.len().saturating_sub(writing),
        needs: needs(&inbox, &visit.stages(), frame.now),
        spend: spend(visit),
        spend_unread: visit.sight.day.is_none(),
        tools: counts.map(|counts| tool_days(visit, &counts, today)),
        last: last.map(|page| {
            let acts = page.rows.into_iter().filter(is_act).take(LAST);
            acts.map(|row| RowView::of(row, people)).collect()
        }),
        all_dry: visit.sight.control.as_ref().is_some_and(|control| control.mode_changes.is_empty()),
        resume: state.offers_resume(),
    };
    page_of(&frame, &view)
}

/// Neither a read nor the end of a run: something that was done, would have been done, or was refused.
fn is_act(row: &audit_log::Row) -> bool {
    row.verb != "run" && row.tier != Some(types::Tier::Read)
}

fn calls_on(counts: &[Count], day: &str) -> i64 {
    let on_day = counts.iter().filter(|count| count.day == day);
    on_day.fold(0, |sum, c| {
        [c.would_have, c.applied, c.drafted, c.refused, c.other]
            .iter()
            .fold(sum, |sum, n| sum.saturating_add(*n))
    })
}

/// Today's spend, for the charts.
pub(crate) fn spend(visit: &Visit<'_>) -> Option<Spend> {
    let day = visit.sight.day.as_ref()?.as_ref()?;
    Some(Spend {
        spent: day.spent,
        pending: day.pending,
        cap: day.cap,
        minute: minute_of(visit.deps.now(), &visit.sight.seen.zone),
        tripped: visit
            .sight
            .control
            .as_ref()
            .and_then(|control| control.halted_by.as_ref())
            .is_some_and(|by| by.reason == types::Cap::UsdPerDay.code()),
    })
}

/// Minutes since the local day began.
pub(crate) fn minute_of(now: Timestamp, zone: &Zone) -> i64 {
    let begun = days::begins(days::date_of(now, zone), zone).unwrap_or(now);
    now.as_second().saturating_sub(begun.as_second()) / 60
}

fn tool_days(visit: &Visit<'_>, counts: &[Count], today: jiff::civil::Date) -> Vec<ToolDays> {
    let day_of = |tool: &str, date: jiff::civil::Date| {
        let key = date.to_string();
        let count = counts.iter().find(|count| count.verb == tool && count.day == key);
        ToolDay {
            day: days::two_letters(date),
            long: days::short(date),
            would_have: count.map_or(0, |count| count.would_have),
            did: count.map_or(0, |count| count.applied),
            surprising: count.map_or(0, |count| count.surprising),
        }
    };
    visit
        .deps
        .acting()
        .map(|tool| ToolDays {
            name: capital(&tool.noun),
            days: days::last(today, 5).into_iter().map(|date| day_of(&tool.name, date)).collect(),
        })
        .collect()
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|c| c.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}", characters.as_str())
}

fn needs(inbox: &Inbox, stages: &Stages, now: Timestamp) -> Vec<Need> {
    let mut needs = Vec::new();
    let size = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let mut add = |count: u64, (one, many): (&str, &str), link: &str, link_text: &'static str| {
        if count > 0 {
            let text = if count == 1 { one } else { many };
            needs.push(Need { count, text: text.to_owned(), link: link.to_owned(), link_text });
        }
    };
    if let Some(checks) = &inbox.checks {
        let words = ("write that HubSpot never answered", "writes that HubSpot never answered");
        add(size(checks.len()), words, "/waiting", "Look at the deal");
    }
    if let Some(drafts) = &inbox.drafts {
        let oldest = drafts.last().map(|row| days::waited(row.at, now)).unwrap_or_default();
        let one = format!("draft waits for a person to send. Since: {oldest}");
        let many = format!("drafts wait for a person to send. Oldest: {oldest}");
        add(size(drafts.len()), (&one, &many), "/drafts", "Read the drafts");
    }
    if let Some(open) = inbox.not_judged {
        let words =
            ("would-have action you have not judged yet", "would-have actions you have not judged yet");
        add(open, words, "/would-have?judged=not_yet", "Judge them");
    }
    if let Some(held) = &inbox.held {
        let words =
            ("event waits: it met a halt before it began", "events wait: they met a halt before they began");
        add(size(held.len()), words, "/waiting", "Start or discard");
    }
    for ask in inbox.asks.iter().flatten().take(3) {
        let rest =
            format!("the agent asked for stage “{}”, which is not in your list", stages.label(&ask.stage_id));
        let (one, many) =
            (format!("time {rest}. It was refused."), format!("times {rest}. Each was refused."));
        add(ask.times, (&one, &many), "/pipeline", "Look at the stage");
    }
    needs
}
