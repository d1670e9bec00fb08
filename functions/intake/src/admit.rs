//! One batch: each event admitted and started on its own. Must never let one event lose the others.
use crate::Deps;
use crm::EventError;
use crm::webhook::{Event, EventKind};
use futures_util::StreamExt;
use ledger::{Admitted, DataRequest, Entry, EventRef, RequestKind, Run, keys_of};
use serde_json::{Value, json};
use starter::Start;
use std::time::Duration;
use types::{Actor, EntryState, EventKey, Reason, RequestId, RunId, Subject, Target};

/// Events worked on at once: a batch of a hundred must be through in four seconds.
const AT_ONCE: usize = 16;

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Its run was started.
    Started(RunId),
    /// Its run was started before.
    Duplicate(RunId),
    /// It opened a request to forget somebody, or had opened it before.
    ToForget(RequestId),
    /// It starts nothing.
    Skipped(Reason),
    /// It is no event that we understand; nobody sends a better one, so it is answered with 200.
    Malformed,
    /// Not stored or not started in time: HubSpot must send it again.
    Open,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order of the batch.
    pub fates: Vec<Fate>,
}

impl Report {
    /// Events that must come again.
    #[must_use]
    pub fn left_open(&self) -> usize {
        self.fates.iter().filter(|fate| **fate == Fate::Open).count()
    }

    pub(crate) fn to_json(&self) -> Value {
        let of = |fate: &Fate| match fate {
            Fate::Started(run_id) => json!({"fate": "started", "run_id": run_id}),
            Fate::Duplicate(run_id) => json!({"fate": "duplicate", "run_id": run_id}),
            Fate::ToForget(request_id) => json!({"fate": "to_forget", "request_id": request_id}),
            Fate::Skipped(reason) => json!({"fate": "skipped", "reason": reason}),
            Fate::Malformed => json!({"fate": "malformed"}),
            Fate::Open => json!({"fate": "open"}),
        };
        json!({ "events": self.fates.iter().map(of).collect::<Vec<_>>() })
    }
}

/// Works off a batch; what is not done within `within` stays open and is asked for again.
pub(crate) async fn all(deps: &Deps, events: Vec<Result<Event, EventError>>, within: Duration) -> Report {
    let mut fates = vec![Fate::Open; events.len()];
    let work = async {
        let each = |(index, event): (usize, Result<Event, EventError>)| async move {
            let fate = match event {
                Ok(event) => one(deps, &event).await,
                Err(error) => {
                    tracing::warn!(index, %error, "an event of a batch is malformed");
                    Fate::Malformed
                }
            };
            (index, fate)
        };
        let mut done =
            futures_util::stream::iter(events.into_iter().enumerate()).map(each).buffer_unordered(AT_ONCE);
        while let Some((index, fate)) = done.next().await {
            if let Some(slot) = fates.get_mut(index) {
                *slot = fate;
            }
        }
    };
    if tokio::time::timeout(within, work).await.is_err() {
        tracing::error!("a batch was not through in time; what is open comes again");
    }
    Report { fates }
}

/// One event: skip it, or admit and start its run.
async fn one(deps: &Deps, event: &Event) -> Fate {
    if deps.app_id.is_some_and(|app_id| event.is_own_write(app_id)) && !types::mutant("echo_starts") {
        return record(deps, event, Reason::OwnWrite).await;
    }
    let (kind, object_id, property) = match event.kind() {
        EventKind::EmailCreated { email_id } => ("email_created", email_id, None),
        EventKind::DealChanged { deal_id, property } if property == "dealstage" => {
            ("deal_changed", deal_id, Some(property))
        }
        EventKind::DealCreated { deal_id } => ("deal_created", deal_id, None),
        EventKind::PrivacyDeletion { contact_id } => return open_erasure(deps, event, contact_id).await,
        EventKind::DealChanged { .. } | EventKind::ConversationMessage { .. } | EventKind::Ignored => {
            return Fate::Skipped(Reason::NotSubscribed);
        }
    };
    let Ok((key, run_id)) = keys_of(&event.key_text()) else { return Fate::Malformed };
    let received_ms = deps.clock.now_ms();
    let run = Run::queued(
        run_id,
        EventRef {
            key,
            portal_id: i64::try_from(event.portal_id).unwrap_or(i64::MAX),
            kind: kind.to_owned(),
            object_id: object_id.to_string(),
            property,
            occurred_ms: event.occurred_at_ms.unwrap_or(received_ms),
            received_ms,
        },
    );
    match deps.ledger.admit(&run).await {
        Ok(Admitted::Duplicate(run_id)) => Fate::Duplicate(run_id),
        Ok(Admitted::New(run_id) | Admitted::NotStarted(run_id)) => start(deps, &run.event.key, run_id).await,
        Err(error) => {
            tracing::error!(%error, "an event was not admitted; it comes again");
            Fate::Open
        }
    }
}

async fn start(deps: &Deps, key: &EventKey, run_id: RunId) -> Fate {
    let start = Start { name: run_id.to_string(), run_id: run_id.clone(), n: 0 };
    if let Err(error) = deps.starter.start(&start).await {
        tracing::error!(%error, "a run was not started; its event comes again");
        return Fate::Open;
    }
    match deps.ledger.mark_started(key).await {
        Ok(()) => {}
        // Started all the same; a redelivery or the sweep finds the mark missing and starts the same name
        // again.
        Err(error) => tracing::warn!(%error, "a start was not noted"),
    }
    Fate::Started(run_id)
}

/// HubSpot says that a contact asked to be forgotten: her request, once per event. The same id on every
/// redelivery, also after it was carried out.
async fn open_erasure(deps: &Deps, event: &Event, contact_id: u64) -> Fate {
    let received_ms = deps.clock.now_ms();
    let occurred_ms = event.occurred_at_ms.unwrap_or(received_ms);
    let Ok(request_id) = DataRequest::id_of(occurred_ms, &event.key_text()) else { return Fate::Malformed };
    let subject = Subject { contacts: [contact_id.to_string()].into(), ..Subject::default() };
    let by = Actor::System("hubspot".to_owned());
    let mut request = DataRequest::new(request_id, RequestKind::Erase, subject, by, received_ms);
    request.not_before_ms = deps.erase_after_ms.map(|wait_ms| received_ms.saturating_add(wait_ms));
    match deps.ledger.open_request(&request, &request.opened_entry()).await {
        Ok(_) => Fate::ToForget(request.request_id),
        Err(error) => {
            tracing::error!(%error, "a request to forget somebody was not stored; its event comes again");
            Fate::Open
        }
    }
}

/// A skipped event that must be seen later: its row, once per event.
async fn record(deps: &Deps, event: &Event, reason: Reason) -> Fate {
    let Ok((key, _)) = keys_of(&event.key_text()) else { return Fate::Malformed };
    let object_id = event.object_id.map(|id| id.to_string()).unwrap_or_default();
    // The same on every redelivery, or the second would be another entry of the same id.
    let occurred_at =
        event.occurred_at_ms.and_then(|ms| types::Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    let (actor, target) = (Actor::System("intake".to_owned()), Target::new("event", &object_id));
    let entry = Entry {
        state: EntryState::Refused,
        reason: Some(reason),
        detail: Some(json!({
            "subscription_type": event.subscription_type,
            "property": event.property_name,
            "change_source": event.change_source,
        })),
        ..Entry::new("intake", key, occurred_at, actor, "event", target)
    };
    match deps.ledger.append_outbox(&[entry]).await {
        Ok(()) => Fate::Skipped(reason),
        Err(error) => {
            tracing::error!(%error, "a skipped event was not recorded; it comes again");
            Fate::Open
        }
    }
}
