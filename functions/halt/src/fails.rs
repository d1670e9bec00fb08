//! "If this page fails": other ways to halt, to be kept as a picture. Must never show a state.
use crate::{Deps, Install, page, route::Visit, words::HaltWord};
use maud::{Markup, html};
use web::{Lang, Piece, Response, phrase};

/// Each way as one line of plain text. Contact data only for those who hold a working link.
pub(crate) fn ways(install: &Install, lang: Lang, trusted: bool) -> Vec<String> {
    let say = |word: HaltWord| word.text(lang).to_owned();
    let deputy = match (&install.deputy_name, &install.deputy_phone) {
        (Some(name), Some(phone)) if trusted => {
            say(HaltWord::WayDeputy).replace("{name}", name).replace("{phone}", phone)
        }
        (None | Some(_), None | Some(_)) => say(HaltWord::WayAsk),
    };
    let console = match &install.console_url {
        Some(url) if trusted => say(HaltWord::WayConsoleAt).replace("{url}", url),
        None | Some(_) => say(HaltWord::WayConsole),
    };
    let others = [HaltWord::WayTerminal, HaltWord::WayAws, HaltWord::WayHubSpot].map(say);
    [deputy, console].into_iter().chain(others).collect()
}

/// A number to tap.
pub(crate) fn phone_link(phone: &str) -> Markup {
    let digits: String = phone.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect();
    html! { a href={ "tel:" (digits) } { (web::visible_line(phone)) } }
}

/// The page. It looks at no switch, so that it opens when they are silent.
pub(crate) async fn show(deps: &Deps, visit: &Visit<'_>) -> Response {
    let people = tokio::time::timeout(std::time::Duration::from_millis(500), deps.interlock.people()).await;
    if let Ok(Ok(people)) = people
        && visit.visitor.is_revoked(&people)
    {
        return visit.gone();
    }
    let install = &deps.install;
    let rest = ways(install, visit.lang, true);
    let body = html! {
        h1 { (visit.say(HaltWord::FailsTitle)) }
        p { (visit.say(HaltWord::FailsIntro)) }
        ol {
            @match (&install.deputy_name, &install.deputy_phone) {
                (Some(name), Some(phone)) => { li { p { (phrase(visit.say(HaltWord::WayDeputy), &[
                    ("name", Piece::Text(name)), ("phone", Piece::Html(phone_link(phone))),
                ])) } } }
                _ => { @for way in rest.iter().take(1) { li { p { (way) } } } }
            }
            @for way in rest.iter().skip(1) { li { p { (web::visible_line(way)) } } }
        }
        p { a href=(visit.url("")) { (visit.say(HaltWord::Back)) } }
    };
    Response::html(200, &page::framed(deps, visit, visit.say(HaltWord::FailsTitle), "", body))
}
