//! Looking: the check at the top of every step, and what the pages show. Must never change anything but
//! read-repair.
use crate::control::{Control, State};
use crate::error::InterlockError;
use crate::people::People;
use crate::proof::Go;
use crate::update::STORE_TIMEOUT;
use crate::{Bound, CONTROL_KEY, Interlock, Press, in_force};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use kill_switch::{Check, Flags, HaltedScope};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use types::{Actor, CustomerId, Reason, Scope};

/// How long a page waits for one store, per try.
const PAGE_TIMEOUT: Duration = Duration::from_millis(250);

/// Where a run stands, just now.
#[derive(Debug)]
#[must_use = "a step that does not look at where it stands must not go on"]
pub enum Standing {
    /// Both stores said yes.
    Go(Go),
    /// A person, a cap or a flag stopped this scope: the run closes (or is held, if it never began).
    Halted {
        /// Everything, or the run's customer.
        scope: Scope,
        /// Why, as a code.
        reason: Reason,
    },
    /// The agent was halted and resumed since the run began: the run closes.
    OldEpoch,
    /// A switch gave no usable answer: nothing is written, the run looks again.
    Parked(Reason),
}

/// Last act and last customers, best effort, for the halt page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    /// The last tool call.
    pub last_act: Option<RecentAct>,
    /// The customers touched last, newest first.
    pub customers: Vec<RecentCustomer>,
}

/// The last tool call, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentAct {
    /// When, in ms since 1970.
    pub at_ms: i64,
    /// The tool.
    pub tool: String,
    /// The deal.
    pub deal_id: String,
    /// What it did or would have done, in a few words ("set stage Negotiation → Closed Lost").
    pub what: String,
    /// Did it write, or would it have?
    pub wrote: bool,
    /// The customer's name.
    pub customer_name: String,
    /// The run.
    pub run_id: String,
}

/// One customer, for the list on the halt page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentCustomer {
    /// Her id.
    pub customer_id: CustomerId,
    /// Her name.
    pub name: String,
    /// Her last tool call.
    pub last_act: RecentAct,
}

/// What both stores said to a page, each within its own deadline. A silent store is `None`.
#[derive(Debug)]
pub struct View {
    /// When the answers were in, in ms since 1970.
    pub at_ms: i64,
    /// The control item; `None` when the store was silent, `Some(Err)` when it answered something unusable.
    pub control: Option<Result<Control, InterlockError>>,
    /// The flags.
    pub flags: Option<Flags>,
    /// People and their keys; `None` when the store was silent.
    pub people: Option<People>,
    /// Last act and customers; empty when unknown.
    pub recent: Recent,
}

impl Interlock {
    /// The check at the top of every step and before every act: control item and flags, in parallel.
    ///
    /// `bound` is absent until step 1 has fixed it; `customer` is absent in step 0 only. A halt that only the
    /// flags know is copied into the control item (read-repair), if nobody re-armed meanwhile.
    // INVARIANT (I5): a store that is missing, silent or unreadable stops the run.
    pub async fn check(&self, bound: Option<Bound>, customer: Option<&CustomerId>) -> Standing {
        let (control, flags) =
            tokio::join!(self.control(), self.switch.check(customer.map(CustomerId::as_str)));
        let control = match control {
            Ok(control) => control,
            // FAIL-CLOSED: a flag that says "halted" is believed even when the control item is silent.
            Err(error) => {
                return match flags {
                    Check::Halted(which) => halted_by_flag(which, customer),
                    Check::Clear(_) | Check::Disarmed | Check::Unreachable => {
                        Standing::Parked(error.reason())
                    }
                };
            }
        };
        if let Some((scope, _)) = in_force(&control, customer) {
            let reason = match scope {
                Scope::Global => Reason::HaltedGlobal,
                Scope::Customer(_) => Reason::HaltedCustomer,
            };
            return Standing::Halted { scope, reason };
        }
        let generation = customer.map(|id| control.generation(id)).unwrap_or_default();
        if let Some(bound) = bound
            && (bound.epoch != control.epoch || (customer.is_some() && bound.generation != generation))
        {
            return Standing::OldEpoch;
        }
        match flags {
            Check::Halted(which) => self.repair(&control, which, customer).await,
            Check::Clear(clear) if clear.epoch() == control.epoch.0 => Standing::Go(Go {
                epoch: control.epoch,
                generation,
                customer: customer.cloned(),
                modes: control.modes,
            }),
            Check::Clear(_) | Check::Disarmed => Standing::Parked(Reason::Disarmed),
            Check::Unreachable => Standing::Parked(Reason::SwitchUnreachable),
        }
    }

    /// Copies a halt that only the flags have into the control item, unless it moved on since it was read.
    // INVARIANT (I7): what a person resumed is not halted again on a flag from before.
    async fn repair(&self, control: &Control, which: HaltedScope, customer: Option<&CustomerId>) -> Standing {
        let standing = halted_by_flag(which, customer);
        // Both stores were read at once, so the flag may be older than the control item, and a resume may lie
        // between them. A flag that stands after the item was read is no older than its epoch.
        let again = if types::mutant("repair_at_first_sight") {
            Some(which)
        } else {
            match self.switch.check(customer.map(CustomerId::as_str)).await {
                Check::Halted(again) => Some(again),
                Check::Clear(_) | Check::Disarmed | Check::Unreachable => None,
            }
        };
        if let Some(Standing::Halted { scope, .. }) = &again.map(|again| halted_by_flag(again, customer)) {
            let press = Press {
                actor: Actor::System("flag".to_owned()),
                source: "flag".to_owned(),
                because: "flag_set".to_owned(),
            };
            let copied = if types::mutant("repair_without_epoch") {
                self.latch(scope, &press, &self.fresh_id()).await
            } else {
                self.latch_if(scope, &press, control).await
            };
            if let Err(error) = copied {
                tracing::warn!(%error, "a flag could not be copied into the control item; it still stops this run");
            }
        }
        standing
    }

    /// The control item, read consistently.
    ///
    /// # Errors
    /// [`InterlockError`] when the store is silent, the item absent or unreadable.
    pub async fn control(&self) -> Result<Control, InterlockError> {
        let item = self.get(CONTROL_KEY, STORE_TIMEOUT).await?.ok_or(InterlockError::Absent)?;
        Control::parse(&item)
    }

    pub(crate) async fn get(
        &self,
        key: &str,
        timeout: Duration,
    ) -> Result<Option<HashMap<String, AttributeValue>>, InterlockError> {
        let request = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(key.to_owned()))
            .consistent_read(true)
            .send();
        let silent = InterlockError::Store { operation: "read", source: None };
        let output = tokio::time::timeout(timeout, Box::pin(request)).await.map_err(|_| silent)?;
        let output = output.map_err(|error| InterlockError::Store {
            operation: "read",
            source: Some(Box::new(error.into_service_error())),
        })?;
        Ok(output.item)
    }

    /// What both stores say, for a page: in parallel, each with a deadline of its own and one retry.
    pub async fn view(&self) -> View {
        let read_control = async {
            match self.control_table().await {
                Some(items) => Some(items),
                None => self.control_table().await,
            }
        };
        let read_flags = async {
            match self.switch.read(&[]).await {
                Some(flags) => Some(flags),
                None => self.switch.read(&[]).await,
            }
        };
        let (items, flags) = tokio::join!(read_control, read_flags);
        if types::mutant("look_repairs") {
            drop(self.check(None, None).await);
        }
        let item = |key: &str| items.as_ref().and_then(|items| items.get(key));
        View {
            at_ms: self.clock.now_ms(),
            control: items
                .as_ref()
                .map(|_| item(CONTROL_KEY).ok_or(InterlockError::Absent).and_then(Control::parse)),
            flags,
            people: items.as_ref().map(|_| item("people").map(People::parse).unwrap_or_default()),
            recent: item("recent").map(Recent::parse).unwrap_or_default(),
        }
    }

    /// The three items of the control table in one consistent read.
    async fn control_table(&self) -> Option<HashMap<String, HashMap<String, AttributeValue>>> {
        let keys = [CONTROL_KEY, "people", "recent"]
            .map(|key| HashMap::from([("pk".to_owned(), AttributeValue::S(key.to_owned()))]));
        let wanted = KeysAndAttributes::builder()
            .set_keys(Some(keys.to_vec()))
            .consistent_read(!types::mutant("H6g"))
            .build()
            .ok()?;
        let request = self.client.batch_get_item().request_items(&self.table, wanted).send();
        let output = tokio::time::timeout(PAGE_TIMEOUT, request).await.ok()?.ok()?;
        if output.unprocessed_keys.as_ref().is_some_and(|left| !left.is_empty()) {
            return None;
        }
        let items = output.responses?.remove(&self.table).unwrap_or_default();
        let keyed = |item: HashMap<String, AttributeValue>| {
            let key = item.get("pk").and_then(|pk| pk.as_s().ok()).cloned()?;
            Some((key, item))
        };
        Some(items.into_iter().filter_map(keyed).collect())
    }

    /// Remembers the last act for the halt page, and the last write for receipts. Best effort: nothing waits
    /// for it and nothing depends on it.
    pub async fn note_recent(&self, customer: &CustomerId, act: &RecentAct) {
        let RecentItem { recent, mut writes } = match self.get("recent", STORE_TIMEOUT).await {
            Ok(item) => item.as_ref().map(recent_of).unwrap_or_default(),
            Err(_) => return,
        };
        if act.wrote {
            writes.note(customer, act);
        }
        let newest = RecentCustomer {
            customer_id: customer.clone(),
            name: act.customer_name.clone(),
            last_act: act.clone(),
        };
        let others = recent.customers.into_iter().filter(|known| known.customer_id != *customer);
        let customers = std::iter::once(newest).chain(others).take(10).collect();
        let next = RecentItem { recent: Recent { last_act: Some(act.clone()), customers }, writes };
        let Ok(body) = serde_json::to_string(&next) else { return };
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", AttributeValue::S("recent".to_owned()))
            .item("body", AttributeValue::S(body))
            .send();
        if !matches!(tokio::time::timeout(STORE_TIMEOUT, put).await, Ok(Ok(_))) {
            tracing::debug!("the last act was not noted for the halt page");
        }
    }
}

impl Recent {
    fn parse(item: &HashMap<String, AttributeValue>) -> Self {
        recent_of(item).recent
    }
}

/// The item `recent`: what the halt page shows, and the last writes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct RecentItem {
    #[serde(flatten)]
    pub(crate) recent: Recent,
    #[serde(default)]
    pub(crate) writes: LastWrites,
}

/// The last confirmed write of all, and of the customers that were written to last.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct LastWrites {
    pub(crate) last: Option<RecentAct>,
    pub(crate) customers: BTreeMap<CustomerId, RecentAct>,
}

impl LastWrites {
    /// How many customers are remembered.
    const CUSTOMERS_MAX: usize = 50;

    fn note(&mut self, customer: &CustomerId, act: &RecentAct) {
        self.last = Some(act.clone());
        self.customers.insert(customer.clone(), act.clone());
        if self.customers.len() > Self::CUSTOMERS_MAX {
            let oldest = self.customers.iter().min_by_key(|(_, act)| act.at_ms).map(|(id, _)| id.clone());
            self.customers.retain(|id, _| Some(id) != oldest.as_ref());
        }
    }
}

pub(crate) fn recent_of(item: &HashMap<String, AttributeValue>) -> RecentItem {
    let body = item.get("body").and_then(|body| body.as_s().ok());
    body.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

impl Control {
    /// Is this state armed?
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.state == State::Armed
    }
}

fn halted_by_flag(which: HaltedScope, customer: Option<&CustomerId>) -> Standing {
    match (which, customer) {
        (HaltedScope::Customer, Some(id)) => {
            Standing::Halted { scope: Scope::Customer(id.clone()), reason: Reason::HaltedCustomer }
        }
        (HaltedScope::Global | HaltedScope::Customer, _) => {
            Standing::Halted { scope: Scope::Global, reason: Reason::HaltedGlobal }
        }
    }
}
