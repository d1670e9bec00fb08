//! Drafts: what waits for a human to send. Must never hold a Send button: there is no way to send from here.
use super::{kit, layout};
use crate::days;
use crate::frame::{Frame, Menu};
use crate::view::RowView;
use maud::{Markup, html};
use types::Timestamp;
use web::Response;

/// How much of a mail fits on a page: more than the tool lets the agent write.
const BODY_MAX: usize = 12_000;

/// A draft, taken out of its row.
pub(crate) struct Draft<'a> {
    pub(crate) row: &'a RowView,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) subject: String,
    pub(crate) body: String,
}

impl<'a> Draft<'a> {
    /// The draft of a row; empty texts where the row has none.
    pub(crate) fn of(row: &'a RowView) -> Self {
        let text = |pointer: &str| {
            let after = row.row.after.as_ref();
            after.and_then(|after| after.pointer(pointer)?.as_str()).unwrap_or_default().to_owned()
        };
        Self {
            row,
            name: text("/to/name"),
            email: text("/to/email"),
            subject: text("/subject"),
            body: text("/body"),
        }
    }

    fn who(&self) -> &str {
        if self.name.is_empty() { &self.email } else { &self.name }
    }
}

/// The open draft's deal as HubSpot has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DealNow {
    /// No token is set up, or the draft names no deal.
    NotAsked,
    /// HubSpot does not answer.
    Away,
    /// HubSpot has no such deal any more.
    Gone,
    /// Read just now.
    Read {
        /// Is the recipient a contact of it?
        on_deal: bool,
        /// Its stage was changed after the draft was written: when, and to what.
        stage: Option<(Timestamp, String)>,
        /// Anything of it was changed after the draft was written: when.
        changed: Option<Timestamp>,
    },
}

/// What the page shows.
pub(crate) struct Drafts {
    /// `None`: the log is away.
    pub(crate) rows: Option<Vec<RowView>>,
    /// The one that is open.
    pub(crate) open: Option<i64>,
    /// The open one's deal at HubSpot.
    pub(crate) deal_url: Option<String>,
    pub(crate) deal: DealNow,
    pub(crate) error: Option<String>,
    pub(crate) why: String,
}

/// The page.
pub(crate) fn page(frame: &Frame, view: &Drafts, status: u16) -> Response {
    let main = html! {
        h1 { "Drafts" }
        p class="sub" { "The agent never sends. Read, change what you like, send it yourself from HubSpot." }
        @match &view.rows {
            Some(rows) if rows.is_empty() => p { "No draft waits." },
            Some(rows) => div class="two" {
                div { (list(frame, rows, view.open)) }
                @if let Some(row) = rows.iter().find(|row| Some(row.seq) == view.open) {
                    (detail(frame, &Draft::of(row), view))
                }
            },
            None => {},
        }
    };
    layout::with_status(frame, Menu::Drafts, "Drafts", main, status)
}

fn list(frame: &Frame, rows: &[RowView], open: Option<i64>) -> Markup {
    html! {
        table {
            thead { tr { th { "For" } th { "Subject" } th class="num" { "Waits" } } }
            tbody { @for row in rows.iter().take(40) {
                @let draft = Draft::of(row);
                tr {
                    td { @if Some(row.seq) == open { b { (kit::short(draft.who(), 60)) } } @else {
                        (kit::short(draft.who(), 60)) }
                        @if let Some(customer) = &row.customer { br; (kit::short(customer, 60)) } }
                    td { a href={ "/drafts/" (row.seq) } { (kit::short(&draft.subject, 100)) } }
                    td class="num" { (days::waited(row.at, frame.now)) }
                }
            } }
        }
        @if rows.len() > 40 { p { "Showing 40 of " (rows.len()) "." } }
    }
}

fn detail(frame: &Frame, draft: &Draft<'_>, view: &Drafts) -> Markup {
    let row = draft.row;
    html! {
        section class="box" aria-label="The draft" {
            @if let Some(error) = &view.error { p class="note" role="alert" { b { (kit::short(error, 300)) } }
                }
            p { b { "To " } (kit::short(&draft.name, 80)) " " (kit::short(&draft.email, 254)) " "
                (contact(row, &view.deal))
            }
            (stale(frame, &view.deal))
            p { b { "Subject " } (kit::short(&draft.subject, 250)) }
            div class="txt" tabindex="0" { (kit::lines(&draft.body, BODY_MAX)) }
            @for warning in &row.warnings { p class="note" { "⚠ " (kit::short(warning, 200)) } }
            p class="sub" {
                @if let Some(because) = &row.because { "Because: " (kit::quoted(because, 300)) " " }
                "Written at " (frame.stamp(row.at))
                @if let Some(run) = &row.run_id { " in " (kit::run_link(run)) }
                "."
            }
            div class="acts" {
                @if let Some(url) = &view.deal_url { a class="bt do" href=(url) rel="noreferrer" {
                    "Open in HubSpot to send" } }
                a class="bt" href={ "/drafts/" (row.seq) ".txt" } { "Copy text" }
                (kit::form(frame, &format!("/drafts/{}/sent", row.seq), html! { button { "I sent it" } }))
            }
            @if frame.viewer.may_change {
                details open[view.error.is_some()] { summary { "Throw away…" }
                    (kit::form(frame, &format!("/drafts/{}/discard", row.seq), html! {
                        label for="why" { "Why? (10 characters or more)" }
                        input id="why" name="why" required minlength="10" maxlength="300"
                            value=(kit::short(&view.why, 300));
                        div class="acts" { button { "Throw away" } }
                    }))
                }
            }
        }
    }
}

/// Is the recipient on the deal? The tool refuses one who is not; she may have been taken off since.
fn contact(row: &RowView, deal: &DealNow) -> Markup {
    let since = row.warnings.iter().any(|warning| warning.contains("recipient"));
    html! {
        @match deal {
            DealNow::Read { on_deal: false, .. } | DealNow::Gone => span class="b w" {
                "⚠ contact on the deal: not any more" },
            DealNow::Read { .. } | DealNow::Away | DealNow::NotAsked if since => span class="b w" {
                "contact on the deal: only since this run began" },
            DealNow::Read { .. } => span class="b" { "contact on " (kit::short(&row.target, 40)) ": yes" },
            DealNow::Away | DealNow::NotAsked => span class="b" { "contact on " (kit::short(&row.target, 40))
                ": yes, when it was written" },
        }
    }
}

/// What is not as it was when the draft was written.
fn stale(frame: &Frame, deal: &DealNow) -> Markup {
    html! {
        @match deal {
            DealNow::NotAsked => {}
            DealNow::Away => p class="note" { b { "HubSpot does not answer." }
                " Whether the deal has changed since is not known: look at it before you send." },
            DealNow::Gone => p class="note" { b { "This deal is not in HubSpot any more." } },
            DealNow::Read { stage: Some((at, stage)), .. } => p class="note" {
                b { "The deal has changed since." } " Its stage became " (kit::quoted(stage, 60)) " at "
                (frame.stamp(*at)) ". Read the deal before you send." },
            DealNow::Read { changed: Some(at), .. } => p class="note" {
                b { "The deal has changed since," } " last at " (frame.stamp(*at))
                ". Read it before you send." },
            DealNow::Read { .. } => p class="small" { "The deal is as it was when this was written." },
        }
    }
}
