//! Away from safe: an own page, a reason and a PIN. Must never be reached by a link in a ping, nor retried
//! by a script.
use crate::{Deps, page, route::Visit, rows, words::HaltWord};
use interlock::{ModesAfter, Person, RearmAsk, Rearmed};
use ledger::{Entry, StartWaiting};
use maud::{Markup, html};
use serde_json::json;
use sight::{Sight, moment};
use types::{Actor, CustomerId, EntryState, Epoch, Generation, Mode, Reason, Scope, Target};
use web::{
    Fields, Piece, Pin, PinHash, PinTries, PinVerdict, Response, SentFrom,
    panel::{By, Control, HaltedCustomer, State, tools_word},
    phrase,
};

/// How short a reason may be, in characters.
const REASON_CHARACTERS_MIN: usize = 10;
/// How often a change of the people's item is tried against others'.
const PEOPLE_TRIES: usize = 5;

/// Why a resume was not done, as the page says it.
struct Refusal {
    status: u16,
    text: Markup,
    /// For the log.
    code: &'static str,
}

fn refusal(visit: &Visit<'_>, status: u16, word: HaltWord, code: &'static str) -> Refusal {
    Refusal { status, text: phrase(visit.say(word), &[]), code }
}

/// What the page showed: a resume passes only if it still is so.
struct Shown {
    epoch: Epoch,
    generation: Generation,
    seq: String,
}

/// The page, and its form. `of` is one customer's id; without it, everything.
pub(crate) async fn answer(deps: &Deps, visit: &Visit<'_>, of: Option<&str>, post: bool) -> Response {
    let scope = match of.map(CustomerId::new) {
        None => Scope::Global,
        Some(Ok(id)) => Scope::Customer(id),
        Some(Err(_)) => return visit.gone(),
    };
    let form = if post { visit.request.form().unwrap_or_default() } else { Fields::default() };
    let outcome = if post { resume(deps, visit, &scope, &form).await.map(Some) } else { Ok(None) };
    match outcome {
        Ok(Some(url)) => Response::see_other(&url),
        Ok(None) => show(deps, visit, &scope, None, &form).await,
        Err(refusal) => {
            log_refusal(deps, visit, &scope, refusal.code).await;
            show(deps, visit, &scope, Some(&refusal), &form).await
        }
    }
}

/// 403: a link in a ping can see and halt, and nothing else.
pub(crate) async fn refused_for_slack(deps: &Deps, visit: &Visit<'_>, post: bool) -> Response {
    if post {
        log_refusal(deps, visit, &Scope::Global, "link_of_a_ping").await;
    }
    Response::text(403, &format!("{}\n", visit.say(HaltWord::MayNotResume)))
}

async fn log_refusal(deps: &Deps, visit: &Visit<'_>, scope: &Scope, code: &'static str) {
    tracing::warn!(person = %visit.visitor.link.person, %scope, code, "a resume was refused");
    let target = match scope {
        Scope::Global => Target::new("agent", "global"),
        Scope::Customer(id) => Target::new("customer", id),
    };
    let id = format!("{}-{}-{}", visit.visitor.link.key_id, deps.now_ms(), visit.request.request_id());
    let actor = match visit.visitor.is_slack() {
        true => Actor::System("slack_link".to_owned()),
        false => Actor::Person(visit.visitor.link.person.clone()),
    };
    let what = ("resume", target, EntryState::Refused);
    let row = Entry {
        // The log takes no refusal without its reason.
        reason: Some(Reason::ResumeRefused),
        ..rows::of_person(&id, deps.now(), actor, what, json!({"why": code}))
    };
    if let Err(error) = deps.ledger.append_outbox(&[row]).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "a refused resume was not written to the outbox"
        );
    }
}

/// Every check in order, the PIN last: a try is only used up when everything else is right.
/// Returns where to go next.
async fn resume(deps: &Deps, visit: &Visit<'_>, scope: &Scope, form: &Fields) -> Result<String, Refusal> {
    let refuse = |status: u16, word: HaltWord, code: &'static str| Err(refusal(visit, status, word, code));
    // FAIL-CLOSED: a browser that does not say where the form came from may halt, and no more.
    if visit.request.sent_from(deps.install.halt_url.as_deref()) != SentFrom::OurPage {
        return refuse(403, HaltWord::FormForeign, "foreign_form");
    }
    let Ok(people) = deps.interlock.people().await else {
        return refuse(503, HaltWord::SwitchSilent, "people_unreadable");
    };
    if !visit.visitor.may_resume(Some(&people)) {
        return refuse(403, HaltWord::MayNotResume, "may_not_resume");
    }
    let why = form.get("why").unwrap_or_default().trim().to_owned();
    if why.chars().count() < REASON_CHARACTERS_MIN {
        return refuse(422, HaltWord::ReasonShort, "reason_too_short");
    }
    let Some(shown) = shown(form) else {
        return refuse(422, HaltWord::ReadingChanged, "form_incomplete");
    };
    if *scope == Scope::Global {
        cap_allows(deps, visit).await?;
    }
    let Some(pin) = form.get("pin").and_then(Pin::parse) else {
        return refuse(422, HaltWord::PinSix, "pin_malformed");
    };
    try_pin(deps, visit, &pin).await?;
    let as_before = form.get("start") == Some("as_before");
    let ask = RearmAsk {
        scope: scope.clone(),
        epoch_shown: shown.epoch,
        generation_shown: shown.generation,
        seq_shown: shown.seq,
        actor: Actor::Person(visit.visitor.link.person.clone()),
        because: why,
        source: "page".to_owned(),
        modes: if as_before { ModesAfter::AsBefore } else { ModesAfter::DryRun },
    };
    match deps.interlock.rearm(&ask).await {
        Ok(Rearmed::Done { epoch }) => Ok(start_waiting(deps, visit, scope, form, epoch).await),
        Ok(Rearmed::PressedAgain) => refuse(409, HaltWord::ReadingChanged, "pressed_again"),
        Ok(Rearmed::NotHalted) => refuse(409, HaltWord::NotHalted, "not_halted"),
        Ok(Rearmed::FlagsSilent) => refuse(503, HaltWord::SwitchSilent, "flags_silent"),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "it is not known whether a resume arrived"
            );
            refuse(503, HaltWord::ResumeUnknown, "unknown")
        }
    }
}

/// Keeps the wish to start what waits, if it was said. The resume stands, whatever becomes of it.
async fn start_waiting(deps: &Deps, visit: &Visit<'_>, scope: &Scope, form: &Fields, epoch: Epoch) -> String {
    if *scope != Scope::Global || form.get("waiting") != Some("start") {
        return visit.url("");
    }
    let actor = Actor::Person(visit.visitor.link.person.clone());
    let wish = StartWaiting { actor, epoch, before_ms: deps.now_ms().saturating_add(1) };
    match deps.ledger.wish_to_start(&wish).await {
        Ok(()) => visit.url_saying("starting"),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "what waits could not be started");
            visit.url_saying("left")
        }
    }
}

fn shown(form: &Fields) -> Option<Shown> {
    let number = |name: &str| form.get(name)?.parse::<u64>().ok();
    Some(Shown {
        epoch: Epoch(number("epoch")?),
        generation: Generation(number("generation")?),
        seq: form.get("seq")?.to_owned(),
    })
}

/// After the daily budget was used up, only a raised cap or a new day lets the agent start again.
async fn cap_allows(deps: &Deps, visit: &Visit<'_>) -> Result<(), Refusal> {
    let sight = deps.look(None).await;
    if sight.cap_holds() == Some(false) || State::of(&sight.seen) != State::HaltedByCap {
        return Ok(());
    }
    if sight.day.is_none() {
        return Err(refusal(visit, 503, HaltWord::BudgetSilent, "budget_unreadable"));
    }
    let text = phrase(visit.say(HaltWord::CapFirst), &[("city", Piece::Text(&sight.seen.zone.city()))]);
    Err(Refusal { status: 409, text, code: "cap_still_holds" })
}

/// One try at the PIN: counted in the store before the answer is known to anybody.
async fn try_pin(deps: &Deps, visit: &Visit<'_>, pin: &Pin) -> Result<(), Refusal> {
    let silent = || refusal(visit, 503, HaltWord::SwitchSilent, "people_unreadable");
    for _ in 0..PEOPLE_TRIES {
        let mut people = deps.interlock.people().await.map_err(|_| silent())?;
        let now_ms = deps.now_ms();
        let Some(person) = people.people.get_mut(&visit.visitor.link.person) else { return Err(silent()) };
        let tries = tries_of(person);
        match tries.verdict(now_ms) {
            PinVerdict::MayTry => {}
            PinVerdict::Locked => return Err(refusal(visit, 429, HaltWord::PinLocked, "pin_locked")),
            PinVerdict::Wait { until_ms } => {
                let time = deps.zone().stamp(moment(until_ms), deps.now(), visit.lang);
                let text = phrase(visit.say(HaltWord::PinWait), &[("time", Piece::Html(time))]);
                return Err(Refusal { status: 429, text, code: "pin_wait" });
            }
        }
        let right = person.pin_hash.as_deref().is_some_and(|hash| PinHash::from_phc(hash).matches(pin));
        let after = tries.after(now_ms, right);
        if after != tries {
            (person.pin_wrong, person.pin_window_ms) = (after.wrong, after.window_ms);
            person.pin_wrong_total = after.wrong_total;
            if !deps.interlock.put_people(&people).await.map_err(|_| silent())? {
                continue;
            }
        }
        return if right { Ok(()) } else { Err(refusal(visit, 422, HaltWord::PinWrong, "pin_wrong")) };
    }
    Err(refusal(visit, 409, HaltWord::PinBusy, "people_changed"))
}

pub(crate) fn tries_of(person: &Person) -> PinTries {
    PinTries { wrong: person.pin_wrong, window_ms: person.pin_window_ms, wrong_total: person.pin_wrong_total }
}

async fn show(
    deps: &Deps,
    visit: &Visit<'_>,
    scope: &Scope,
    refusal: Option<&Refusal>,
    typed: &Fields,
) -> Response {
    let sight = match visit.sight().await {
        Ok(sight) => sight,
        Err(gone) => return gone,
    };
    let customer = match scope {
        Scope::Global => None,
        Scope::Customer(id) => match sight.seen.customers.iter().find(|halted| halted.id == *id) {
            Some(halted) => Some(halted),
            None => return Response::see_other(&visit.url("")),
        },
    };
    if customer.is_none() && refusal.is_none() && !State::of(&sight.seen).offers_resume() {
        return Response::see_other(&visit.url(""));
    }
    let waiting = match customer {
        Some(_) => None,
        None => deps.ledger.held().await.ok().map(|held| held.len()),
    };
    let form = Form { deps, visit, sight: &sight, customer, waiting, typed };
    let title = form.title();
    let body = html! {
        div class="p short f-halt" { p { b { "■ " (since(visit, &sight, customer)) } } }
        h1 { (title) }
        @if let Some(refusal) = refusal { p class="bad" role="alert" { (refusal.text) } }
        (form.waiting())
        (form.render().await)
        p { a class="go" href=(visit.url("")) { (visit.say(HaltWord::KeepHalted)) } }
    };
    let status = refusal.map_or(200, |refusal| refusal.status);
    Response::html(status, &page::framed(deps, visit, &title.0, "", body))
}

/// "HALTED since 02:14:09, by you".
pub(crate) fn since(visit: &Visit<'_>, sight: &Sight, customer: Option<&HaltedCustomer>) -> Markup {
    let seen = &sight.seen;
    let word = State::Halted.word(visit.lang);
    let (by, at) = match (customer, &seen.control) {
        (Some(customer), _) => (&customer.by, customer.at),
        (None, Control::Halted { by, at }) => (by, *at),
        (None, Control::Armed | Control::NotYetArmed | Control::Silent) => return html! { (word) },
    };
    let who = match by {
        By::You => visit.say(HaltWord::You),
        By::Name(name) => name,
        By::Cap(_) => visit.say(HaltWord::ACap),
        By::Flag => visit.say(HaltWord::TheSwitchStore),
    };
    let time = Piece::Html(seen.zone.stamp(at, seen.now, visit.lang));
    let pieces = [("word", Piece::Text(word)), ("time", time), ("who", Piece::Text(who))];
    phrase(visit.say(HaltWord::Since), &pieces)
}

/// Paints the form.
struct Form<'a> {
    deps: &'a Deps,
    visit: &'a Visit<'a>,
    sight: &'a Sight,
    customer: Option<&'a HaltedCustomer>,
    /// How many events wait; `None` when that is not known or not asked.
    waiting: Option<usize>,
    /// What was sent before and refused.
    typed: &'a Fields,
}

impl Form<'_> {
    fn first_start(&self) -> bool {
        self.sight.seen.control == Control::NotYetArmed
    }

    fn title(&self) -> Markup {
        match self.customer {
            Some(customer) => {
                let name = ("name", Piece::Text(customer.shown()));
                phrase(self.visit.say(HaltWord::ResumeCustomerTitle), &[name])
            }
            None if self.first_start() => phrase(self.visit.say(HaltWord::StartTitle), &[]),
            None => phrase(self.visit.say(HaltWord::ResumeTitle), &[]),
        }
    }

    fn waiting(&self) -> Markup {
        let say = |word: HaltWord| self.visit.say(word);
        let customers = self.sight.seen.customers.len();
        html! {
            p {
                @match self.waiting {
                    None => {}
                    Some(0) => { (say(HaltWord::NoneWaiting)) " " }
                    Some(1) => { (say(HaltWord::OneWaiting)) " " }
                    Some(n) => { (phrase(say(HaltWord::ManyWaiting), &[("n", Piece::Number(n))])) " " }
                }
                (say(HaltWord::NeverHalfWay))
            }
            @if self.customer.is_none() && customers > 0 {
                p { (phrase(say(HaltWord::CustomersStay), &[("n", Piece::Number(customers))])) }
            }
        }
    }

    /// The form, or why there is none.
    async fn render(&self) -> Markup {
        let say = |word: HaltWord| self.visit.say(word);
        let Some(shown) = self.read().await else {
            return html! { p class="bad" role="alert" { (say(HaltWord::SwitchSilent)) } };
        };
        if !self.visit.visitor.may_resume(self.sight.people.as_ref()) {
            return html! { p class="bad" role="alert" { (say(HaltWord::MayNotResume)) } };
        }
        let (why, button, path) = match self.customer {
            Some(customer) => {
                let id = web::encode_component(customer.id.as_str());
                (HaltWord::Why, HaltWord::ResumeCustomerButton, format!("/resume/{id}"))
            }
            None if self.first_start() => (HaltWord::WhyStart, HaltWord::StartButton, "/resume".to_owned()),
            None => (HaltWord::Why, HaltWord::ResumeButton, "/resume".to_owned()),
        };
        html! {
            form method="post" action=(self.visit.url(&path)) {
                input type="hidden" name="epoch" value=(shown.epoch);
                input type="hidden" name="generation" value=(shown.generation);
                input type="hidden" name="seq" value=(shown.seq);
                (self.modes())
                (self.waiting_choice())
                label for="w" { (say(why)) }
                textarea id="w" name="why" rows="2" minlength="10" maxlength="300" required {
                    (self.typed.get("why").unwrap_or_default())
                }
                label for="n" { (say(HaltWord::YourPin)) }
                input id="n" name="pin" type="password" inputmode="numeric" required
                    autocomplete="current-password";
                button class="blue" { (say(button)) }
            }
        }
    }

    fn modes(&self) -> Markup {
        if self.customer.is_some() || self.first_start() {
            return html! {};
        }
        let lang = self.visit.lang;
        let live = self.sight.seen.modes.iter().filter(|(_, mode)| *mode == Mode::Live);
        let live: Vec<String> = live.map(|(tool, _)| tools_word(tool, lang)).collect();
        let tools = live.join(", ");
        html! {
            @if !live.is_empty() {
                fieldset {
                    legend { (self.visit.say(HaltWord::StartIn)) }
                    (self.pick("start", ["dry_run", "as_before"], [
                        html! { (self.visit.say(HaltWord::StartDry)) },
                        phrase(self.visit.say(HaltWord::StartAsBefore), &[("tools", Piece::Text(&tools))]),
                    ]))
                }
            }
        }
    }

    /// What becomes of the events that wait: nothing, unless she says so.
    fn waiting_choice(&self) -> Markup {
        let say = |word: HaltWord| html! { (self.visit.say(word)) };
        html! {
            @if self.waiting.is_some_and(|waiting| waiting > 0) {
                fieldset {
                    legend { (say(HaltWord::WaitingHead)) }
                    (self.pick("waiting", ["leave", "start"], [
                        say(HaltWord::WaitingLeave), say(HaltWord::WaitingStart),
                    ]))
                }
            }
        }
    }

    /// Two choices; the first one holds unless the second was sent before.
    fn pick(&self, name: &str, values: [&str; 2], texts: [Markup; 2]) -> Markup {
        let [_, second] = values;
        let chosen = if self.typed.get(name) == Some(second) { 1 } else { 0 };
        html! {
            @for (nth, (value, text)) in values.into_iter().zip(texts).enumerate() {
                label class="pick" {
                    input type="radio" name=(name) value=(value) checked[nth == chosen];
                    (text)
                }
            }
        }
    }

    /// What a resume must still find. Without both switches there is no resume.
    async fn read(&self) -> Option<Shown> {
        let control = self.sight.control.as_ref()?;
        let flags = self.sight.flags.as_ref()?;
        let Some(customer) = self.customer else {
            let (epoch, seq) = (control.epoch, flags.seq_global.clone());
            return Some(Shown { epoch, generation: Generation::default(), seq });
        };
        let flags = self.deps.interlock.switch().read(&[customer.id.to_string()]).await?;
        let (_, seq) = flags.customers.into_iter().next()?;
        Some(Shown { epoch: control.epoch, generation: control.generation(&customer.id), seq })
    }
}
