//! Reads what Today shows. Must never leave a line out silently: a store that is away is named.
use super::{Inbox, read};
use crate::days;
use crate::load::tools::{FIVE, counts, tool_days};
use crate::pages::chart::{Hour, Spend};
use crate::pages::today::{Need, Today, page as page_of};
use crate::route::Visit;
use crate::view::RowView;
use audit_log::{Count, Query};
use std::collections::BTreeMap;
use types::{EntryState, Mode, Stages, Timestamp, UsdNanos};
use web::{Response, Zone};

/// Rows of "Last actions".
const LAST: usize = 12;
/// Rows that are looked at for them.
const LOOKED_AT: u32 = 100;

/// The page.
pub(crate) async fn page(visit: &Visit<'_>) -> Response {
    let newest = Query { limit: LOOKED_AT, ..Query::default() };
    let ((frame, inbox), counts, last, first, besides) = tokio::join!(
        visit.framed(),
        counts(visit),
        read(visit.deps, |log| async move { log.search(&newest).await }),
        read(visit.deps, |log| async move { log.row(1).await }),
        besides(visit),
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
        day: first.flatten().map(|row| day_number(row.occurred_at, today, &frame.zone)),
        needs: needs(&inbox, &besides, &visit.stages(), frame.now),
        spend: spend(visit),
        spend_unread: visit.sight.day.is_none(),
        tools: counts.map(|counts| tool_days(visit, &counts, today, FIVE)),
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
        hours: hours(visit, &day.hours),
    })
}

/// The hours of the day that pays, as the company's clock has them.
fn hours(visit: &Visit<'_>, hours: &BTreeMap<i64, UsdNanos>) -> Vec<Hour> {
    let (now, zone) = (visit.deps.now(), &visit.sight.seen.zone);
    let begun = days::begins(days::date_of(now, zone), zone).unwrap_or(now);
    let hour = |(from_ms, spent): (&i64, &UsdNanos)| {
        let from = sight::moment(*from_ms);
        let until = from.as_second().saturating_add(3_600).saturating_sub(begun.as_second()) / 60;
        let clock: String = zone.clock(from).chars().take(5).collect();
        Hour { until, from: clock, spent: *spent }
    };
    // A call that was posted after midnight and belongs to the day before is no hour of today.
    hours.iter().map(hour).filter(|hour| hour.until > 0).collect()
}

/// Minutes since the local day began.
pub(crate) fn minute_of(now: Timestamp, zone: &Zone) -> i64 {
    let begun = days::begins(days::date_of(now, zone), zone).unwrap_or(now);
    now.as_second().saturating_sub(begun.as_second()) / 60
}

/// On which day of the install this is: the day of the log's first row is day 1.
fn day_number(first: Timestamp, today: jiff::civil::Date, zone: &Zone) -> i64 {
    let span = today.since(days::date_of(first, zone)).map_or(0, |span| i64::from(span.get_days()));
    span.max(0).saturating_add(1)
}

/// What waits besides the menu's entries.
#[derive(Debug, Clone, Copy, Default)]
struct Besides {
    /// Questions that the agent asked within a day.
    questions: u64,
    /// Data requests that are not done.
    requests: u64,
    /// People who need a new PIN.
    blocked: u64,
}

async fn besides(visit: &Visit<'_>) -> Besides {
    let asked = Query {
        verb: Some("ask_human".to_owned()),
        decisions: vec![EntryState::Applied],
        from: Some(super::earlier(visit.deps.now(), super::DAY_S)),
        limit: LOOKED_AT,
        ..Query::default()
    };
    let (asked, requests) = tokio::join!(
        read(visit.deps, |log| async move { log.search(&asked).await }),
        super::table(visit.deps.ledger.open_requests()),
    );
    let people = visit.sight.people.iter().flat_map(|people| people.people.values());
    let blocked = people.filter(|person| {
        person.revoked_ms.is_none() && person.pin_wrong_total >= web::PIN_WRONG_BEFORE_RESET
    });
    Besides {
        questions: asked.map_or(0, |page| size(page.rows.len())),
        requests: requests.map_or(0, |requests| size(requests.len())),
        blocked: size(blocked.count()),
    }
}

fn size(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn needs(inbox: &Inbox, besides: &Besides, stages: &Stages, now: Timestamp) -> Vec<Need> {
    let mut needs = Vec::new();
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
    let words =
        ("question that the agent asked in Slack today", "questions that the agent asked in Slack today");
    add(besides.questions, words, "/audit?verb=ask_human", "Read them");
    let words = ("data request is not done", "data requests are not done");
    add(besides.requests, words, "/data-requests", "Look at them");
    let words =
        ("person is out of PIN tries and needs a new PIN", "people are out of PIN tries and need a new PIN");
    add(besides.blocked, words, "/people", "Give a new PIN");
    for ask in inbox.asks.iter().flatten().take(3) {
        let rest =
            format!("the agent asked for stage “{}”, which is not in your list", stages.label(&ask.stage_id));
        let (one, many) =
            (format!("time {rest}. It was refused."), format!("times {rest}. Each was refused."));
        add(ask.times, (&one, &many), "/pipeline", "Look at the stage");
    }
    needs
}
