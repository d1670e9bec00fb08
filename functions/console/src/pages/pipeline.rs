//! Pipeline stages: which may the agent move deals to? Must never save a list whose difference was not shown.
use super::{kit, layout};
use crate::frame::{Frame, Menu};
use crate::load::StageAsk;
use maud::{Markup, html};
use types::Timestamp;
use web::Response;

/// One stage, from HubSpot and from the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StageRow {
    pub(crate) id: String,
    pub(crate) label: String,
    pub(crate) pipeline: String,
    /// The pipeline's id.
    pub(crate) pipeline_id: String,
    pub(crate) allowed: bool,
    /// Is it on the list at all?
    pub(crate) listed: bool,
    pub(crate) closed: bool,
    /// Does HubSpot still have it? `None`: HubSpot does not answer.
    pub(crate) exists: Option<bool>,
}

/// Stages on a page that each get a note.
const NOTES_MAX: usize = 5;

/// What the page shows.
pub(crate) struct Pipeline {
    pub(crate) rows: Vec<StageRow>,
    pub(crate) version: i64,
    pub(crate) asks: Vec<StageAsk>,
    /// HubSpot does not answer, or no token is set up.
    pub(crate) hubspot_away: bool,
    /// The list cannot be saved now; since when the shown one is known.
    pub(crate) config_away: Option<Option<Timestamp>>,
    /// When a step was last seen to use this version.
    pub(crate) in_force: Option<Timestamp>,
    /// The last change of the list: when, and by whom.
    pub(crate) changed: Option<(Timestamp, String)>,
}

/// The page.
pub(crate) fn page(frame: &Frame, view: &Pipeline) -> Response {
    let main = html! {
        h1 { "Pipeline stages" }
        p class="sub" {
            "The stages the agent may move a deal to. You own this list. A change works within 60 seconds, \
                without a deploy."
        }
        (notes(frame, view))
        @if view.rows.is_empty() { p {
            "No stages are known yet. Until you allow some, the agent can move no deal." } }
        @else { (list(frame, view)) }
    };
    layout::page(frame, Menu::Pipeline, "Pipeline stages", main)
}

fn notes(frame: &Frame, view: &Pipeline) -> Markup {
    html! {
        @if let Some(since) = view.config_away {
            p class="note" {
                @match since {
                    Some(at) => { b { "Showing the list of " (frame.stamp(at)) "." } }
                    None => b { "The list cannot be read." },
                }
                " Changes cannot be saved now."
            }
        }
        @if view.hubspot_away {
            p class="note" { b { "HubSpot does not answer; names are missing." }
                " You can disallow stages, not allow new ones." }
        }
        @for row in view.rows.iter().filter(|row| is_new(view, row)).take(NOTES_MAX) {
            div class="note" {
                b { "“" (kit::short(&row.label, 60)) "” is not in your list." }
                " It came to HubSpot after the list was saved, or was left out then. The agent moves no deal \
                    there. "
                @if can_save(view) { (allow(frame, view, &row.id)) }
            }
        }
        @for ask in view.asks.iter().take(NOTES_MAX) {
            div class="note" {
                b { "“" (kit::short(label_of(view, &ask.stage_id), 60)) "” is not in your list." }
                " The agent asked for it " (kit::plural(ask.times, "time", "times"))
                    " in a week and was refused. "
                @if can_save(view) && known(view, &ask.stage_id) {
                    (allow(frame, view, &ask.stage_id))
                }
            }
        }
        @if let Some(at) = view.in_force { p { "In force since " (frame.stamp(at)) ": a step has read it." } }
    }
}

fn label_of<'a>(view: &'a Pipeline, id: &'a str) -> &'a str {
    view.rows.iter().find(|row| row.id.eq_ignore_ascii_case(id)).map_or(id, |row| row.label.as_str())
}

fn known(view: &Pipeline, id: &str) -> bool {
    view.rows.iter().any(|row| row.id.eq_ignore_ascii_case(id) && row.exists == Some(true))
}

fn can_save(view: &Pipeline) -> bool {
    view.config_away.is_none()
}

/// HubSpot has it, and the list that was saved last did not know it yet.
fn is_new(view: &Pipeline, row: &StageRow) -> bool {
    let asked = view.asks.iter().any(|ask| ask.stage_id.eq_ignore_ascii_case(&row.id));
    view.version > 0 && !row.listed && row.exists == Some(true) && !asked
}

/// The list in force and one stage more.
fn allow(frame: &Frame, view: &Pipeline, id: &str) -> Markup {
    kit::form(
        frame,
        "/pipeline/allow",
        html! {
            input type="hidden" name="version" value=(view.version);
            input type="hidden" name="allow" value=(id);
            button { "Allow “" (kit::short(label_of(view, id), 40)) "”…" }
        },
    )
}

fn list(frame: &Frame, view: &Pipeline) -> Markup {
    let change = frame.viewer.may_change && can_save(view);
    let table = html! {
        table class="r" {
            thead { tr {
                th class="num" { "Order" } th { "Stage" } th { "Pipeline" } th { "HubSpot id" }
                th { "May the agent move deals here?" }
            } }
            tbody { @for (n, row) in view.rows.iter().enumerate() { tr {
                td class="num" { (n.saturating_add(1)) }
                td { b { (kit::short(&row.label, 80)) } @if row.closed { " " span class="b" { "closed" } } }
                td { (kit::short(&row.pipeline, 60)) }
                td { code { (kit::short(&row.id, 80)) } }
                td { (may(row, change)) }
            } } }
        }
        @if let Some((at, who)) = &view.changed { p class="sub" { "Last change " (frame.stamp(*at)) ", "
            (kit::short(who, 60)) ". "
            a href="/pipeline/versions" { "Earlier versions" } } }
    };
    if !change {
        return table;
    }
    html! {
        form method="post" action="/pipeline/check" {
            (kit::token(frame))
            input type="hidden" name="version" value=(view.version);
            (table)
            div class="acts" {
                button class="do" { "Check and save…" }
                span { "Shows what changes before it is saved." }
            }
        }
    }
}

fn may(row: &StageRow, change: bool) -> Markup {
    // A stage that HubSpot does not have, or cannot tell us about, can only be taken off.
    let settable = row.allowed || row.exists == Some(true);
    html! {
        @if change && settable {
            select name={ "s:" (row.id) } aria-label={ "May the agent move deals to " (kit::short(&row.label,
                60))
                "?" } {
                option value="yes" selected[row.allowed] { "Yes" }
                option value="no" selected[!row.allowed] { "No, a person does this" }
            }
        } @else if row.allowed { "Yes" } @else { "No, a person does this" }
        @if row.exists == Some(false) { " " span class="b w" { "not in HubSpot any more" } }
    }
}

/// The difference, before it is saved.
pub(crate) struct Difference {
    pub(crate) version: i64,
    /// Label, id, closed.
    pub(crate) added: Vec<StageRow>,
    pub(crate) removed: Vec<StageRow>,
    /// Every stage that will be allowed.
    pub(crate) allowed: Vec<StageRow>,
    /// Ids of an earlier list that cannot be allowed now.
    pub(crate) gone: Vec<String>,
    /// `None`: the log is away.
    pub(crate) what_if: Option<WhatIf>,
    pub(crate) error: Option<String>,
}

/// Last week's moves, held against a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WhatIf {
    /// Moves that were, or would have been, done.
    pub(crate) moves: u64,
    /// Those of them that the list refuses.
    pub(crate) refused: u64,
    /// Moves that were refused and that the list allows.
    pub(crate) allowed: u64,
    /// There were more than were looked at.
    pub(crate) cut: bool,
}

impl Difference {
    /// A stage that HubSpot counts as closed is newly allowed: that asks for a PIN.
    pub(crate) fn needs_pin(&self) -> bool {
        self.added.iter().any(|row| row.closed)
    }
}

/// The page that asks for the last word.
pub(crate) fn difference(frame: &Frame, view: &Difference, status: u16) -> Response {
    let main = html! {
        div class="col" {
            a href="/pipeline" { "Pipeline stages" }
            h1 { "What changes" }
            @if let Some(error) = &view.error { p class="note" role="alert" { b { (kit::short(error, 300)) } }
                }
            @for row in &view.added { p { span class="b on" { "+ allow" } " " (stage(row)) } }
            @for row in &view.removed { p { span class="b" { "− disallow" } " " (stage(row)) } }
            p class="sub" {
                "After it the agent may move deals to " (kit::plural(
                    u64::try_from(view.allowed.len()).unwrap_or(u64::MAX), "stage", "stages"))
                @if view.allowed.is_empty() { "." } @else { ": " }
                @for (n, row) in view.allowed.iter().enumerate() {
                    @if n > 0 { ", " } (kit::short(&row.label, 60))
                }
            }
            @for id in view.gone.iter().take(20) {
                p class="note" { code { (kit::short(id, 80)) }
                    " of that list is left out: HubSpot does not have it now." }
            }
            (last_week(view.what_if))
            @if view.added.is_empty() && view.removed.is_empty() {
                p { "Nothing else changes. " a href="/pipeline" { "Back to the list" } }
            } @else { (confirm(frame, view)) }
        }
    };
    layout::with_status(frame, Menu::Pipeline, "What changes", main, status)
}

fn last_week(seen: Option<WhatIf>) -> Markup {
    let Some(seen) = seen else {
        return html! { p class="note" {
        "The log cannot be read now: what this list would have refused last week is not known." } };
    };
    html! {
        p class="ok" {
            "With this list " b { (seen.refused) } " of last week’s " (kit::plural(seen.moves, "move", "moves"))
            " would have been refused"
            @if seen.allowed > 0 { ", and " b { (seen.allowed) } " that "
                @if seen.allowed == 1 { "was" } @else { "were" } " refused would have been allowed" }
            "."
            @if seen.cut { " Only the newest were looked at." }
        }
    }
}

/// A list as it was saved.
pub(crate) struct Version {
    pub(crate) seq: i64,
    pub(crate) at: Timestamp,
    pub(crate) by: String,
    pub(crate) labels: Vec<String>,
}

/// The lists as they were saved. `saved` is the version in force; none when it cannot be read.
pub(crate) fn versions(frame: &Frame, rows: &[Version], saved: Option<i64>, next: Option<i64>) -> Response {
    let main = html! {
        a href="/pipeline" { "Pipeline stages" }
        h1 { "Earlier versions" }
        p class="sub" { "Restoring shows first what changes. It is a change like any other, and has its row." }
        @if rows.is_empty() { p { "No list was saved yet." } }
        table class="r" {
            thead { tr { th { "Saved" } th { "By" } th { "The agent may move deals to" } th { "Change" } } }
            tbody { @for row in rows { tr {
                td class="nb" { a href={ "/audit/" (row.seq) } { (frame.stamp(row.at)) } }
                td { (kit::short(&row.by, 60)) }
                td { @if row.labels.is_empty() { "No stage" } @else { (kit::short(&row.labels.join(", "), 400)) } }
                td { @if let Some(version) = saved { (kit::form(frame, "/pipeline/restore", html! {
                    input type="hidden" name="version" value=(version);
                    input type="hidden" name="seq" value=(row.seq);
                    button { "Restore…" }
                })) } }
            } } }
        }
        @if let Some(next) = next { p { a href={ "/pipeline/versions?after=" (next) } { "Older versions" } } }
    };
    layout::page(frame, Menu::Pipeline, "Earlier versions", main)
}

fn stage(row: &StageRow) -> Markup {
    html! { b { (kit::short(&row.label, 80)) } " " code { (kit::short(&row.id, 80)) } @if row.closed {
    " (closed in HubSpot)" } }
}

fn confirm(frame: &Frame, view: &Difference) -> Markup {
    html! {
        @if frame.viewer.may_change {
            form method="post" action="/pipeline/save" {
                (kit::token(frame))
                input type="hidden" name="version" value=(view.version);
                @for row in &view.allowed { input type="hidden" name="may" value=(row.id); }
                @if view.needs_pin() {
                    p class="note" { "A stage that closes a deal is newly allowed. That asks for your PIN." }
                    label for="pin" { "Your PIN" }
                    input id="pin" name="pin" type="password" inputmode="numeric"
                        autocomplete="current-password"
                        required maxlength="12";
                }
                div class="acts" {
                    button class="do" { "Save" }
                    a class="bt" href="/pipeline" { "Keep it as it is" }
                }
            }
        }
    }
}

/// Somebody saved another list first.
pub(crate) fn changed_meanwhile(frame: &Frame, yours: &[StageRow], theirs: &[StageRow]) -> Response {
    let column = |title: &str, rows: &[StageRow]| {
        html! {
            div class="box" {
                h2 { (title) }
                @if rows.is_empty() { p { "No stage." } }
                ul { @for row in rows { li { (stage(row)) } } }
            }
        }
    };
    let main = html! {
        h1 { "Somebody changed it first" }
        p { "Nothing of yours was saved. Compare both, then open the list again and make your change there." }
        div class="two" { (column("Saved now", theirs)) (column("What you wanted", yours)) }
        p { a class="bt" href="/pipeline" { "Open the list" } }
    };
    layout::with_status(frame, Menu::Pipeline, "Somebody changed it first", main, 409)
}
