//! Small pieces that several pages use. Must never build a link or a field from text that was not encoded.
use crate::frame::Frame;
use crate::view::{RowView, What};
use maud::{Markup, html};
use types::{EntryState, Mode};
use web::{encode_component, visible, visible_line};

/// A text from outside on one line: hidden characters made visible; maud escapes it.
pub(crate) fn line(text: &str) -> String {
    visible_line(text)
}

/// The same, at most `max` characters, and no more bytes on the page than a quarter above that.
pub(crate) fn short(text: &str, max: usize) -> String {
    clip(&visible_line(text), max)
}

/// A text from outside with its line breaks, cut as [`short`] cuts.
pub(crate) fn lines(text: &str, max: usize) -> String {
    clip(&visible(text), max)
}

/// Counted as the page will hold it: a quote takes six bytes there.
fn clip(shown: &str, max: usize) -> String {
    let mut left = max.saturating_add(max / 4);
    for (n, (at, c)) in shown.char_indices().enumerate() {
        let bytes = match c {
            '"' => 6,
            '&' => 5,
            '<' | '>' => 4,
            other => other.len_utf8(),
        };
        if n >= max || bytes > left {
            return format!("{}…", shown.get(..at).unwrap_or_default());
        }
        left = left.saturating_sub(bytes);
    }
    shown.to_owned()
}

/// The form token.
pub(crate) fn token(frame: &Frame) -> Markup {
    html! { input type="hidden" name="t" value=(frame.token); }
}

/// A form that changes something. Nothing is shown to those who may not change it.
pub(crate) fn form(frame: &Frame, action: &str, inside: Markup) -> Markup {
    html! {
        @if frame.viewer.may_change {
            form method="post" action=(action) { (token(frame)) (inside) }
        }
    }
}

/// A quoted text of the agent or of a person.
pub(crate) fn quoted(text: &str, max: usize) -> Markup {
    html! { "“" (short(text, max)) "”" }
}

/// What was, or would be, done: the old struck, the new bold.
pub(crate) fn what(what: &What) -> Markup {
    html! {
        b { (short(&what.words, 120)) }
        @match (&what.before, &what.after) {
            (Some(before), Some(after)) => {
                " " s { (short(before, 60)) } " → " b { (short(after, 60)) }
            }
            (None, Some(after)) => { " → " b { (short(after, 60)) } }
            (_, None) => {}
        }
    }
}

/// Before and after alone.
pub(crate) fn change(what_was: &What) -> Markup {
    html! {
        @if what_was.after.is_some() || what_was.before.is_some() {
            s { (short(what_was.before.as_deref().unwrap_or("–"), 60)) } " → "
            b { (short(what_was.after.as_deref().unwrap_or("–"), 60)) }
        } @else { (short(&what_was.words, 120)) }
    }
}

/// The result of a row: hollow for would-have, solid for done.
pub(crate) fn result(row: &RowView) -> Markup {
    let class = match row.state {
        EntryState::Applied if row.verb == "run" => "b",
        EntryState::Applied => "b on",
        EntryState::Unknown | EntryState::Failed => "b w",
        EntryState::Opened
        | EntryState::WouldHave
        | EntryState::Drafted
        | EntryState::Refused
        | EntryState::Halted => "b",
    };
    html! { span class=(class) { (row.result()) } }
}

/// A mode: hollow for dry-run, solid for writes.
pub(crate) fn mode(mode: Mode) -> Markup {
    match mode {
        Mode::DryRun => html! { span class="b" { "▷ Dry-run" } },
        Mode::Live => html! { span class="b on" { "▶ Writes" } },
    }
}

/// A link to a run.
pub(crate) fn run_link(run_id: &str) -> Markup {
    html! { a class="mono" href={ "/runs/" (encode_component(run_id)) } { (short(run_id, 10)) } }
}

/// A query from pairs; empty values are left out.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    let kept = pairs.iter().filter(|(_, value)| !value.is_empty());
    let parts: Vec<String> =
        kept.map(|(name, value)| format!("{name}={}", encode_component(value))).collect();
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}

/// `1 draft`, `3 drafts`.
pub(crate) fn plural(n: u64, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

/// One option of a select.
pub(crate) fn option(value: &str, text: &str, chosen: &str) -> Markup {
    html! { option value=(value) selected[value == chosen] { (short(text, 60)) } }
}
