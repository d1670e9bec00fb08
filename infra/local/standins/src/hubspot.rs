//! The HubSpot stand-in: state, settings and the handle for tests. Must never take an order over HTTP that
//! HubSpot would not take.
mod journal;
mod log;
mod properties;
mod reads;
mod records;
mod refusals;
mod routes;
mod seed;
mod webhook;
mod writes;

pub use log::Seen;
pub use records::{Kind, Version};
pub use webhook::{Delivery, SignedRequest, hashed_url, sign_v3, with_attempt};

use crate::faults::{Fault, Faults, Matcher, lock};
use crate::serve::{self, Received, Reply, Running, Vendor};
use crate::{Clock, Error};
use journal::{Journal, Line};
use records::{Change, Link, Records, Source, plain_link};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// The rolling window of the rate limit.
const WINDOW_MS: i64 = 10_000;
/// Calls a day, as the header says it.
const DAILY_MAX: usize = 625_000;

/// The account and the application whose token is accepted.
#[derive(Clone)]
pub struct Settings {
    /// The one bearer token that is accepted.
    pub token: String,
    /// Our application; the source id of all it writes.
    pub app_id: u64,
    /// The account.
    pub portal_id: u64,
    /// What the token may do.
    pub scopes: Vec<String>,
    /// Requests per ten seconds.
    pub requests_per_window: usize,
    /// Properties of deals whose changes make events.
    pub watched_deal_properties: Vec<String>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Settings").field("app_id", &self.app_id).finish_non_exhaustive()
    }
}

impl Default for Settings {
    fn default() -> Self {
        let scopes = [
            "oauth",
            "crm.objects.deals.read",
            "crm.objects.deals.write",
            "crm.objects.contacts.read",
            "crm.objects.contacts.write",
            "crm.objects.companies.read",
            "crm.objects.owners.read",
            "sales-email-read",
        ];
        Self {
            token: "pat-local-demo".to_owned(),
            app_id: 7_906_213,
            portal_id: 891_472_211,
            scopes: scopes.map(str::to_owned).to_vec(),
            requests_per_window: 190,
            watched_deal_properties: vec!["dealstage".to_owned()],
        }
    }
}

/// An inbound mail, for `arrive_email`.
#[derive(Debug, Clone)]
pub struct NewEmail {
    /// The deal it answers.
    pub deal_id: u64,
    /// Who wrote; its address becomes the sender.
    pub contact_id: u64,
    /// Subject line.
    pub subject: String,
    /// Plain text.
    pub text: String,
}

/// The handle: cheap to clone, all clones see the same account.
#[derive(Clone)]
pub struct HubSpot {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for HubSpot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("HubSpot").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

struct Inner {
    settings: Settings,
    now_ms: Clock,
    faults: Faults,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    records: Records,
    journal: Option<Journal>,
    log: Vec<Seen>,
    window: VecDeque<i64>,
    calls_today: usize,
    /// Emails whose links are not shown yet: how many more reads miss them.
    unlinked_reads: BTreeMap<u64, u32>,
    /// Properties that the account's admin requires before a deal may enter a stage.
    required_for_stage: Vec<(String, String)>,
    events: Vec<Value>,
    events_made: u64,
    correlations: u64,
}

impl State {
    /// A fresh id in the form of a UUID, the same in each run.
    fn correlation_id(&mut self) -> String {
        self.correlations = self.correlations.saturating_add(1);
        format!("00000000-0000-4000-8000-{:012x}", self.correlations)
    }

    /// Keeps the line, then applies its change, then queues the events that HubSpot would send.
    fn commit(&mut self, settings: &Settings, line: &Line) -> Result<(), Error> {
        if let Some(journal) = &mut self.journal {
            journal.append(line)?;
        }
        self.replay(settings, line);
        Ok(())
    }

    fn replay(&mut self, settings: &Settings, line: &Line) {
        let change = match line {
            Line::Seeded { .. } => return,
            Line::Wrote { change, .. } | Line::Edited { change } => change,
        };
        let versions = self.records.apply(change);
        match change {
            Change::Create { kind: kind @ (Kind::Email | Kind::Deal), id, source, at_ms, .. } => {
                self.queue_creation(settings, *kind, *id, source, *at_ms);
            }
            Change::Update { kind: Kind::Deal, id, .. } => {
                for version in versions {
                    self.queue_change(settings, *id, &version);
                }
            }
            Change::Create { .. } | Change::Update { .. } => {}
        }
    }

    fn event(&mut self, settings: &Settings, subscription: u64, at_ms: i64) -> Value {
        self.events_made = self.events_made.saturating_add(1);
        json!({"eventId": 3_029_365_000_u64.saturating_add(self.events_made), "subscriptionId": subscription,
               "portalId": settings.portal_id, "appId": settings.app_id, "occurredAt": at_ms,
               "attemptNumber": 0})
    }

    fn queue_creation(&mut self, settings: &Settings, kind: Kind, id: u64, source: &Source, at_ms: i64) {
        let mut event = self.event(settings, 686_628, at_ms);
        add(&mut event, "subscriptionType", json!("object.creation"));
        add(&mut event, "objectTypeId", json!(kind.type_id()));
        add(&mut event, "objectId", json!(id));
        add(&mut event, "changeFlag", json!("CREATED"));
        add(&mut event, "changeSource", json!(source.source_type));
        add(&mut event, "sourceId", json!(source.source_id));
        self.events.push(event);
    }

    fn queue_change(&mut self, settings: &Settings, deal: u64, version: &Version) {
        if !settings.watched_deal_properties.contains(&version.property) {
            return;
        }
        let mut event = self.event(settings, 686_627, version.at_ms);
        add(&mut event, "subscriptionType", json!("deal.propertyChange"));
        add(&mut event, "objectId", json!(deal));
        add(&mut event, "propertyName", json!(version.property));
        add(&mut event, "propertyValue", json!(version.value));
        add(&mut event, "changeSource", json!(version.source_type));
        add(&mut event, "sourceId", json!(version.source_id));
        self.events.push(event);
    }
}

fn add(event: &mut Value, name: &str, value: Value) {
    if let Some(fields) = event.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

impl HubSpot {
    /// A seeded account in memory.
    #[must_use]
    pub fn new(settings: Settings, now_ms: Clock) -> Self {
        let at_ms = now_ms();
        Self::seeded(settings, now_ms, at_ms, None, &[])
    }

    /// A seeded account whose writes outlive the process. The file is made where there is none.
    ///
    /// # Errors
    /// When the file cannot be opened, or holds a whole line that is not ours.
    pub fn open(path: &Path, settings: Settings, now_ms: Clock) -> Result<Self, Error> {
        let (mut journal, lines) = Journal::open(path)?;
        let seeded = lines.iter().find_map(|line| match line {
            Line::Seeded { at_ms } => Some(*at_ms),
            Line::Wrote { .. } | Line::Edited { .. } => None,
        });
        let at_ms = match seeded {
            Some(at_ms) => at_ms,
            None => {
                let at_ms = now_ms();
                journal.append(&Line::Seeded { at_ms })?;
                at_ms
            }
        };
        Ok(Self::seeded(settings, now_ms, at_ms, Some(journal), &lines))
    }

    fn seeded(
        settings: Settings,
        now_ms: Clock,
        at_ms: i64,
        journal: Option<Journal>,
        lines: &[Line],
    ) -> Self {
        let mut state = State::default();
        for change in seed::changes(at_ms) {
            state.records.apply(&change);
        }
        for line in lines {
            if let Line::Wrote { seen, .. } = line {
                state.log.push(Seen::clone(seen));
            }
            state.replay(&settings, line);
        }
        // What was queued before a restart has been delivered or lost by then.
        state.events.clear();
        state.journal = journal;
        Self {
            inner: Arc::new(Inner { settings, now_ms, faults: Faults::default(), state: Mutex::new(state) }),
        }
    }

    /// Serves on a loopback port that the system picks.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start(self) -> Result<Running<Self>, Error> {
        serve::run(self).await
    }

    /// Serves on a loopback listener that the caller bound.
    ///
    /// # Errors
    /// When the listener has no loopback address.
    pub fn start_on(self, listener: tokio::net::TcpListener) -> Result<Running<Self>, Error> {
        serve::run_on(self, listener)
    }

    /// The next request that matches meets this fault; more calls queue up.
    pub fn next(&self, matcher: Matcher, fault: Fault) {
        self.inner.faults.next(matcher, fault);
    }

    /// Each request that matches meets this fault, until `clear_faults`.
    pub fn always(&self, matcher: Matcher, fault: Fault) {
        self.inner.faults.always(matcher, fault);
    }

    /// Forgets all faults that have not been met.
    pub fn clear_faults(&self) {
        self.inner.faults.clear();
    }

    /// How many one-time faults still wait for their request.
    #[must_use]
    pub fn unused_faults(&self) -> usize {
        self.inner.faults.unused()
    }

    /// Applies the requests that met `Fault::LateApply`, and answers how many there were.
    pub async fn apply_late(&self) -> usize {
        serve::apply_late(self).await
    }

    /// Every request since the start, oldest first. After a restart only the writes of before are there.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        lock(&self.inner.state).log.clone()
    }

    /// The requests that changed a record, oldest first.
    #[must_use]
    pub fn writes(&self) -> Vec<Seen> {
        lock(&self.inner.state).log.iter().filter(|seen| seen.write).cloned().collect()
    }

    /// The requests that the product must never make: deletes, merges, searches, edits of people.
    #[must_use]
    pub fn forbidden_calls(&self) -> Vec<Seen> {
        lock(&self.inner.state).log.iter().filter(|seen| seen.forbidden).cloned().collect()
    }

    /// Every value that the deal's properties had, oldest first.
    #[must_use]
    pub fn change_history(&self, deal_id: u64) -> Vec<Version> {
        lock(&self.inner.state)
            .records
            .get(Kind::Deal, deal_id)
            .map(|deal| deal.history.clone())
            .unwrap_or_default()
    }

    /// The value of a property now.
    #[must_use]
    pub fn property(&self, kind: Kind, id: u64, property: &str) -> Option<String> {
        lock(&self.inner.state).records.get(kind, id)?.properties.get(property).cloned()
    }

    /// The ids of the records of a kind that are linked to a deal, oldest first.
    #[must_use]
    pub fn linked_to_deal(&self, deal_id: u64, kind: Kind) -> Vec<u64> {
        let state = lock(&self.inner.state);
        state.records.linked((Kind::Deal, deal_id), kind).into_iter().map(|(id, _)| id).collect()
    }

    /// Takes the webhook events that HubSpot would send by now, our own writes included.
    #[must_use]
    pub fn pending_events(&self) -> Vec<Value> {
        std::mem::take(&mut lock(&self.inner.state).events)
    }

    /// The event of an email that is in the account, as HubSpot sent it when the email was created.
    #[must_use]
    pub fn email_event(&self, email_id: u64) -> Value {
        let mut state = lock(&self.inner.state);
        let at_ms = state.records.get(Kind::Email, email_id).map_or(0, |email| email.created_ms);
        let kept = std::mem::take(&mut state.events);
        state.queue_creation(
            &self.inner.settings,
            Kind::Email,
            email_id,
            &Source::person(seed::USER_SANNE),
            at_ms,
        );
        let made = std::mem::replace(&mut state.events, kept);
        made.into_iter().next().unwrap_or(Value::Null)
    }

    /// A person changes a property of a record in HubSpot's own pages.
    ///
    /// # Errors
    /// When there is no such record, or the journal cannot be written.
    pub fn edit_by_person(&self, kind: Kind, id: u64, property: &str, value: &str) -> Result<(), Error> {
        let at_ms = (self.inner.now_ms)();
        let mut state = lock(&self.inner.state);
        if state.records.get(kind, id).is_none() {
            return Err(Error::NoRecord { kind: kind.plural(), id });
        }
        let properties = BTreeMap::from([(property.to_owned(), value.to_owned())]);
        let source = Source::person(seed::USER_SANNE);
        state.commit(
            &self.inner.settings,
            &Line::Edited { change: Change::Update { kind, id, properties, source, at_ms } },
        )
    }

    /// A mail comes in and HubSpot logs it on the deal. Answers the email's id; its event is in
    /// `pending_events`.
    ///
    /// # Errors
    /// When the deal or the contact is not there, or the journal cannot be written.
    pub fn arrive_email(&self, email: &NewEmail) -> Result<u64, Error> {
        let at_ms = (self.inner.now_ms)();
        let mut state = lock(&self.inner.state);
        if state.records.get(Kind::Deal, email.deal_id).is_none() {
            return Err(Error::NoRecord { kind: Kind::Deal.plural(), id: email.deal_id });
        }
        let Some(contact) = state.records.get(Kind::Contact, email.contact_id) else {
            return Err(Error::NoRecord { kind: Kind::Contact.plural(), id: email.contact_id });
        };
        let from = contact.properties.get("email").cloned().unwrap_or_default();
        let properties = seed::inbound_properties(&email.subject, &email.text, &from, at_ms);
        let id = state.records.next_id();
        let links = [(Kind::Deal, email.deal_id), (Kind::Contact, email.contact_id)]
            .into_iter()
            .filter_map(|(to, id)| Some(Link { to, id, type_id: plain_link(Kind::Email, to)? }))
            .collect();
        let source = Source::person(seed::USER_SANNE);
        let change = Change::Create { kind: Kind::Email, id, properties, links, source, at_ms };
        state.commit(&self.inner.settings, &Line::Edited { change })?;
        Ok(id)
    }

    /// The links of this email stay unseen for so many reads of it, as when the event is faster than the
    /// link.
    pub fn link_email_late(&self, email_id: u64, reads: u32) {
        lock(&self.inner.state).unlinked_reads.insert(email_id, reads);
    }

    /// The account's admin demands that a deal has a property before it enters a stage.
    pub fn require_for_stage(&self, stage_id: &str, property: &str) {
        lock(&self.inner.state).required_for_stage.push((stage_id.to_owned(), property.to_owned()));
    }

    fn rate_headers(&self, reply: Reply, state: &State) -> Reply {
        let max = self.inner.settings.requests_per_window;
        let left = max.saturating_sub(state.window.len());
        let daily_left = DAILY_MAX.saturating_sub(state.calls_today);
        reply
            .with("x-hubspot-ratelimit-max", max.to_string())
            .with("x-hubspot-ratelimit-remaining", left.to_string())
            .with("x-hubspot-ratelimit-interval-milliseconds", WINDOW_MS.to_string())
            .with("x-hubspot-ratelimit-daily", DAILY_MAX.to_string())
            .with("x-hubspot-ratelimit-daily-remaining", daily_left.to_string())
    }

    /// Takes a place in the rolling window; false when it is full.
    fn take_place(&self, state: &mut State) -> bool {
        let now_ms = (self.inner.now_ms)();
        while state.window.front().is_some_and(|first| first.saturating_add(WINDOW_MS) <= now_ms) {
            state.window.pop_front();
        }
        if state.window.len() >= self.inner.settings.requests_per_window {
            return false;
        }
        state.window.push_back(now_ms);
        state.calls_today = state.calls_today.saturating_add(1);
        true
    }
}

impl Vendor for HubSpot {
    const NAME: &'static str = "hubspot";

    fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    fn arrived(&self, request: &Received) -> usize {
        let started_ms = (self.inner.now_ms)();
        let mut state = lock(&self.inner.state);
        let mut seen = Seen::of(request, started_ms);
        // Also when a fault answers, so that no forbidden call hides behind one.
        seen.forbidden = routes::is_forbidden(&request.method, &request.path);
        state.log.push(seen);
        state.log.len().saturating_sub(1)
    }

    async fn answer(&self, request: Received, place: usize) -> Reply {
        let mut state = lock(&self.inner.state);
        let correlation_id = state.correlation_id();
        let reply = if self.take_place(&mut state) {
            routes::answer(&self.inner, &mut state, &request, place, &correlation_id)
        } else {
            refusals::too_many("TEN_SECONDLY_ROLLING", &correlation_id)
        };
        self.rate_headers(reply, &state)
    }

    fn too_many(&self, policy: &str) -> Reply {
        let mut state = lock(&self.inner.state);
        let correlation_id = state.correlation_id();
        let reply = self.rate_headers(refusals::too_many(policy, &correlation_id), &state);
        reply.with("x-hubspot-ratelimit-remaining", "0")
    }

    fn broken(&self, status: u16) -> Reply {
        let correlation_id = lock(&self.inner.state).correlation_id();
        refusals::broken(status, &correlation_id)
    }

    fn answered(&self, place: usize, status: Option<u16>) {
        if let Some(seen) = lock(&self.inner.state).log.get_mut(place) {
            seen.status = status;
        }
    }
}
