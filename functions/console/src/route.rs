//! Who may do what: session, role, form, then the page or the change. Must never change anything on a GET or
//! HEAD.
use crate::frame::{Admitted, Counts, Frame, LogAway, Viewer, admit};
use crate::load::{self, Inbox};
use crate::pages::problem::{self, Problem};
use crate::{Deps, acts, pages, sign_in};
use config::{Freshness, Loaded};
use std::pin::Pin;
use std::time::Duration;
use types::{Actor, Stages};
use web::{Fields, Method, Request, Response, SentFrom, Session, Zone};

/// How long a page waits for the configuration.
const HOT_TIMEOUT: Duration = Duration::from_millis(1_500);

/// A page or a change under way. Boxed: each is a large state machine, and only one of them runs.
type Answer<'a> = Pin<Box<dyn Future<Output = Response> + Send + 'a>>;

/// One signed-in request and what was seen on its way.
pub(crate) struct Visit<'a> {
    pub(crate) deps: &'a Deps,
    pub(crate) request: &'a Request,
    pub(crate) session: Session,
    pub(crate) viewer: Viewer,
    pub(crate) sight: sight::Sight,
    /// `None`: the configuration did not answer in time.
    pub(crate) hot: Option<Loaded>,
}

/// Answers one request.
pub async fn answer(deps: &Deps, request: &Request) -> Response {
    let routed: Answer<'_> = Box::pin(routed(deps, request));
    let response = routed.await;
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
    let sight = deps.look(Some(&session.person)).await;
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
        let stages = self.stages();
        let inbox = load::inbox(self.deps, self.sight.people.as_ref(), &stages);
        let inbox: Pin<Box<dyn Future<Output = Inbox> + Send + '_>> = Box::pin(inbox);
        let inbox = inbox.await;
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
        let text = self.request.query().get(name).map(|text| text.trim().chars().take(200).collect());
        text.unwrap_or_default()
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
    let page: Answer<'_> = match path {
        [] => Box::pin(load::today::page(visit)),
        ["would-have"] => Box::pin(load::would_have::page(visit)),
        ["would-have.jsonl"] => Box::pin(load::examples::all(visit)),
        ["would-have", name] => Box::pin(load::examples::one(visit, name)),
        ["would-have.csv"] => Box::pin(load::would_have::csv(visit)),
        ["tools"] => Box::pin(load::tools::page(visit)),
        ["tools", name, "writes"] => Box::pin(load::tools::writes(visit, name)),
        ["drafts"] => Box::pin(load::drafts::page(visit, None)),
        ["drafts", name] => Box::pin(load::drafts::at(visit, name)),
        ["audit"] => Box::pin(load::audit::page(visit)),
        ["audit.csv"] => Box::pin(load::audit::csv(visit)),
        ["audit.json"] => Box::pin(load::audit::json(visit)),
        ["audit", name] => Box::pin(load::audit::row(visit, name)),
        ["prompts", name] => Box::pin(load::audit::prompt(visit, name)),
        ["runs", name] => Box::pin(load::run::page(visit, name)),
        ["pipeline", "versions"] => Box::pin(load::pipeline::versions(visit)),
        ["pipeline"] => Box::pin(load::pipeline::page(visit)),
        ["budgets"] => Box::pin(load::budgets::page(visit)),
        ["waiting"] => Box::pin(load::waiting::page(visit)),
        ["data-requests"] => Box::pin(load::data_requests::page(visit)),
        ["people"] => Box::pin(load::people(visit)),
        ["resume"] => Box::pin(load::resume::page(visit)),
        _ => return visit.problem(problem::NO_SUCH_PAGE),
    };
    page.await
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
    let change: Answer<'_> = match path {
        ["would-have", "judge"] => Box::pin(acts::judge::judge(visit, &form)),
        ["tools", "surprises"] => Box::pin(acts::surprise::set(visit, &form)),
        ["tools", name, "dry"] => Box::pin(acts::flip::to_dry(visit, name)),
        ["tools", name, "writes"] => Box::pin(acts::flip::to_live(visit, name, &form)),
        ["pipeline", "allow"] => Box::pin(acts::stages::check(visit, &form)),
        ["pipeline", "restore"] => Box::pin(acts::stages::restore(visit, &form)),
        ["pipeline", "check"] => Box::pin(acts::stages::check(visit, &form)),
        ["pipeline", "save"] => Box::pin(acts::stages::save(visit, &form)),
        ["budgets", cap] => Box::pin(acts::caps::save(visit, cap, &form)),
        ["drafts", seq, "sent"] => Box::pin(acts::drafts::sent(visit, seq)),
        ["drafts", seq, "discard"] => Box::pin(acts::drafts::discard(visit, seq, &form)),
        ["runs", name, "again"] => Box::pin(acts::again::again(visit, name, &form)),
        ["waiting", "start"] => Box::pin(acts::waiting::start(visit, &form)),
        ["waiting", "discard"] => Box::pin(acts::waiting::discard(visit, &form)),
        ["waiting", "checked"] => Box::pin(acts::waiting::checked(visit, &form)),
        ["data-requests", "export"] => Box::pin(acts::data_requests::export(visit, &form)),
        ["data-requests", "erase"] => Box::pin(acts::data_requests::erase(visit, &form)),
        ["people", "invite"] => Box::pin(acts::people::invite(visit, &form)),
        ["people", "role"] => Box::pin(acts::people::role(visit, &form)),
        ["people", "revoke"] => Box::pin(acts::people::revoke(visit, &form)),
        ["resume"] => Box::pin(acts::resume::resume(visit, &form)),
        _ => return visit.problem(problem::NO_SUCH_PAGE),
    };
    change.await
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
