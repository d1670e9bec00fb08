//! Taking one person out of what the halt page shows. Must never change what is halted, nor a permit.
use crate::control::{Control, HaltedBy};
use crate::error::InterlockError;
use crate::receipt::{LastWrite, Receipt};
use crate::update::{STORE_TIMEOUT, Update, Updated};
use crate::view::{LastWrites, RecentAct, RecentItem, recent_of};
use crate::{CONTROL_KEY, Interlock, short};
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::{BTreeSet, HashMap};
use types::{Finder, RunId, Subject};

/// What stands where her name stood.
const ERASED: &str = "erased";
/// How often a change is tried against others'.
const TRIES: u32 = 8;

/// What of her was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "what was not taken out is tried again"]
pub enum Forgotten {
    /// Everything; this many items were changed.
    Done(u64),
    /// Somebody else's changes came first each time, or the log still holds her words.
    NotYet,
}

/// Whom to look for.
struct Wanted<'a> {
    subject: &'a Subject,
    finder: Finder,
    runs: &'a BTreeSet<RunId>,
}

impl Wanted<'_> {
    fn is_run(&self, run_id: &str) -> bool {
        self.runs.iter().any(|run| run.as_str() == run_id)
    }

    fn is_act(&self, act: &RecentAct) -> bool {
        self.is_run(&act.run_id)
            || self.subject.deals.contains(&act.deal_id)
            || self.finder.is_in(&act.what)
            || self.finder.is_in(&act.customer_name)
    }
}

impl Interlock {
    /// Takes a person out of the last acts and customers, out of the reasons that people typed, and out of
    /// receipts. A halt stays what it is: the id of a halted customer is kept until she is resumed.
    ///
    /// # Errors
    /// [`InterlockError`] when the store gave no answer.
    // INVARIANT (I7, I28): what is halted is not touched, only what was said of it.
    pub async fn forget_person(
        &self,
        subject: &Subject,
        runs: &BTreeSet<RunId>,
    ) -> Result<Forgotten, InterlockError> {
        if types::mutant("forgets_halt_page") {
            return Ok(Forgotten::Done(0));
        }
        let wanted = Wanted { subject, finder: subject.finder(), runs };
        let Some(recent) = self.forget_recent(&wanted).await? else { return Ok(Forgotten::NotYet) };
        let Some(reasons) = self.forget_reasons(&wanted).await? else { return Ok(Forgotten::NotYet) };
        let Some(receipts) = self.forget_in_receipts(&wanted).await? else { return Ok(Forgotten::NotYet) };
        Ok(Forgotten::Done(recent.saturating_add(reasons).saturating_add(receipts)))
    }

    /// The item `recent`, if nobody noted another act meanwhile.
    async fn forget_recent(&self, wanted: &Wanted<'_>) -> Result<Option<u64>, InterlockError> {
        for _ in 0..TRIES {
            let Some(item) = self.get("recent", STORE_TIMEOUT).await? else { return Ok(Some(0)) };
            let Some(seen) = item.get("body").and_then(|body| body.as_s().ok()).cloned() else {
                return Ok(Some(0));
            };
            let known = recent_of(&item);
            let kept = without(&known, wanted);
            let json = |item: &RecentItem| {
                serde_json::to_string(item).map_err(|source| InterlockError::Store {
                    operation: "write",
                    source: Some(Box::new(source)),
                })
            };
            let body = json(&kept)?;
            if body == json(&known)? {
                return Ok(Some(0));
            }
            let put = self
                .client
                .put_item()
                .table_name(&self.table)
                .item("pk", AttributeValue::S("recent".to_owned()))
                .item("body", AttributeValue::S(body))
                .condition_expression("body = :seen")
                .expression_attribute_values(":seen", AttributeValue::S(seen))
                .send();
            let silent = InterlockError::Store { operation: "forget in", source: None };
            match tokio::time::timeout(STORE_TIMEOUT, put).await.map_err(|_| silent)? {
                Ok(_) => return Ok(Some(1)),
                Err(error) => {
                    let error = error.into_service_error();
                    if !error.is_conditional_check_failed_exception() {
                        return Err(InterlockError::Store {
                            operation: "forget in",
                            source: Some(Box::new(error)),
                        });
                    }
                }
            }
        }
        Ok(None)
    }

    /// Reasons that people typed into a halt or a flip.
    async fn forget_reasons(&self, wanted: &Wanted<'_>) -> Result<Option<u64>, InterlockError> {
        let mut changed = 0_u64;
        let item = self.get(CONTROL_KEY, STORE_TIMEOUT).await?.ok_or(InterlockError::Absent)?;
        let control = Control::parse(&item)?;
        // Moved to the outbox first, where the erasure reaches it.
        if control.log.iter().any(|entry| wanted.finder.is_in(&entry.because)) {
            return Ok(None);
        }
        // Kept after a resume too, where nothing shows it.
        let last = last_halt(&item)?;
        let global = last.iter().map(|by| ("#halted_by".to_owned(), None, by));
        let customers = control.halted_customers.iter();
        let customers = customers.map(|(id, by)| ("#cust_halted.#key".to_owned(), Some(id.as_str()), by));
        let modes = control.mode_changes.iter();
        let modes = modes.map(|(tool, by)| ("#mode_changes.#key".to_owned(), Some(tool.as_str()), by));
        for (path, key, by) in global.chain(customers).chain(modes) {
            if !wanted.finder.is_in(&by.reason) {
                continue;
            }
            let blank = HaltedBy { reason: short(ERASED), ..by.clone() };
            let mut update =
                Update::new("forget in", &format!("SET {path} = :blank"), &format!("{path} = :seen"))
                    .json(":blank", &blank)?
                    .json(":seen", by)?;
            if let Some(key) = key {
                update = update.name("#key", key);
            }
            match update.send(&self.client, &self.table).await? {
                Updated::Applied(_) => changed = changed.saturating_add(1),
                // Halted or resumed meanwhile: the next sweep looks at what is there then.
                Updated::Refused(_) => return Ok(None),
            }
        }
        Ok(Some(changed))
    }

    async fn forget_in_receipts(&self, wanted: &Wanted<'_>) -> Result<Option<u64>, InterlockError> {
        let mut changed = 0_u64;
        for receipt in self.receipt_book().await?.receipts {
            let blank = blank_receipt(&receipt, wanted);
            if blank == receipt {
                continue;
            }
            if !self.put_receipt(&blank).await? {
                return Ok(None);
            }
            changed = changed.saturating_add(1);
        }
        Ok(Some(changed))
    }
}

/// Who halted everything last, whether or not it still is.
fn last_halt(control: &HashMap<String, AttributeValue>) -> Result<Option<HaltedBy>, InterlockError> {
    let text = control.get("halted_by").and_then(|by| by.as_s().ok());
    let malformed = |_| InterlockError::Malformed { attribute: "halted_by" };
    text.map(|text| serde_json::from_str(text).map_err(malformed)).transpose()
}

fn without(known: &RecentItem, wanted: &Wanted<'_>) -> RecentItem {
    let mut kept = known.clone();
    kept.recent.last_act = kept.recent.last_act.filter(|act| !wanted.is_act(act));
    kept.recent.customers.retain(|customer| {
        !wanted.subject.customers.contains(customer.customer_id.as_str())
            && !wanted.finder.is_in(&customer.name)
            && !wanted.is_act(&customer.last_act)
    });
    let LastWrites { last, customers } = kept.writes;
    kept.writes = LastWrites {
        last: last.map(|act| blank_act(act, wanted)),
        customers: customers.into_iter().map(|(id, act)| (id, blank_act(act, wanted))).collect(),
    };
    kept
}

/// A write that receipts rest on keeps when it was and of which run.
fn blank_act(act: RecentAct, wanted: &Wanted<'_>) -> RecentAct {
    if !wanted.is_act(&act) {
        return act;
    }
    let erased = || ERASED.to_owned();
    RecentAct { deal_id: erased(), what: erased(), customer_name: erased(), ..act }
}

fn blank_receipt(receipt: &Receipt, wanted: &Wanted<'_>) -> Receipt {
    let mut blank = receipt.clone();
    if wanted.finder.is_in(&blank.because) {
        ERASED.clone_into(&mut blank.because);
    }
    for write in &mut blank.writes {
        // One without an end is still to be looked up by its deal.
        if write.end.is_some() && wanted.is_run(write.run_id.as_str()) {
            ERASED.clone_into(&mut write.target);
        }
    }
    let blank_write = |write: LastWrite| {
        if wanted.is_run(&write.run_id) { LastWrite { target: ERASED.to_owned(), ..write } } else { write }
    };
    blank.last_write_before = blank.last_write_before.map(blank_write);
    blank.last_write_after = blank.last_write_after.map(blank_write);
    blank
}
