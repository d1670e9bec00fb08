//! Which address does what, who may call it, and which calls nobody of ours may make. Must never change a
//! record itself.
use super::records::Kind;
use super::{Inner, State, reads, refusals, writes};
use crate::serve::{Received, Reply};
use serde_json::{Value, json};

/// What an address is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// `/crm/objects/2026-09/{kind}`.
    Objects(Kind),
    /// `/crm/objects/2026-09/{kind}/{id}`.
    Object(Kind, &'a str),
    /// `/crm/objects/2026-09/{kind}/batch/read`.
    BatchRead(Kind),
    /// `/crm/objects/2026-09/{kind}/{id}/associations/{kind}`.
    Linked(Kind, &'a str, Kind),
    /// `/crm/associations/2026-09/{kind}/{kind}/batch/read`.
    BatchLinked(Kind, Kind),
    /// `/crm/pipelines/2026-09/deals[/{pipeline}[/stages[/{stage}]]]`.
    Pipelines(Option<&'a str>, bool, Option<&'a str>),
    /// `/crm/owners/2026-09[/{id}]`.
    Owners(Option<&'a str>),
    /// `/oauth/v2/private-apps/get/access-token-info`.
    TokenInfo,
}

impl<'a> Route<'a> {
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        match parts.as_slice() {
            ["crm", "objects", "2026-09", rest @ ..]
            | ["crm", "v3", "objects", rest @ ..]
            | ["crm", "v4", "objects", rest @ ..] => Self::object(rest),
            ["crm", "pipelines", "2026-09", rest @ ..] | ["crm", "v3", "pipelines", rest @ ..] => {
                Self::pipeline(rest)
            }
            ["crm", "owners", "2026-09"] | ["crm", "v3", "owners" | "owners/"] => Some(Self::Owners(None)),
            ["crm", "v3", "owners", ""] => Some(Self::Owners(None)),
            ["crm", "owners", "2026-09", id] | ["crm", "v3", "owners", id] => Some(Self::Owners(Some(id))),
            ["crm", "associations", "2026-09", from, to, "batch", "read"]
            | ["crm", "v4", "associations", from, to, "batch", "read"] => {
                Some(Self::BatchLinked(Kind::parse(from)?, Kind::parse(to)?))
            }
            ["oauth", "v2", "private-apps", "get", "access-token-info"] => Some(Self::TokenInfo),
            _ => None,
        }
    }

    fn object(rest: &[&'a str]) -> Option<Self> {
        match rest {
            [kind] => Some(Self::Objects(Kind::parse(kind)?)),
            [kind, "batch", "read"] => Some(Self::BatchRead(Kind::parse(kind)?)),
            [kind, id] => Some(Self::Object(Kind::parse(kind)?, id)),
            [kind, id, "associations", to] => Some(Self::Linked(Kind::parse(kind)?, id, Kind::parse(to)?)),
            _ => None,
        }
    }

    fn pipeline(rest: &[&'a str]) -> Option<Self> {
        match rest {
            ["deals" | "deal" | "0-3"] => Some(Self::Pipelines(None, false, None)),
            ["deals" | "deal" | "0-3", pipeline] => Some(Self::Pipelines(Some(pipeline), false, None)),
            ["deals" | "deal" | "0-3", pipeline, "stages"] => {
                Some(Self::Pipelines(Some(pipeline), true, None))
            }
            ["deals" | "deal" | "0-3", pipeline, "stages", stage] => {
                Some(Self::Pipelines(Some(pipeline), true, Some(stage)))
            }
            _ => None,
        }
    }
}

/// A call with an effect that is none of the few which the product makes. Reading by POST is on the list of
/// the allowed, searching is not: its index lags behind the writes.
pub(super) fn is_forbidden(method: &str, path: &str) -> bool {
    if method == "GET" || method == "HEAD" {
        return false;
    }
    !matches!(
        (method, Route::of(path)),
        ("PATCH", Some(Route::Object(Kind::Deal, id))) if id != "search" && id != "merge"
    ) && !matches!(
        (method, Route::of(path)),
        (
            "POST",
            Some(
                Route::Objects(Kind::Note | Kind::Task)
                    | Route::BatchRead(_)
                    | Route::BatchLinked(..)
                    | Route::TokenInfo
            )
        )
    )
}

/// The scopes of which each is needed.
fn scopes(route: Route<'_>, method: &str) -> Vec<&'static str> {
    match route {
        Route::Objects(kind) | Route::Object(kind, _) if method != "GET" => vec![write_scope(kind)],
        Route::Objects(kind) | Route::Object(kind, _) | Route::BatchRead(kind) => read_scopes(kind),
        Route::Linked(kind, ..) | Route::BatchLinked(kind, _) => read_scopes(kind),
        Route::Pipelines(..) => vec!["crm.objects.deals.read"],
        Route::Owners(_) => vec!["crm.objects.owners.read"],
        Route::TokenInfo => Vec::new(),
    }
}

fn read_scopes(kind: Kind) -> Vec<&'static str> {
    match kind {
        Kind::Deal => vec!["crm.objects.deals.read"],
        Kind::Company => vec!["crm.objects.companies.read"],
        Kind::Contact | Kind::Note | Kind::Task => vec!["crm.objects.contacts.read"],
        Kind::Email => vec!["crm.objects.contacts.read", "sales-email-read"],
    }
}

fn write_scope(kind: Kind) -> &'static str {
    match kind {
        Kind::Deal => "crm.objects.deals.write",
        Kind::Company => "crm.objects.companies.write",
        Kind::Contact | Kind::Note | Kind::Task | Kind::Email => "crm.objects.contacts.write",
    }
}

/// Checks who calls and answers.
pub(super) fn answer(
    inner: &Inner,
    state: &mut State,
    request: &Received,
    place: usize,
    correlation_id: &str,
) -> Reply {
    if request.oversize {
        return refusals::too_large(correlation_id);
    }
    let route = Route::of(&request.path);
    if route == Some(Route::TokenInfo) && request.method == "POST" {
        return token_info(inner, request, correlation_id);
    }
    let bearer = format!("Bearer {}", inner.settings.token);
    if request.header("authorization") != Some(bearer.as_str()) {
        return refusals::unauthenticated(correlation_id);
    }
    if is_forbidden(&request.method, &request.path) {
        return refusals::method_not_allowed(correlation_id);
    }
    let Some(route) = route else { return refusals::no_route(correlation_id) };
    let needed = scopes(route, &request.method);
    if needed.iter().any(|scope| !inner.settings.scopes.iter().any(|held| held == scope)) {
        return refusals::missing_scopes(&needed, correlation_id);
    }
    match (request.method.as_str(), route) {
        ("PATCH", Route::Object(Kind::Deal, id)) => {
            writes::patch(inner, state, request, place, (Kind::Deal, id), correlation_id)
        }
        ("POST", Route::Objects(kind @ (Kind::Note | Kind::Task))) => {
            writes::create(inner, state, request, place, kind, correlation_id)
        }
        ("POST", Route::BatchRead(kind)) => reads::batch(inner, state, kind, &request.body, correlation_id),
        ("POST", Route::BatchLinked(from, to)) => {
            reads::batch_linked(inner, state, (from, to), &request.body, correlation_id)
        }
        ("GET", route) => reads::get(state, route, &request.query, correlation_id),
        _ => refusals::method_not_allowed(correlation_id),
    }
}

fn token_info(inner: &Inner, request: &Received, correlation_id: &str) -> Reply {
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
        return refusals::invalid("Invalid input JSON", correlation_id);
    };
    let Some(key) = body.get("tokenKey").and_then(Value::as_str) else {
        return refusals::invalid("tokenKey is required", correlation_id);
    };
    if key != inner.settings.token {
        return refusals::unauthenticated(correlation_id);
    }
    let settings = &inner.settings;
    let user_id = super::seed::USER_SANNE;
    let answer = json!({"userId": user_id, "hubId": settings.portal_id, "appId": settings.app_id,
                        "scopes": settings.scopes});
    Reply::json(200, &answer)
}
