//! Who may do what: session, role, form, then the page or the change. Must never change anything on a GET or HEAD.
use crate::frame::{Admitted, Counts, Frame, LogAway, Viewer, admit};
use crate::load::{self, Inbox};
use crate::pages::problem::{self, Problem};
use crate::sight::Sight;
use crate::{Deps, acts, pages, sign_in};
use config::{Freshness, Loaded};
use std::time::Duration;
use types::{Actor, Stages};
use web::{Fields, Method, Request, Response, SentFrom, Session, Zone};

/// How long a page waits for the configuration.
const HOT_TIMEOUT: Duration = Duration::from_millis(1_500);

/// One signed-in request and what was seen on its way.
pub(crate) struct Visit<'a> {
    pub(crate) deps: &'a Deps,
    pub(crate) request: &'a Request,
    pub(crate) session: Session,
    pub(crate) viewer: Viewer,
    pub(crate) sight: Sight,
    /// `None`: the configuration did not answer in time.
    pub(crate) hot: Option<Loaded>,
}

/// Answers one request.
pub async fn answer(deps: &Deps, request: &Request) -> Response {
    let response = routed(deps, request).await;
    if request.method() == Method::Head { response.without_body() } else { response }
}

async fn routed(deps: &Deps, request: &Request) -> Response {
    let Some(segments) = request.segments() else { return Response::not_found("Not found\n") };
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (request.method(), path.as_slice()) {
        (Method::Other, _) => Response::method_not_allowed("GET, HEAD, POST"),
        (Method::Get | Method::Head, ["s", token]) => sign_in::page(deps, token),
        (Method::Post, ["s", token]) => sign_in::submit(deps, request, token).await,
        (Method::Post, ["halt"]) => acts::halt::press(deps, request).await,
        (Method::Get | Method::Head, path) => match visit(deps, request).await {
            Ok(visit) => pages_at(&visit, path).await,
            Err(response) => response,
        },
        (Method::Post, path) => match visit(deps, request).await {
            Ok(visit) => change_at(&visit, path).await,
            Err(response) => response,
        },
    }
}

/// Who comes, and what both switches say.
async fn visit<'a>(deps: &'a Deps, request: &'a Request) -> Result<Visit<'a>, Response> {
    let Some(session) = deps.sessions.of(request, deps.now()) else {
        return Err(pages::sign_in::signed_out(&deps.install));
    };
    let hot = hot(deps).await;
    let sight = Sight::of(deps, Some(&session.person)).await;
    match admit(&session, sight.people.as_ref()) {
        Admitted::Yes(viewer) => Ok(Visit { deps, request, session, viewer, sight, hot }),
        Admitted::Revoked => {
            Err(pages::sign_in::signed_out(&deps.install).with_cookie(deps.sessions.end_cookie()))
        }
    }
}

/// The configuration, and the zone that comes with it.
async fn hot(deps: &Deps) -> Option<Loaded> {
    let loaded = tokio::time::timeout(HOT_TIMEOUT, deps.hot.get()).await.ok()?;
    if loaded.freshness != Freshness::Unusable
        && let (Ok(fresh), Ok(mut zone)) = (Zone::new(&loaded.hot.zone), deps.zone.lock())
    {
        *zone = fresh;
    }
    Some(loaded)
}

impl Visit<'_> {
    /// Who acts, as the audit names her.
    pub(crate) fn actor(&self) -> Actor {
        Actor::Person(self.viewer.person.clone())
    }

    /// The frame without what waits.
    pub(crate) fn frame(&self) -> Frame {
        let seen = self.sight.seen.clone();
        Frame::new(self.deps, self.request, &self.session, self.viewer.clone(), seen)
    }

    /// The frame, and what waits for a person.
    pub(crate) async fn framed(&self) -> (Frame, Inbox) {
        let inbox = load::inbox(self.deps, self.sight.people.as_ref(), &self.stages()).await;
        let mut frame = self.frame();
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let held = inbox.held.as_ref().map(|held| count(held.len()));
        let checks = inbox.checks.as_ref().map(|checks| count(checks.len()));
        frame.counts = Counts {
            not_judged: inbox.not_judged,
            drafts: inbox.drafts.as_ref().map(|drafts| count(drafts.len())),
            stage_asks: inbox.asks.as_ref().map(|asks| count(asks.len())),
            waiting: held.zip(checks).map(|(held, checks)| held.saturating_add(checks)),
        };
        frame.log_away = inbox.not_judged.is_none().then_some(LogAway { waiting: inbox.outbox });
        (frame, inbox)
    }

    /// The stages in force, as far as they are known.
    pub(crate) fn stages(&self) -> Stages {
        self.hot.as_ref().map(|loaded| loaded.hot.stages.clone()).unwrap_or_default()
    }

    /// The configuration, when it was read just now: the only one that a change may start from.
    pub(crate) fn fresh(&self) -> Option<&config::Hot> {
        let loaded = self.hot.as_ref()?;
        (loaded.freshness == Freshness::Fresh).then_some(&*loaded.hot)
    }

    /// The query's text of that name; empty when it is absent.
    pub(crate) fn query(&self, name: &str) -> String {
        self.request.query().get(name).map(|text| text.trim().to_owned()).unwrap_or_default()
    }

    /// A page that says what did not work.
    pub(crate) fn problem(&self, problem: Problem) -> Response {
        problem::page(&self.frame(), problem)
    }

    /// Why this form may not change anything; `None` when it may.
    fn refused(&self, form: &Fields) -> Option<Problem> {
        if self.request.sent_from(self.deps.install.console_url.as_deref()) != SentFrom::OurPage {
            return Some(problem::ELSEWHERE);
        }
        let token = form.get("t").unwrap_or_default();
        if !self.deps.sessions.form_token_holds(&self.session, token, self.deps.now()) {
            return Some(problem::STALE_FORM);
        }
        None
    }
}

/// The page at a path.
async fn pages_at(visit: &Visit<'_>, path: &[&str]) -> Response {
    match path {
        [] => load::today::page(visit).await,
        ["would-have"] => load::would_have::page(visit).await,
        ["would-have.csv"] => load::would_have::csv(visit).await,
        ["tools"] => load::tools::page(visit).await,
        ["tools", name, "writes"] => load::tools::writes(visit, name).await,
        ["drafts"] => load::drafts::page(visit, None).await,
        ["drafts", name] => load::drafts::at(visit, name).await,
        ["audit"] => load::audit::page(visit).await,
        ["audit.csv"] => load::audit::csv(visit).await,
        ["audit.json"] => load::audit::json(visit).await,
        ["audit", name] => load::audit::row(visit, name).await,
        ["prompts", name] => load::audit::prompt(visit, name).await,
        ["runs", name] => load::run::page(visit, name).await,
        ["pipeline"] => load::pipeline::page(visit).await,
        ["budgets"] => load::budgets::page(visit).await,
        ["waiting"] => load::waiting::page(visit).await,
        ["people"] => load::people(visit).await,
        ["resume"] => load::resume::page(visit).await,
        _ => visit.problem(problem::NO_SUCH_PAGE),
    }
}

/// The change at a path.
async fn change_at(visit: &Visit<'_>, path: &[&str]) -> Response {
    let form = match visit.request.form() {
        Ok(form) => form,
        Err(_) => return visit.problem(problem::BAD_FORM),
    };
    if let Some(why) = visit.refused(&form) {
        return visit.problem(why);
    }
    if path == ["sign-out"] {
        return Response::see_other("/").with_cookie(visit.deps.sessions.end_cookie());
    }
    if !visit.viewer.may_change {
        return visit.problem(problem::NOT_OPS);
    }
    match path {
        ["would-have", "judge"] => acts::judge::judge(visit, &form).await,
        ["tools", name, "dry"] => acts::flip::to_dry(visit, name).await,
        ["tools", name, "writes"] => acts::flip::to_live(visit, name, &form).await,
        ["pipeline", "check"] => acts::stages::check(visit, &form).await,
        ["pipeline", "save"] => acts::stages::save(visit, &form).await,
        ["budgets", cap] => acts::caps::save(visit, cap, &form).await,
        ["drafts", seq, "sent"] => acts::drafts::sent(visit, seq).await,
        ["drafts", seq, "discard"] => acts::drafts::discard(visit, seq, &form).await,
        ["waiting", "start"] => acts::waiting::start(visit, &form).await,
        ["waiting", "discard"] => acts::waiting::discard(visit, &form).await,
        ["waiting", "checked"] => acts::waiting::checked(visit, &form).await,
        ["people", "revoke"] => acts::people::revoke(visit, &form).await,
        ["resume"] => acts::resume::resume(visit, &form).await,
        _ => visit.problem(problem::NO_SUCH_PAGE),
    }
}

/// After a press that no switch confirmed: the strip says so, and HALT stays.
pub(crate) async fn not_confirmed(deps: &Deps, request: &Request) -> Response {
    let Ok(visit) = visit(deps, request).await else {
        return Response::text(503, "NOT CONFIRMED: the agent may still be running. Press HALT again.\n");
    };
    let mut frame = visit.frame();
    frame.not_confirmed = true;
    problem::page(&frame, problem::NOT_CONFIRMED)
}

/// A reason that a person must give: at least ten characters.
pub(crate) fn reason_of(form: &Fields, field: &str) -> Option<String> {
    let text = form.get(field).unwrap_or_default().trim();
    let long_enough = text.chars().filter(|c| !c.is_whitespace()).count() >= 8 && text.chars().count() >= 10;
    long_enough.then(|| text.chars().take(300).collect())
}

/// A number in an address, without what follows the dot: `12.json` is 12.
pub(crate) fn number_of(name: &str) -> Option<(i64, Option<&str>)> {
    let (digits, kind) = name.split_once('.').map_or((name, None), |(digits, kind)| (digits, Some(kind)));
    let plain = !digits.is_empty() && digits.len() <= 18 && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten().map(|number| (number, kind))
}
