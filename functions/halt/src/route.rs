//! Which page for which path and key. Must never change anything on a GET, whatever its query.
use crate::{Deps, enrol, fails, note, page, press, resume, words::HaltWord};
use interlock::{People, Role};
use sight::Sight;
use web::{Lang, Link, LinkKind, Method, Request, Response};

/// Who opened the page: the link's word, and the store's where it answered.
pub(crate) struct Visitor {
    /// The link, its signature checked.
    pub(crate) link: Link,
    /// `/s/<key>` or `/p/<key>`: what every address of this visit begins with.
    base: String,
}

/// One request by a visitor.
pub(crate) struct Visit<'a> {
    pub(crate) request: &'a Request,
    pub(crate) visitor: Visitor,
    pub(crate) lang: Lang,
    deps: &'a Deps,
}

impl Visitor {
    pub(crate) fn new(link: Link, base: String) -> Self {
        Self { link, base }
    }

    /// Whether the store says that this link, or this person, was taken back.
    pub(crate) fn is_revoked(&self, people: &People) -> bool {
        let Some(person) = people.people.get(&self.link.person) else { return false };
        let key = person.keys.get(self.link.key_id.as_str());
        person.revoked_ms.is_some() || key.is_some_and(|key| key.revoked_ms.is_some())
    }

    /// Whether this visitor may resume at all: her own link, known to the store, with the role and a PIN.
    pub(crate) fn may_resume(&self, people: Option<&People>) -> bool {
        // FAIL-CLOSED: revocations that cannot be read leave the link the power to halt, and no other.
        let Some(people) = people else { return false };
        let own = matches!(self.link.kind, LinkKind::Person | LinkKind::Deputy);
        let person = people.people.get(&self.link.person);
        let ops = person.is_some_and(|person| person.role == Role::Ops && person.pin_hash.is_some());
        own && ops && people.key_is_valid(&self.link.person, self.link.key_id.as_str())
    }

    /// Her name, if the store knows it.
    pub(crate) fn name<'p>(&self, people: Option<&'p People>) -> Option<&'p str> {
        people?.people.get(&self.link.person).map(|person| person.name.as_str())
    }

    pub(crate) fn is_slack(&self) -> bool {
        self.link.kind == LinkKind::Slack
    }
}

impl<'a> Visit<'a> {
    pub(crate) fn new(deps: &'a Deps, request: &'a Request, visitor: Visitor) -> Self {
        Self { request, visitor, lang: Lang::of(request), deps }
    }

    /// An address of this visit; the language stays as it was chosen.
    pub(crate) fn url(&self, rest: &str) -> String {
        let chosen = self.request.query().get("l").and_then(Lang::from_code);
        let language = chosen.map(|lang| format!("?l={}", lang.code())).unwrap_or_default();
        format!("{}{rest}{language}", self.visitor.base)
    }

    /// The halt page, saying besides what was done.
    pub(crate) fn url_saying(&self, notice: &str) -> String {
        let url = self.url("");
        let joint = if url.contains('?') { '&' } else { '?' };
        format!("{url}{joint}n={notice}")
    }

    /// The same page in the other language.
    pub(crate) fn url_in(&self, lang: Lang) -> String {
        format!("{}?l={}", self.visitor.base, lang.code())
    }

    pub(crate) fn say(&self, word: HaltWord) -> &'static str {
        word.text(self.lang)
    }

    /// What a link that does not work any more gets.
    pub(crate) fn gone(&self) -> Response {
        gone(self.deps, self.lang)
    }

    /// What the switches say, unless the store says that this link was taken back.
    pub(crate) async fn sight(&self) -> Result<Sight, Response> {
        let sight = self.deps.look(Some(&self.visitor.link.person)).await;
        match sight.people.as_ref().is_some_and(|people| self.visitor.is_revoked(people)) {
            true => Err(self.gone()),
            false => Ok(sight),
        }
    }
}

/// Answers one request.
// INVARIANT (I9): GET and HEAD look; only POST changes anything.
pub async fn answer(deps: &Deps, request: &Request) -> Response {
    let method = request.method();
    if method == Method::Other {
        return Response::method_not_allowed("GET, HEAD, POST");
    }
    let response = dispatch(deps, request, method == Method::Post).await;
    if method == Method::Head { response.without_body() } else { response }
}

async fn dispatch(deps: &Deps, request: &Request, post: bool) -> Response {
    let lang = Lang::of(request);
    let Some(segments) = request.segments() else { return gone(deps, lang) };
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let [kind, token, rest @ ..] = segments.as_slice() else { return gone(deps, lang) };
    let Some(link) = deps.verifier.verify(token, deps.now()) else { return gone(deps, lang) };
    let fits = match link.kind {
        LinkKind::Person | LinkKind::Deputy => *kind == "s",
        LinkKind::Slack => *kind == "p",
        LinkKind::Invite => *kind == "a",
    };
    if !fits {
        return gone(deps, lang);
    }
    let visit = Visit::new(deps, request, Visitor::new(link, format!("/{kind}/{token}")));
    match (*kind, rest, post) {
        ("a", [], false) => enrol::show(deps, &visit).await,
        ("a", [], true) => enrol::enrol(deps, &visit).await,
        ("s" | "p", [], false) => page::main(deps, &visit, 200, None).await,
        ("s" | "p", ["fails"], false) => fails::show(deps, &visit).await,
        ("s" | "p", ["halt"], true) => press::halt(deps, &visit).await,
        ("s", ["resume", of @ ..], _) if of.len() <= 1 => {
            resume::answer(deps, &visit, of.first().copied(), post).await
        }
        ("s", ["note", of @ ..], _) if of.len() <= 1 => {
            note::answer(deps, &visit, of.first().copied(), post).await
        }
        // INVARIANT (I9): a link in a ping can see and halt, and nothing else.
        ("p", ["resume" | "note", ..], _) => resume::refused_for_slack(deps, &visit, post).await,
        ("s" | "p", [] | ["fails"], true) => Response::method_not_allowed("GET, HEAD"),
        ("s" | "p", ["halt"], false) => Response::method_not_allowed("POST"),
        _ => visit.gone(),
    }
}

/// 404 without any state: other ways to halt.
fn gone(deps: &Deps, lang: Lang) -> Response {
    let say = |word: HaltWord| word.text(lang);
    let mut text = format!("{}\n\n{}\n", say(HaltWord::LinkGone), say(HaltWord::OtherWays));
    for line in fails::ways(&deps.install, lang, false) {
        text.push_str(&format!("- {line}\n"));
    }
    Response::not_found(&text)
}
