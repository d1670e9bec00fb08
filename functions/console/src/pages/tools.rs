//! The tools: what can it do, and which really write. Must never offer a switch that does not exist (mails).
use super::{chart, kit, layout};
use crate::ToolInfo;
use crate::frame::{Frame, Menu};
use crate::view::RowView;
use interlock::{SURPRISE_WINDOW, SurpriseLimit};
use maud::{Markup, html};
use types::{Mode, Tier, Timestamp};
use web::Response;

/// One tool.
pub(crate) struct ToolRow {
    pub(crate) info: ToolInfo,
    /// `None`: the control item is silent.
    pub(crate) mode: Option<Mode>,
    /// Since when, and by whom.
    pub(crate) since: Option<(Timestamp, String)>,
    /// Would have and did in the last five days; `None`: the log is away.
    pub(crate) five_days: Option<(i64, i64)>,
    /// Surprising ones of the last 50 judged.
    pub(crate) surprising: Option<u64>,
}

/// What the page shows.
pub(crate) struct Tools {
    pub(crate) rows: Vec<ToolRow>,
    /// The last flips; `None`: the log is away.
    pub(crate) changes: Option<Vec<RowView>>,
    /// Their days; `None`: the log is away.
    pub(crate) tools: Option<Vec<chart::ToolDays>>,
    /// Thirty days instead of five.
    pub(crate) long: bool,
    /// `None`: the store is silent.
    pub(crate) limit: Option<SurpriseLimit>,
    pub(crate) typed: LimitTyped,
}

/// What was typed into the form of the limit, and what was wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LimitTyped {
    pub(crate) most: String,
    pub(crate) why: String,
    pub(crate) error: Option<String>,
}

/// What a tool does, in words.
pub(crate) fn title(name: &str) -> String {
    match name {
        "get_deal" => "Read a deal",
        "append_note" => "Add a note",
        "set_stage" => "Move a deal to a stage",
        "schedule_follow_up" => "Plan a follow-up",
        "draft_email" => "Draft an email",
        "ask_human" => "Ask a person",
        other => other,
    }
    .to_owned()
}

fn undone(info: &ToolInfo) -> &'static str {
    match (info.name.as_str(), info.tier) {
        ("append_note", _) => "Yes: a person can remove the note",
        ("set_stage", _) => "Partly: the stage can be set back, workflows it started cannot",
        ("schedule_follow_up", _) => "Yes: a person can delete the task; the owner was told",
        (_, Tier::Read) => "Changes nothing",
        (_, Tier::Ask) => "Posts a question in Slack",
        (_, Tier::Reversible) => "Yes",
        (_, Tier::SemiReversible) => "Partly",
        (_, Tier::Irreversible) => "No: so the agent only drafts, a person sends",
    }
}

/// The page.
pub(crate) fn page(frame: &Frame, view: &Tools, status: u16) -> Response {
    let main = html! {
        h1 { "Tools" }
        p class="sub" { "Everything the agent can do. There is nothing else: no delete, no merge, no sending."
            }
        table class="r" {
            thead { tr {
                th { "Tool" } th { "Can it be undone?" } th { "Mode" } th { "Since" }
                th class="num" { "Would have / did, 5 days" } th class="num" { "Surprising, last 50" } th {
                    "Change" }
            } }
            tbody { @for row in &view.rows { (one(frame, row)) } }
        }
        p class="sub" {
            "Back to dry-run works at once, in one click. Turning on writes is one tool at a time, with a \
                reason and \
            your PIN; tools that can only partly be undone at least 24 hours apart."
        }
        div class="two" { (days(view)) (limit(frame, view)) }
        h2 { "Changes" }
        @match &view.changes {
            Some(changes) if changes.is_empty() => p { "None yet. All tools started in dry-run." },
            Some(changes) => table class="r" { tbody { @for row in changes { (flip(frame, row)) } } },
            None => p { "The log cannot be read now." },
        }
    };
    layout::with_status(frame, Menu::Tools, "Tools", main, status)
}

fn days(view: &Tools) -> Markup {
    html! {
        section class="box" {
            h2 { "Per tool per day" }
            @match &view.tools {
                Some(tools) => {
                    (chart::tools(tools)) (chart::tools_table(tools))
                    p {
                        @if view.long { a class="bt" href="/tools" { "Five days" } } @else {
                            a class="bt" href="/tools?days=30" { "Thirty days" } }
                    }
                }
                None => p { "The log cannot be read now." },
            }
        }
    }
}

/// The limit that a tool which writes is held against at each judgement.
fn limit(frame: &Frame, view: &Tools) -> Markup {
    let typed = &view.typed;
    html! {
        section class="box" {
            h2 { "When surprises pile up" }
            @match view.limit {
                Some(limit) => {
                    p {
                        "A tool that writes goes back to dry-run by itself when more than " b { (limit.most) }
                        " of its last " (SURPRISE_WINDOW) " judged actions were surprising. It is counted \
                            when you judge one as surprising; only you turn writes on again."
                    }
                    (limit_form(frame, typed, limit))
                }
                None => p class="note" { "The limit cannot be read now, and cannot be changed." },
            }
        }
    }
}

fn limit_form(frame: &Frame, typed: &LimitTyped, limit: SurpriseLimit) -> Markup {
    let value = if typed.error.is_some() { typed.most.clone() } else { limit.most.to_string() };
    html! {
        @if frame.viewer.may_change {
            details open[typed.error.is_some()] { summary { "Change…" }
                (kit::form(frame, "/tools/surprises", html! {
                    @if let Some(error) = &typed.error { p class="note" role="alert" { b {
                        (kit::short(error, 300)) } } }
                    input type="hidden" name="version" value=(limit.version);
                    label for="most" { "Surprises to bear, of " (SURPRISE_WINDOW) }
                    input id="most" name="most" inputmode="numeric" required maxlength="3"
                        value=(kit::short(&value, 20));
                    p class="small" { "Fewer: that is all. For more:" }
                    label for="limit-why" { "Why bear more? (10 characters or more)" }
                    input id="limit-why" name="why" maxlength="300" value=(kit::short(&typed.why, 300));
                    label for="limit-pin" { "Your PIN, to bear more" }
                    input id="limit-pin" name="pin" type="password" inputmode="numeric"
                        autocomplete="current-password" maxlength="12";
                    div class="acts" { button { "Save the limit" } }
                }))
            }
        }
    }
}

fn one(frame: &Frame, row: &ToolRow) -> Markup {
    let info = &row.info;
    html! {
        tr {
            td { b { (kit::line(&title(&info.name))) } br; code class="nw" { (kit::line(&info.name)) } }
            td { (undone(info)) }
            td { (mode(row)) }
            td {
                @match (&row.since, info.acts()) {
                    (Some((at, who)), _) => { (frame.stamp(*at)) ", " (kit::short(who, 40)) }
                    (None, true) => "Install",
                    (None, false) => "Always",
                }
            }
            td class="num" data-l="5 days:" { (numbers(row)) }
            td class="num" data-l="Surprising:" {
                @match row.surprising { Some(n) if info.acts() => (n), _ => "–" }
            }
            td { (change(frame, row)) }
        }
    }
}

fn mode(row: &ToolRow) -> Markup {
    match row.info.tier {
        Tier::Read => html! { span class="b" { "Reads" } },
        Tier::Ask => html! { span class="b" { "Asks" } },
        Tier::Irreversible => html! { span class="b" { "Drafts only" } },
        Tier::Reversible | Tier::SemiReversible => match row.mode {
            Some(mode) => kit::mode(mode),
            None => html! { span class="b w" { "Unknown" } },
        },
    }
}

fn numbers(row: &ToolRow) -> Markup {
    html! {
        @match (row.five_days, row.info.tier) {
            (None, _) | (Some(_), Tier::Read) => "–",
            (Some((_, did)), Tier::Irreversible) => { (did) " drafts" }
            (Some((_, did)), Tier::Ask) => { (did) " asked" }
            (Some((would, did)), Tier::Reversible | Tier::SemiReversible) => { (would) " / " (did) }
        }
    }
}

fn change(frame: &Frame, row: &ToolRow) -> Markup {
    let name = web::encode_component(&row.info.name);
    match (row.info.tier, row.mode) {
        (Tier::Irreversible, _) => html! { "Cannot be changed" },
        (Tier::Read | Tier::Ask, _) | (_, None) => html! {},
        (Tier::Reversible | Tier::SemiReversible, Some(Mode::Live)) => {
            kit::form(frame, &format!("/tools/{name}/dry"), html! { button { "Back to dry-run" } })
        }
        (Tier::Reversible | Tier::SemiReversible, Some(Mode::DryRun)) => html! {
            @if frame.viewer.may_change { a class="bt" href={ "/tools/" (name) "/writes" } { "Turn on writes…"
                } }
        },
    }
}

fn flip(frame: &Frame, row: &RowView) -> Markup {
    let live = row.what.after.as_deref() == Some(Mode::Live.code());
    html! {
        tr {
            td class="nb" { (frame.stamp(row.at)) }
            td {
                (kit::short(&row.actor, 60)) @if live { " turned on writes for " } @else {
                    " put back in dry-run: " }
                b { (kit::short(row.target.strip_prefix("tool ").unwrap_or(&row.target), 60)) }
                @if let Some(because) = &row.because { ": " (kit::quoted(because, 300)) }
            }
        }
    }
}
