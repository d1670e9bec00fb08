//! Turning on writes for one tool: is it ready? Must never block her decision, nor take it without tick,
//! reason and PIN.
use super::{kit, layout, tools};
use crate::frame::{Frame, Menu};
use maud::{Markup, html};
use web::Response;

/// One day of the tool.
pub(crate) struct Day {
    pub(crate) name: String,
    pub(crate) would_have: i64,
    pub(crate) judged: i64,
    pub(crate) surprising: i64,
    /// What people wrote about the surprising ones.
    pub(crate) notes: Vec<String>,
}

/// What was typed before, and what was wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Typed {
    pub(crate) ticked: bool,
    pub(crate) why: String,
    pub(crate) overrides: String,
    pub(crate) error: Option<String>,
}

/// What the page shows.
pub(crate) struct ToolWrites {
    pub(crate) name: String,
    /// `None`: the log is away. The last one is today.
    pub(crate) days: Option<Vec<Day>>,
    /// No log is set up at all.
    pub(crate) no_log: bool,
    /// Stages that she allows, for the tool that moves deals.
    pub(crate) stages_allowed: Option<usize>,
    /// Another tool that was turned on in the last 24 hours.
    pub(crate) recent: Option<String>,
    pub(crate) typed: Typed,
}

/// The page.
pub(crate) fn page(frame: &Frame, view: &ToolWrites, status: u16) -> Response {
    let title = format!("Turn on writes for “{}”", tools::title(&view.name));
    let action = format!("/tools/{}/writes", web::encode_component(&view.name));
    let main = html! {
        div class="col" {
            a href="/tools" { "Tools" }
            h1 { (kit::line(&title)) }
            p class="sub" { "From the next run on, the agent really " (verb(&view.name))
                ". Every other tool stays as it is." }
            @match &view.days {
                Some(days) => { (table(days)) (warning(&view.name, days)) }
                None => p class="note" {
                    "The log cannot be read now: there is no count of surprises to decide by, and writes cannot be \
                        turned on." },
            }
            @if let Some(error) = &view.typed.error { p class="note" role="alert" { b { (kit::short(error,
                300)) } }
                }
            @if frame.viewer.may_change && (view.days.is_some() || view.no_log) { (form(frame, view, &action)) }
            p class="sub" { "Your name and the reason go into the audit log." }
        }
    };
    layout::with_status(frame, Menu::Tools, &title, main, status)
}

fn verb(name: &str) -> &'static str {
    match name {
        "append_note" => "adds notes to deals in HubSpot",
        "set_stage" => "moves deals in HubSpot",
        "schedule_follow_up" => "creates tasks in HubSpot",
        _ => "writes to HubSpot",
    }
}

fn table(days: &[Day]) -> Markup {
    html! {
        table {
            thead { tr {
                th { "Day" } th class="num" { "Would have" } th class="num" { "Judged" } th class="num" {
                    "Surprising" }
                th { "What you wrote" }
            } }
            tbody { @for day in days { tr {
                td { (kit::line(&day.name)) }
                td class="num" { (day.would_have) } td class="num" { (day.judged) } td class="num" {
                    (day.surprising) }
                td { @for note in &day.notes { div { (kit::quoted(note, 160)) } } }
            } } }
        }
    }
}

fn warning(name: &str, days: &[Day]) -> Markup {
    let (surprising, open) = days
        .last()
        .map_or((0, 0), |today| (today.surprising, today.would_have.saturating_sub(today.judged).max(0)));
    let any = days.iter().any(|day| day.would_have > 0);
    let link = format!("/would-have{}", kit::query(&[("tool", name), ("judged", "not_yet")]));
    html! {
        @if !any {
            p class="note" { b { "Nothing seen yet." } " This tool has no would-have rows in these days." }
        } @else if surprising > 0 || open > 0 {
            p class="note" {
                b { "Not quiet yet. " }
                (kit::plural(surprising.unsigned_abs(), "surprise", "surprises")) " today, and " (open)
                " of today’s actions are not judged. " a href=(link) { "Judge them first" }
            }
        } @else { p class="ok" { "Quiet today: everything is judged, nothing was a surprise." } }
    }
}

fn knows(view: &ToolWrites) -> String {
    match (view.name.as_str(), view.stages_allowed) {
        ("set_stage", Some(n)) => format!(
            "it moves deals to the {} I allow. I can set a stage back; workflows that HubSpot starts on a \
                stage \
             change I cannot.",
            kit::plural(u64::try_from(n).unwrap_or(u64::MAX), "stage", "stages")
        ),
        ("append_note", _) => "it adds notes to deals. I can remove a note.".to_owned(),
        ("schedule_follow_up", _) => {
            "it creates tasks for the deal’s owner. I can delete a task; the owner was told.".to_owned()
        }
        (_, _) => "it writes to HubSpot.".to_owned(),
    }
}

fn form(frame: &Frame, view: &ToolWrites, action: &str) -> Markup {
    html! {
        form method="post" action=(action) {
            (kit::token(frame))
            label class="tick" {
                input type="checkbox" name="know" value="1" checked[view.typed.ticked] required;
                b { "I know what it changes: " } (knows(view))
            }
            label for="why" { "Why is it ready? (10 characters or more)" }
            textarea id="why" name="why" required minlength="10" maxlength="300" {
                (kit::lines(&view.typed.why, 400)) }
            @if let Some(other) = &view.recent {
                p class="note" {
                    b { (kit::line(&tools::title(other))) } " was turned on less than 24 hours ago. "
                    "Wait, or say why both at once."
                }
                label for="over" { "Why not wait 24 hours? (10 characters or more)" }
                textarea id="over" name="over" required minlength="10" maxlength="150" {
                    (kit::lines(&view.typed.overrides, 400))
                }
            }
            label for="pin" { "Your PIN" }
            input id="pin" name="pin" type="password" inputmode="numeric" autocomplete="current-password"
                required
                maxlength="12";
            div class="acts" {
                button class="do" { "Turn on writes for " (kit::line(&view.name)) }
                a class="bt" href="/tools" { "Keep in dry-run" }
            }
        }
    }
}
