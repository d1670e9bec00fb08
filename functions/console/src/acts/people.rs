//! Taking a key back. Must never take one back halfway: the store's own version decides.
use crate::entry;
use crate::pages::problem;
use crate::route::Visit;
use serde_json::json;
use types::{EntryState, PersonId, Reason, Target};
use web::{Fields, Response};

/// Revokes one key, in one click: a lost phone can then do nothing more.
pub(crate) async fn revoke(visit: &Visit<'_>, form: &Fields) -> Response {
    let key_id = form.get("key").unwrap_or_default().to_owned();
    let Ok(person) = PersonId::new(form.get("person").unwrap_or_default()) else {
        return visit.problem(problem::BAD_FORM);
    };
    let Ok(mut people) = visit.deps.interlock.people().await else {
        return visit.problem(problem::NO_ANSWER);
    };
    let known = people.people.get_mut(&person).and_then(|known| known.keys.get_mut(&key_id));
    let Some(key) = known.filter(|key| key.revoked_ms.is_none()) else {
        return Response::see_other("/people?n=gone");
    };
    key.revoked_ms = Some(visit.deps.now().as_millisecond());
    let mut row =
        entry::of_person(visit.deps.now(), &visit.viewer.person, "revoke", Target::new("person", &person));
    row.detail = Some(json!({ "key_id": key_id, "kind": key.kind }));
    // Toward safe: a lost phone is shut out also when its row has to be written later by hand.
    let written = entry::before(visit.deps, &row).await;
    if let Err(error) = &written {
        tracing::error!(error = error as &dyn std::error::Error, "a key is revoked without its row");
    }
    match visit.deps.interlock.put_people(&people).await {
        Ok(true) => Response::see_other("/people?n=revoked"),
        Ok(false) => {
            entry::not_made(visit.deps, &row, EntryState::Failed, Reason::Conflict).await;
            Response::see_other("/people?n=moved")
        }
        Err(_) => {
            entry::not_made(visit.deps, &row, EntryState::Unknown, Reason::OutcomeUnknown).await;
            visit.problem(problem::NO_ANSWER)
        }
    }
}
