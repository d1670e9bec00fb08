//! The halt page. Must never show a tappable thing where HALT was, nor a state without its time.
use crate::{
    Deps, fails, look,
    route::{Visit, Visitor},
    unanswered::{self, Unanswered},
    words::HaltWord,
};
use interlock::RecentCustomer;
use maud::{Markup, html};
use sight::{Sight, moment};
use web::{
    Page, Piece, Response,
    panel::{self, By, HaltedCustomer, Panel, Seen, State},
    phrase,
};

/// The style of every page of this function.
const STYLES: &[&str] = &[panel::STYLE, look::STYLE];
/// How many customers can be halted by one tap.
const ROWS_MAX: usize = 5;
/// How many halted customers have a box of their own.
const BOXES_MAX: usize = 5;
/// How many writes are listed.
const WRITES_MAX: usize = 8;
/// How soon a browser without script looks again while writes are in flight, in seconds.
const REFRESH_SECONDS: u32 = 3;

/// Something to say above the page, besides the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The form named a customer that is none.
    NoSuchCustomer,
    /// Neither switch confirmed the press.
    NotConfirmed,
    /// The flags took the press, with too few acknowledgements; the control item did not.
    SentNotConfirmed,
}

/// The page, from one look at the switches.
pub(crate) async fn main(deps: &Deps, visit: &Visit<'_>, status: u16, notice: Option<Notice>) -> Response {
    let sight = match visit.sight().await {
        Ok(sight) => sight,
        Err(gone) => return gone,
    };
    let panel = Panel::of(&sight.seen, visit.lang);
    let unanswered = match panel.state == State::HaltedUnknown {
        true => unanswered::of(deps, &sight).await,
        false => Vec::new(),
    };
    render(deps, visit, &sight, &panel, &unanswered, (status, notice))
}

/// The page of a press that was not confirmed, without another look: the switches have had their time.
pub(crate) fn not_confirmed(deps: &Deps, visit: &Visit<'_>, notice: Notice) -> Response {
    let sight = Sight::blind(deps.now(), deps.zone());
    let panel = Panel::not_confirmed(&sight.seen, visit.lang);
    render(deps, visit, &sight, &panel, &[], (503, Some(notice)))
}

/// Any page of this function: name on top, then `body`.
pub(crate) fn framed(
    deps: &Deps,
    visit: &Visit<'_>,
    title: &str,
    script: &'static str,
    body: Markup,
) -> Page {
    let name = install_name(deps, visit);
    let whole = html! {
        main { p class="top" { (name) } (body) }
    };
    Page::new(visit.lang, format!("{title} · {name}"), STYLES, script, whole)
}

fn install_name(deps: &Deps, visit: &Visit<'_>) -> String {
    let (agent, company) = (visit.say(HaltWord::Agent), web::visible_line(deps.install.company.trim()));
    if company.is_empty() || company == agent { agent.to_owned() } else { format!("{agent} · {company}") }
}

/// The page of what was seen.
pub(crate) fn render(
    deps: &Deps,
    visit: &Visit<'_>,
    sight: &Sight,
    panel: &Panel,
    unanswered: &[Unanswered],
    (status, notice): (u16, Option<Notice>),
) -> Response {
    let paint = Paint { deps, visit, sight, unanswered, state: panel.state };
    let seen = &sight.seen;
    let spoken = format!("{}. {}", panel.word, web::plain_text(&panel.bold.0));
    let body = html! {
        p id="say" class="vh" role="status" {}
        div id="live" data-w=(panel.word) data-t=(seen.zone.clock(seen.now)) data-s=(spoken) {
            div id="pan" { (panel.render()) }
            div id="act" { (paint.action()) (paint.notice(notice)) }
            div id="facts" { (paint.customers()) (paint.facts()) }
        }
        div id="rest" data-k=(rest_kind(panel.state)) {
            @if panel.state.offers_halt() { (paint.one_customer()) }
            (paint.links_after_a_halt())
            (paint.foot())
        }
        (paint.templates())
    };
    let page = framed(deps, visit, panel.word, look::SCRIPT, body);
    let page = match panel.state {
        State::Halting | State::StoppingOneSwitch => page.refreshed_without_script(REFRESH_SECONDS),
        State::NotStarted
        | State::RunningWrites
        | State::RunningDry
        | State::RunningExcept
        | State::Halted
        | State::HaltedByCap
        | State::HaltedUnknown
        | State::Stopped
        | State::Unknown
        | State::Emptied
        | State::StoppingByHand
        | State::Sending
        | State::NotConfirmed
        | State::NoContact => page,
    };
    Response::html(status, &page)
}

/// Below the live part the page is replaced only when this changes: a field in use or an open list stays.
fn rest_kind(state: State) -> &'static str {
    match (state.offers_halt(), state.offers_resume()) {
        (true, _) => "halt",
        (false, true) => "resume",
        (false, false) if state == State::Halting => "note",
        (false, false) => "wait",
    }
}

/// Paints the parts of one page.
struct Paint<'a> {
    deps: &'a Deps,
    visit: &'a Visit<'a>,
    sight: &'a Sight,
    unanswered: &'a [Unanswered],
    state: State,
}

impl Paint<'_> {
    fn say(&self, word: HaltWord) -> &'static str {
        self.visit.say(word)
    }

    fn fill(&self, word: HaltWord, pieces: &[(&str, Piece<'_>)]) -> Markup {
        phrase(self.say(word), pieces)
    }

    fn seen(&self) -> &Seen {
        &self.sight.seen
    }

    fn stamp(&self, at_ms: i64) -> Markup {
        self.seen().zone.stamp(moment(at_ms), self.seen().now, self.visit.lang)
    }

    fn notice(&self, notice: Option<Notice>) -> Markup {
        let query = self.visit.request.query();
        let said = match query.get("n") {
            Some("noted") => Some(HaltWord::Noted),
            Some("left") => Some(HaltWord::WaitingLeft),
            Some("starting") => Some(HaltWord::WaitingStarting),
            Some(_) | None => query.get("welcome").map(|_| HaltWord::Welcome),
        };
        html! {
            @match notice {
                Some(Notice::NoSuchCustomer) => {
                    p class="bad" role="alert" { (self.say(HaltWord::NoSuchCustomer)) }
                }
                Some(Notice::NotConfirmed) => { (self.ways(HaltWord::NotConfirmedNotice)) }
                Some(Notice::SentNotConfirmed) => { (self.ways(HaltWord::SentNotConfirmed)) }
                None => {
                    @if let Some(word) = said { p class="box" role="status" { (self.say(word)) } }
                }
            }
        }
    }

    fn ways(&self, word: HaltWord) -> Markup {
        html! {
            div class="bad" role="alert" {
                p { (self.say(word)) }
                ul { @for way in fails::ways(&self.deps.install, self.visit.lang, true) { li { (way) } } }
            }
        }
    }

    /// HALT, or in its place what is known: a box that nothing in can be tapped.
    fn action(&self) -> Markup {
        let check = |word: HaltWord| {
            html! { form method="get" action=(self.visit.url("")) { button class="go" { (self.say(word)) } } }
        };
        html! {
            @if self.state.offers_halt() {
                (self.halt_form())
                @if self.state == State::Stopped {
                    div class="box" {
                        p { b { (self.say(HaltWord::DoThisBold)) } " " (self.say(HaltWord::DoThis)) }
                    }
                }
                @if matches!(self.state, State::Stopped | State::Unknown) { (check(HaltWord::CheckAgain)) }
            } @else {
                div class="box still" { (self.known()) }
                @if matches!(self.state, State::Halting | State::StoppingOneSwitch) {
                    (check(HaltWord::CheckNow))
                }
                (self.deals_to_open())
            }
        }
    }

    fn halt_form(&self) -> Markup {
        html! {
            form class="halt" method="post" action=(self.visit.url("/halt")) data-h {
                input type="hidden" name="scope" value="global";
                button {
                    b { (self.say(HaltWord::HaltButton)) } " "
                    (panel::Word::StopsEveryone.text(self.visit.lang))
                }
            }
        }
    }

    /// The box of a state in which the halt is latched.
    fn known(&self) -> Markup {
        match self.state {
            State::NotStarted => html! { p { (self.say(HaltWord::NotStartedBox)) } },
            State::Halting => self.in_flight(),
            State::HaltedByCap => self.by_cap(),
            State::HaltedUnknown => html! {
                p { b { (self.say(HaltWord::LookBold)) } }
                (self.unanswered_writes())
                p { (self.say(HaltWord::LookText)) }
            },
            State::Emptied => html! { p { (self.say(HaltWord::EmptiedBox)) } },
            State::StoppingOneSwitch => html! { p { (self.say(HaltWord::OneSwitchBox)) } },
            State::Halted
            | State::RunningWrites
            | State::RunningDry
            | State::RunningExcept
            | State::Stopped
            | State::Unknown
            | State::StoppingByHand
            | State::Sending
            | State::NotConfirmed
            | State::NoContact => html! {
                p { b { (self.say(HaltWord::PutDownBold)) } }
                p { (self.say(HaltWord::PutDown)) }
            },
        }
    }

    fn in_flight(&self) -> Markup {
        let seen = self.seen();
        let now_ms = seen.now.as_millisecond();
        let left_ms = |until: types::Timestamp| until.as_millisecond().saturating_sub(now_ms);
        let longest_ms = seen.in_flight.iter().map(|write| left_ms(write.until)).max().unwrap_or_default();
        // The second that the deadline lies in is waited for whole.
        let seconds = longest_ms.saturating_add(999).div_euclid(1_000).max(1);
        let seconds = usize::try_from(seconds).unwrap_or_default();
        html! {
            p { b { (self.say(HaltWord::JustWaitBold)) } " " (self.say(HaltWord::AlreadySent)) }
            (self.writes(&seen.in_flight))
            p {
                @if seconds == 1 { (self.say(HaltWord::FinishedOne)) }
                @else { (self.fill(HaltWord::FinishedIn, &[("n", Piece::Number(seconds))])) }
            }
        }
    }

    fn writes(&self, writes: &[panel::Write]) -> Markup {
        html! {
            ul {
                @for write in writes.iter().take(WRITES_MAX) {
                    li { (web::visible_line(&write.for_a_list(self.visit.lang))) }
                }
                @if writes.len() > WRITES_MAX { li { "+ " (writes.len().saturating_sub(WRITES_MAX)) } }
            }
        }
    }

    /// Each unanswered write, with what the CRM shows of it.
    fn unanswered_writes(&self) -> Markup {
        let writes = &self.seen().unknown;
        let shows = |nth: usize, write: &panel::Write| match self.unanswered.get(nth) {
            Some(Unanswered { stages: Some((before, after)), .. }) => {
                let stages = [("before", Piece::Text(before)), ("after", Piece::Text(after))];
                self.fill(HaltWord::ShowsStage, &stages)
            }
            Some(_) | None if write.tool == "set_stage" => html! {},
            Some(_) | None => html! { (self.say(HaltWord::ShowsOther)) },
        };
        html! {
            ul {
                @for (nth, write) in writes.iter().enumerate().take(WRITES_MAX) {
                    li {
                        (web::visible_line(&write.for_a_list(self.visit.lang))) ". " (shows(nth, write))
                    }
                }
                @if writes.len() > WRITES_MAX { li { "+ " (writes.len().saturating_sub(WRITES_MAX)) } }
            }
        }
    }

    /// A link to each deal that a person has to look at.
    fn deals_to_open(&self) -> Markup {
        let mut seen = std::collections::BTreeSet::new();
        let once = self.unanswered.iter().filter(|known| seen.insert(known.deal.as_str()));
        let links: Vec<(&str, &str)> =
            once.filter_map(|known| Some((known.deal.as_str(), known.url.as_deref()?))).collect();
        html! {
            @for (deal, url) in links {
                a class="bt" href=(url) rel="noreferrer" {
                    (self.fill(HaltWord::OpenDeal, &[("deal", Piece::Text(deal))]))
                }
            }
        }
    }

    fn by_cap(&self) -> Markup {
        let lang = self.visit.lang;
        let city = self.seen().zone.city();
        html! {
            @if let Some(Some(day)) = &self.sight.day {
                p { b { (self.fill(HaltWord::SpentBold, &[
                    ("spent", Piece::Text(&lang.usd(day.spent))), ("cap", Piece::Text(&lang.usd(day.cap))),
                ])) } }
            }
            p { (self.say(HaltWord::NextCall)) }
            p { (self.fill(HaltWord::NewDay, &[("city", Piece::Text(&city))])) }
        }
    }

    fn customers(&self) -> Markup {
        let halted = &self.seen().customers;
        let more = halted.len().saturating_sub(BOXES_MAX);
        html! {
            @for customer in halted.iter().take(BOXES_MAX) { (self.customer(customer)) }
            @if more > 0 {
                p { (self.fill(HaltWord::MoreCustomers, &[("n", Piece::Number(more))])) }
            }
        }
    }

    fn customer(&self, customer: &HaltedCustomer) -> Markup {
        let (live, unknown) = self.sight.writes_of(&customer.id);
        let time =
            || ("time", Piece::Html(self.seen().zone.stamp(customer.at, self.seen().now, self.visit.lang)));
        let page =
            |kind: &str| self.visit.url(&format!("/{kind}/{}", web::encode_component(customer.id.as_str())));
        let (resume, note) = (page("resume"), page("note"));
        html! {
            div class="box cust" {
                p { b { "■ " (self.fill(HaltWord::CustomerHalted, &[
                    ("name", Piece::Text(customer.shown())), ("id", Piece::Text(customer.id.as_str())),
                ])) } }
                p {
                    @if live > 0 { (self.fill(HaltWord::CustomerWriting, &[("n", Piece::Number(live))])) " " }
                    @if unknown > 0 {
                        (self.fill(HaltWord::CustomerUnknown, &[("n", Piece::Number(unknown))])) " "
                    }
                    @if live == 0 && unknown == 0 { (self.say(HaltWord::CustomerQuiet)) " " }
                    @match &customer.by {
                        By::You => { (self.fill(HaltWord::ByYou, &[time()])) }
                        By::Name(who) => {
                            (self.fill(HaltWord::ByName, &[("who", Piece::Text(who)), time()]))
                        }
                        By::Cap(_) => { (self.fill(HaltWord::ByCap, &[time()])) }
                        By::Flag => { (self.fill(HaltWord::ByFlag, &[time()])) }
                    }
                }
                @if !self.visit.visitor.is_slack() {
                    p { a href=(resume) { (self.say(HaltWord::ResumeCustomer)) } }
                    a href=(note) { (self.say(HaltWord::NoteLink)) }
                }
            }
        }
    }

    /// Last act and spend, each only when it could be read.
    fn facts(&self) -> Markup {
        let lang = self.visit.lang;
        html! {
            @if let Some(act) = &self.sight.recent.last_act {
                p class="q" { (self.say(if act.wrote { HaltWord::LastDid } else { HaltWord::LastWould })) }
                p {
                    (self.stamp(act.at_ms)) " " (web::visible_line(&act.what))
                    ", deal " (web::visible_line(&act.deal_id))
                    @if !act.customer_name.is_empty() { ", " (web::visible_line(&act.customer_name)) }
                }
            }
            @if let Some(Some(day)) = &self.sight.day {
                p class="q" { (self.say(HaltWord::SpentToday)) }
                p { (self.fill(HaltWord::SpentLine, &[
                    ("spent", Piece::Text(&lang.usd(day.spent))), ("cap", Piece::Text(&lang.usd(day.cap))),
                ])) }
            }
        }
    }

    fn one_customer(&self) -> Markup {
        let halted =
            |known: &&RecentCustomer| !self.seen().customers.iter().any(|c| c.id == known.customer_id);
        let rows: Vec<_> = self.sight.recent.customers.iter().filter(halted).take(ROWS_MAX).collect();
        let action = self.visit.url("/halt");
        html! {
            details {
                summary { (self.say(HaltWord::OneCustomer)) }
                @if !rows.is_empty() {
                    form class="one" method="post" action=(action) data-h {
                        input type="hidden" name="scope" value="customer";
                        @for row in rows { (self.row(row)) }
                    }
                }
                form class="one find" method="post" action=(action) data-h {
                    input type="hidden" name="scope" value="customer";
                    label for="c" { (self.say(HaltWord::FindLabel)) }
                    input id="c" name="customer" required autocomplete="off" maxlength="80";
                    button { (self.say(HaltWord::FindButton)) }
                }
            }
        }
    }

    fn row(&self, known: &RecentCustomer) -> Markup {
        let name =
            if known.name.trim().is_empty() { known.customer_id.as_str() } else { known.name.as_str() };
        let name = web::visible_line(name);
        let label = format!("{} {name}", self.say(HaltWord::HaltThis));
        html! {
            div class="row" {
                p {
                    (name) br;
                    small {
                        (self.fill(HaltWord::Number, &[("id", Piece::Text(known.customer_id.as_str()))]))
                        " · "
                        (self.stamp(known.last_act.at_ms)) " " (web::visible_line(&known.last_act.what))
                    }
                }
                button name="customer" value=(known.customer_id.as_str()) aria-label=(label) {
                    (self.say(HaltWord::HaltThis))
                }
            }
        }
    }

    /// Well below the place where HALT was, and links, not buttons.
    fn links_after_a_halt(&self) -> Markup {
        let word = match self.state {
            State::NotStarted => HaltWord::StartLink,
            State::RunningWrites
            | State::RunningDry
            | State::RunningExcept
            | State::Halting
            | State::Halted
            | State::HaltedByCap
            | State::HaltedUnknown
            | State::Stopped
            | State::Unknown
            | State::Emptied
            | State::StoppingByHand
            | State::StoppingOneSwitch
            | State::Sending
            | State::NotConfirmed
            | State::NoContact => HaltWord::ResumeLink,
        };
        let may_note = matches!(self.seen().control, panel::Control::Halted { .. });
        html! {
            @if !self.visit.visitor.is_slack() {
                div class="low" {
                    @if may_note {
                        p { a href=(self.visit.url("/note")) { (self.say(HaltWord::NoteLink)) } }
                    }
                    @if self.state.offers_resume() {
                        p { a href=(self.visit.url("/resume")) { (self.say(word)) } }
                    }
                }
            }
        }
    }

    fn foot(&self) -> Markup {
        let visitor: &Visitor = &self.visit.visitor;
        let other = self.visit.lang.other();
        html! {
            div class="foot" {
                p {
                    @if visitor.is_slack() { (self.say(HaltWord::SlackKey)) }
                    @else if let Some(name) = visitor.name(self.sight.people.as_ref()) {
                        (self.fill(HaltWord::OwnKey, &[("name", Piece::Text(name))]))
                    } @else { (self.say(HaltWord::PlainKey)) }
                }
                a href=(self.visit.url_in(other)) lang=(other.code()) hreflang=(other.code()) {
                    (other.own_name())
                }
                a href=(self.visit.url("/fails")) { (self.say(HaltWord::IfFails)) }
            }
        }
    }

    /// What the script shows while it has no answer.
    fn templates(&self) -> Markup {
        let panel = |state: State| Panel::for_script(state, self.seen(), self.visit.lang).render();
        let install = &self.deps.install;
        html! {
            template id="x11" { (panel(State::Sending)) }
            template id="x12" {
                (panel(State::NotConfirmed))
                @if let (Some(name), Some(phone)) = (&install.deputy_name, &install.deputy_phone) {
                    p class="q" { (self.fill(HaltWord::NoSignalLong, &[
                        ("name", Piece::Text(name)), ("phone", Piece::Html(fails::phone_link(phone))),
                    ])) }
                }
            }
            template id="x13" { (panel(State::NoContact)) }
            // A page that was halted and lost contact may be running again: HALT comes back. It lies in every
            // page: one that was opened while the agent ran is not opened anew when it is halted.
            template id="xh" { (self.halt_form()) }
        }
    }
}
