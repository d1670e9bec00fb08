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
        @for ask in &view.asks {
            div class="note" {
                b { "“" (kit::short(label_of(view, &ask.stage_id), 60)) "” is not in your list." }
                " The agent asked for it " (kit::plural(ask.times, "time", "times"))
                    " in a week and was refused. "
                @if can_save(view) && known(view, &ask.stage_id) {
                    (kit::form(frame, "/pipeline/check", html! {
                        (current(view))
                        input type="hidden" name="allow" value=(ask.stage_id);
                        button { "Allow “" (kit::short(label_of(view, &ask.stage_id), 40)) "”…" }
                    }))
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

/// The list as it is, as hidden fields.
fn current(view: &Pipeline) -> Markup {
    html! {
        input type="hidden" name="version" value=(view.version);
        @for row in view.rows.iter().filter(|row| row.allowed) { input type="hidden" name="may"
            value=(row.id); }
    }
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
            (kit::short(who, 60)) "." } }
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
    pub(crate) error: Option<String>,
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
            (confirm(frame, view))
        }
    };
    layout::with_status(frame, Menu::Pipeline, "What changes", main, status)
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
