//! Looking for one person in the tables and in the log. Must never miss a run that names her in any text.
use crate::PrivacyError;
use audit_log::{AuditLog, Found};
use ledger::{DataRequest, Ledger, SecondLook, StoredRow};
use serde_json::Value;
use types::subject::people_in;
use types::{Finder, RunId, Subject};

/// Texts of the log that are read at once.
const PAGE: i64 = 1_000;
/// How often the search begins anew because more was learned of her.
const ROUNDS_MAX: u32 = 4;

/// Is the search of the tables through?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Searched {
    Through,
    NotYet,
}

/// What her rows say of her: runs by her ids, and the names and addresses that records carry beside them.
pub(crate) async fn from_log(log: &AuditLog, request: &mut DataRequest) -> Result<(), PrivacyError> {
    let seqs = log.scope(&Found::of(&request.subject)).await?;
    for text in log.texts_of(&seqs).await? {
        request.subject.learn(&people_in(&text.text));
    }
    for part in log.parts_of(&seqs).await? {
        request.subject.learn(&people_in(&part.text));
    }
    let runs = log.runs_of(&seqs).await?;
    request.runs.extend(runs.into_iter().filter_map(|id| RunId::new(id).ok()));
    Ok(())
}

/// One page of the tables. The search begins anew when it is through and has learned more of her.
pub(crate) async fn page(ledger: &Ledger, request: &mut DataRequest) -> Result<Searched, PrivacyError> {
    let finder = request.subject.finder();
    let (rows, next) = ledger.look_through(request.cursor.as_ref()).await?;
    let mut grew = false;
    let now_ms = ledger.clock().now_ms();
    for row in &rows {
        // FAIL-CLOSED: whoever is at work may hold what it read of her, and store it after this look.
        let in_hand = row.in_hand_until_ms.filter(|until_ms| *until_ms > now_ms);
        if let (Some(until_ms), true) = (in_hand, request.second_look != SecondLook::Taken) {
            request.second_look = SecondLook::Due;
            request.wait_until_ms = request.wait_until_ms.max(until_ms);
        }
        if !is_about(row, &request.subject, &finder) {
            continue;
        }
        request.runs.extend(row.run_id());
        for text in &row.texts {
            grew |= request.subject.learn(&people_in(text));
        }
    }
    request.cursor = next;
    if request.cursor.is_none() {
        for run_id in request.runs.clone() {
            for row in ledger.rows_of_run(&run_id).await? {
                for text in &row.texts {
                    grew |= request.subject.learn(&people_in(text));
                }
            }
        }
    }
    // What was learned on any page may be in the pages before it.
    if grew && request.rounds < ROUNDS_MAX {
        request.rounds = request.rounds.saturating_add(1);
        request.cursor = None;
        return Ok(Searched::NotYet);
    }
    Ok(if request.cursor.is_none() { Searched::Through } else { Searched::NotYet })
}

/// Is the row about her: by the ids of its run, by a record of hers, or by a text?
pub(crate) fn is_about(row: &StoredRow, subject: &Subject, finder: &Finder) -> bool {
    // A request's own row goes by itself once it is done.
    if row.pk == "requests" {
        return false;
    }
    row.texts.iter().any(|text| {
        finder.is_in(text)
            || people_in(text).iter().any(|known| subject.is_known(known))
            || serde_json::from_str(text).is_ok_and(|body| names(&body, subject))
    })
}

/// Does the body of a run or of an entry name her among its people, or her deal, or her customer?
fn names(body: &Value, subject: &Subject) -> bool {
    let deal = body.get("deal").unwrap_or(body);
    let listed = ["subjects", "contact_ids"].iter().filter_map(|name| deal.get(name)?.as_array()).flatten();
    let text = |name: &str| deal.get(name).and_then(Value::as_str).unwrap_or_default();
    let target =
        |name: &str| body.pointer(&format!("/target/{name}")).and_then(Value::as_str).unwrap_or_default();
    let of_target = match target("kind") {
        "deal" => subject.deals.contains(target("id")),
        "contact" => subject.contacts.contains(target("id")),
        "customer" => subject.customers.contains(target("id")),
        _ => false,
    };
    listed.filter_map(Value::as_str).any(|person| subject.is(person))
        || subject.deals.contains(text("deal_id"))
        || subject.customers.contains(text("customer_id"))
        || of_target
}

/// Looks through the texts of the log from where the request stands until `more()` says no. True when
/// through.
pub(crate) async fn log_texts(
    log: &AuditLog,
    request: &mut DataRequest,
    more: &(dyn Fn() -> bool + Sync),
) -> Result<bool, PrivacyError> {
    let finder = request.subject.finder();
    if finder.is_empty() {
        return Ok(true);
    }
    loop {
        let texts = log.look_through(request.searched_seq, PAGE).await?;
        let Some(last) = texts.last().map(|text| text.at) else { break };
        request.found.extend(texts.iter().filter(|text| finder.is_in(&text.text)).map(|text| text.at));
        request.searched_seq = last;
        if !more() {
            return Ok(false);
        }
    }
    loop {
        let parts = log.look_through_parts(&request.searched_part, PAGE).await?;
        let Some(last) = parts.last().map(|part| part.at.clone()) else { return Ok(true) };
        let hits: Vec<String> =
            parts.into_iter().filter(|part| finder.is_in(&part.text)).map(|part| part.at).collect();
        if !hits.is_empty() {
            request.found.extend(log.entries_of_parts(&hits).await?);
        }
        request.searched_part = last;
        if !more() {
            return Ok(false);
        }
    }
}

/// Everything that the request knows, as the log is asked for it.
pub(crate) async fn found(log: &AuditLog, request: &DataRequest) -> Result<Found, PrivacyError> {
    let finder = request.subject.finder();
    let mut found = Found::of(&request.subject);
    found.seqs = request.found.iter().copied().collect();
    found.runs = request.runs.iter().map(ToString::to_string).collect();
    for row in log.look_through_parked().await? {
        let named = serde_json::from_str(&row.text).is_ok_and(|body| names(&body, &request.subject));
        if named || finder.is_in(&row.text) {
            found.parked.push(row.at);
        }
    }
    Ok(found)
}
