//! The frame of every page: strip, HALT, menu. Must never put anything tappable where HALT was.
use super::{kit, style};
use crate::frame::{Frame, LogAway, Menu};
use maud::{Markup, html};
use web::{Lang, Page, Response, panel};

/// A page of the console.
pub(crate) fn page(frame: &Frame, menu: Menu, title: &str, main: Markup) -> Response {
    with_status(frame, menu, title, main, 200)
}

/// The same with another status.
pub(crate) fn with_status(frame: &Frame, menu: Menu, title: &str, main: Markup, status: u16) -> Response {
    let strip = frame.panel();
    let title = format!("{}: {} – {}", strip.word, kit::short(title, 80), kit::short(&frame.company, 80));
    let body = html! {
        header {
            @if strip.state.offers_halt() { (halt(frame)) }
            (strip.render_strip())
        }
        div class="grid" {
            (menu_of(frame, menu))
            main id="main" {
                @if let Some(notice) = frame.notice { p class="ok" role="status" { (notice.1) } }
                @if !frame.viewer.known { (unknown_viewer()) }
                @if let Some(away) = frame.log_away { (log_away(away)) }
                (main)
                (footer(frame))
            }
        }
    };
    let page = Page::new(Lang::En, title, &[style::STYLE, panel::STYLE, HALT_LAST], "", body);
    Response::html(status, &page)
}

/// HALT comes first in the page, so that it is the first Tab stop, and is shown last in the row.
const HALT_LAST: &str = "header .halt{order:2}@media(max-width:760px){header .halt{order:2}}";

fn halt(frame: &Frame) -> Markup {
    html! {
        form class="halt" method="post" action="/halt" {
            input type="hidden" name="k" value=(frame.halt_key);
            input type="hidden" name="back" value=(frame.path);
            button title="Stops the agent for every customer" { "HALT" }
        }
    }
}

fn menu_of(frame: &Frame, current: Menu) -> Markup {
    html! {
        nav aria-label="Pages" {
            @for (menu, path, name) in Menu::ALL {
                @let here = (menu == current).then_some("page");
                a href=(path) aria-current=[here] {
                    span { (name) }
                    @if let Some(n) = frame.counts.of(menu).filter(|n| *n > 0) {
                        span class="n" { @if n >= 1_000 { "1000+" } @else { (n) } }
                    }
                }
            }
        }
    }
}

fn unknown_viewer() -> Markup {
    html! {
        p class="note" {
            b { "Your role cannot be read now." }
                " You can look and press HALT; changes wait until it can be."
        }
    }
}

fn log_away(away: LogAway) -> Markup {
    html! {
        p class="note" {
            b { "The log cannot be read now." }
                " The agent keeps halting, limits and dry-run; audit rows wait in the \
            outbox"
            @match away.waiting {
                Some(n) if n >= 100 => " (100 or more).",
                Some(n) => { " (" (n) ")." }
                None => ".",
            }
        }
    }
}

fn footer(frame: &Frame) -> Markup {
    html! {
        footer {
            p {
                (kit::short(&frame.company, 80)) ". Signed in as " (kit::short(&frame.viewer.name, 60)) ", "
                @if frame.viewer.may_change { "ops." } @else { "reader: you can look and press HALT." }
                @if !frame.request_id.is_empty() { " Request " code { (kit::short(&frame.request_id, 60)) }
                    "." }
            }
            form method="post" action="/sign-out" { (kit::token(frame)) button class="l" { "Sign out" } }
        }
    }
}
