//! From the CRM's answers to the gate's: plans, refusals, outcomes. Must never turn a doubt into "not
//! applied".
use crate::text::one_line;
use crm::{BadId, CrmError, Deal, DealReader, PlannedRequest, RecordId};
use gate::{Context, Plan, ReadBack, Refusal, Sent};
use serde_json::Value;
use types::{Reason, Target};

/// Characters of the CRM's own words that the model is shown.
const WORDS_CHARS_MAX: usize = 300;

/// The wait after an answer that names none (ms).
const WAIT_MS_DEFAULT: u64 = 5_000;

/// A plan about the run's deal that changes nothing yet; the tool fills in what it needs.
pub(crate) fn plan_of(context: &Context, verb: &str, what: String) -> Plan {
    Plan {
        verb: verb.to_owned(),
        target: Target::new("deal", &context.deal_id),
        before: None,
        after: None,
        request: None,
        because: None,
        what,
        subjects: context.contact_ids.clone(),
        warnings: Vec::new(),
    }
}

/// The run's deal as it is now.
pub(crate) async fn deal_of(deals: &DealReader, context: &Context) -> Result<Deal, Refusal> {
    deals.get_deal(&context.deal_id).await.map_err(|error| refused(&error))
}

/// A read that failed, told to the model.
pub(crate) fn refused(error: &CrmError) -> Refusal {
    let retry_ms = match error {
        CrmError::RateLimited { wait_ms, daily: false, .. } => Some(*wait_ms),
        CrmError::Unavailable { .. } => Some(WAIT_MS_DEFAULT),
        CrmError::RateLimited { daily: true, .. }
        | CrmError::NotFound { .. }
        | CrmError::Refused { .. }
        | CrmError::Malformed { .. }
        | CrmError::TooLarge { .. }
        | CrmError::Incomplete { .. }
        | CrmError::BadId { .. } => None,
    };
    let tell = format!("the CRM could not be read: {}", one_line(&error.to_string(), WORDS_CHARS_MAX));
    Refusal { reason: error.reason(), tell, retry_ms }
}

/// What a side record says, or nothing where the CRM does not show it to us; busy is not nothing.
pub(crate) fn if_shown<T>(read: Result<T, CrmError>) -> Result<Option<T>, Refusal> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error @ (CrmError::RateLimited { .. } | CrmError::Unavailable { .. })) => Err(refused(&error)),
        Err(
            CrmError::NotFound { .. }
            | CrmError::Refused { .. }
            | CrmError::Malformed { .. }
            | CrmError::TooLarge { .. }
            | CrmError::Incomplete { .. }
            | CrmError::BadId { .. },
        ) => Ok(None),
    }
}

/// The planned request as the would-have log keeps it.
pub(crate) fn request_of(planned: Result<PlannedRequest, BadId>) -> Result<Value, Refusal> {
    planned.ok().and_then(|planned| serde_json::to_value(planned).ok()).ok_or_else(|| {
        Refusal::new(Reason::CrmNotFound, "the run's deal id is not a HubSpot id, so nothing can be planned")
    })
}

/// Is this request, made again from the plan's own values, the planned one to the last byte?
// INVARIANT (I19): what live mode sends is what the would-have log shows, or nothing.
pub(crate) fn is_planned(again: Result<PlannedRequest, BadId>, plan: &Plan) -> bool {
    let again = again.ok().and_then(|again| serde_json::to_value(again).ok());
    again.is_some() && again == plan.request
}

/// A plan that does not give its own request again: nothing is sent.
pub(crate) fn not_as_planned() -> Sent {
    Sent::NotApplied {
        reason: Reason::NotApplied,
        tell: "the plan does not give the planned request again; nothing was sent".to_owned(),
        retry_ms: None,
    }
}

/// What became of a new record; `noun` is what it is ("note"), `id_name` where its id is kept.
pub(crate) fn created(sent: crm::Sent<RecordId>, plan: &Plan, noun: &str, id_name: &str) -> Sent {
    answered(sent, |record_id| {
        let mut after = plan.after.clone();
        if let Some(fields) = after.as_mut().and_then(Value::as_object_mut) {
            fields.insert(id_name.to_owned(), record_id.to_string().into());
        }
        Sent::Applied { after, tell: format!("done: {noun} {record_id} is on the deal") }
    })
}

/// The CRM's outcome as the gate's.
pub(crate) fn answered<T>(sent: crm::Sent<T>, applied: impl FnOnce(T) -> Sent) -> Sent {
    match sent {
        crm::Sent::Applied(value) => applied(value),
        crm::Sent::NotApplied { reason, wait_ms, message } => {
            let tell = format!("not done, nothing changed: {}", one_line(&message, WORDS_CHARS_MAX));
            Sent::NotApplied { reason, tell, retry_ms: wait_ms }
        }
        crm::Sent::Unknown { what } => {
            Sent::Unknown { tell: format!("no usable answer: {}", one_line(&what, WORDS_CHARS_MAX)) }
        }
    }
}

/// Whether our marker is there. Its absence proves nothing yet: the write may still arrive.
pub(crate) fn marker_found(found: Result<crm::Marker, CrmError>) -> ReadBack {
    match found {
        Ok(crm::Marker::Found { .. }) => ReadBack::Applied,
        Ok(crm::Marker::Absent) => ReadBack::NotYet,
        Err(_) => ReadBack::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loopback::context;
    use serde_json::json;

    #[test]
    fn only_a_busy_crm_is_asked_again() {
        let call = "get deal";
        let limited = |daily| CrmError::RateLimited { call, wait_ms: 900, daily };
        assert_eq!(refused(&limited(false)).retry_ms, Some(900));
        assert_eq!(refused(&limited(true)).retry_ms, None);
        assert_eq!(refused(&CrmError::NotFound { call }).reason, Reason::CrmNotFound);
        let broken = CrmError::Unavailable { call, what: "x\u{202E}\n".repeat(500) };
        let refusal = refused(&broken);
        assert_eq!((refusal.reason, refusal.retry_ms), (Reason::CrmUnavailable, Some(WAIT_MS_DEFAULT)));
        assert!(refusal.tell.len() < 400 && !refusal.tell.contains(['\n', '\u{202E}']));
        assert!(if_shown::<()>(Err(broken)).is_err());
        assert_eq!(if_shown::<()>(Err(CrmError::NotFound { call })), Ok(None));
        assert_eq!(if_shown(Ok(7)), Ok(Some(7)));
    }

    #[test]
    fn a_doubt_stays_a_doubt() {
        let mut plan = plan_of(&context("4411"), "append_note", String::new());
        plan.after = Some(json!({"note": "a"}));
        let id = RecordId::parse("512").expect("an id");
        let done = created(crm::Sent::Applied(id), &plan, "note", "note_id");
        let after = Some(json!({"note": "a", "note_id": "512"}));
        assert_eq!(done, Sent::Applied { after, tell: "done: note 512 is on the deal".into() });
        let lost = created(crm::Sent::Unknown { what: "status 502".into() }, &plan, "note", "note_id");
        assert!(matches!(lost, Sent::Unknown { .. }));
        let busy = crm::Sent::NotApplied {
            reason: Reason::CrmRateLimited,
            wait_ms: Some(7),
            message: "slow down".into(),
        };
        assert!(matches!(
            created(busy, &plan, "note", "note_id"),
            Sent::NotApplied { reason: Reason::CrmRateLimited, retry_ms: Some(7), .. }
        ));
        let absent = marker_found(Ok(crm::Marker::Absent));
        assert_eq!(absent, ReadBack::NotYet, "absence is no proof");
        let partial = CrmError::Incomplete { call: "look", what: "notes" };
        assert_eq!(marker_found(Err(partial)), ReadBack::Unreadable);
    }
}
