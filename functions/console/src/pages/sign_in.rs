//! The pages for people who are not signed in. Must never show anything of the agent's state.
use super::{kit, style};
use crate::Install;
use maud::{Markup, html};
use web::{Lang, Page, Response};

/// Asks for the PIN.
pub(crate) fn page(install: &Install, token: &str, error: Option<&str>, status: u16) -> Response {
    let main = html! {
        h1 { "Sign in to the console" }
        p class="sub" { (kit::line(&install.company)) }
        @if let Some(error) = error { p class="note" role="alert" { (error) } }
        form method="post" action={ "/s/" (web::encode_component(token)) } {
            label for="pin" { "Your PIN (6 digits)" }
            input id="pin" name="pin" type="password" inputmode="numeric" autocomplete="current-password"
                required
                maxlength="12";
            div class="acts" { button class="do" { "Sign in" } }
        }
        (halt_link(install))
    };
    bare("Sign in", main, status)
}

/// No session, or one that ended.
pub(crate) fn signed_out(install: &Install) -> Response {
    let main = html! {
        h1 { "You are not signed in" }
        p { "Open your personal link and enter your PIN. Then open this address again." }
        (halt_link(install))
    };
    bare("Not signed in", main, 401)
}

fn halt_link(install: &Install) -> Markup {
    html! {
        p class="sub" {
            "To halt the agent you need no PIN: use your halt page"
            @if let Some(url) = &install.halt_url { " (" (kit::line(url)) ")" }
            ", or " code { "holdfast halt" } " in a terminal."
        }
    }
}

fn bare(title: &str, main: Markup, status: u16) -> Response {
    let body = html! { main class="col" { (main) } };
    Response::html(status, &Page::new(Lang::En, title, &[style::STYLE], "", body))
}
