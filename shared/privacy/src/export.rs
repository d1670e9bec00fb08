//! A copy of what is held of one person, others blacked out. Must never change a row but the one that says
//! that it was asked for.
use crate::black_out::{BlackOut, Blacked};
use crate::search::{self, Searched};
use crate::{Ask, PrivacyError, open, pack};
use audit_log::AuditLog;
use ledger::{DataRequest, Ledger, RequestKind, RequestStage};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use types::subject::people_in;
use types::{Known, RequestId, Subject, Timestamp};

/// One stored thing about her.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    /// `audit log`, `prompt`, `run`, `outbox`.
    pub(crate) place: &'static str,
    /// Which row.
    pub(crate) row: String,
    /// What it holds, in a word.
    pub(crate) what: String,
    /// When, where the row says so.
    pub(crate) at: Option<Timestamp>,
    /// The row, or its text.
    pub(crate) value: Value,
}

/// An export, packed.
#[derive(Debug, Clone)]
pub struct Exported {
    /// Under which id it was recorded.
    pub request_id: RequestId,
    /// `index.html`, `rows.csv`, `rows.json`, `blacked-out.txt`.
    pub zip: Vec<u8>,
    /// Rows in it.
    pub rows: u64,
    /// Places that were blacked out.
    pub blacked_out: u64,
}

/// Gathers everything about her, blacks others out and packs it; recorded before it is handed over.
///
/// # Errors
/// [`PrivacyError`]; asking again is safe.
pub async fn export(ledger: &Ledger, log: &AuditLog, ask: &Ask) -> Result<Exported, PrivacyError> {
    let ask = &ask.checked()?;
    let mut request = open::new(ledger, ask, RequestKind::Export)?;
    let items = gather(ledger, log, &mut request).await?;
    let known: BTreeSet<Known> = items.iter().flat_map(|item| people_in(&item.value.to_string())).collect();
    let black_out = BlackOut::new(&request.subject, &known);
    let (mut shown, mut blacked) = (Vec::new(), Vec::<Blacked>::new());
    for item in items {
        let (value, out) = black_out.value(&item.value, &format!("{} {}", item.place, item.row));
        blacked.extend(out);
        shown.push(Item { value, ..item });
    }
    let zip = pack::pack(&request, &shown, &blacked)?;
    let rows = count(shown.len());
    request.counts.rows = rows;
    request.counts.runs = count(request.runs.len());
    request.stage = RequestStage::Done;
    request.done_ms = Some(request.opened_ms);
    let entry = request.entry("export_subject", request.opened_ms, json!({ "rows": rows }));
    request.subject = Subject::default();
    request.runs.clear();
    request.because = None;
    ledger.open_request(&request, &entry).await?;
    Ok(Exported { request_id: request.request_id, zip, rows, blacked_out: count(blacked.len()) })
}

async fn gather(
    ledger: &Ledger,
    log: &AuditLog,
    request: &mut DataRequest,
) -> Result<Vec<Item>, PrivacyError> {
    search::from_log(log, request).await?;
    while search::page(ledger, request).await? == Searched::NotYet {}
    search::log_texts(log, request, &|| true).await?;
    let found = search::found(log, request).await?;
    let seqs = log.scope(&found).await?;
    let (mut items, mut seen) = (Vec::new(), BTreeSet::new());
    for text in log.texts_of(&seqs).await? {
        items.push(of_entry("audit log", text.at.to_string(), &text.text));
    }
    for part in log.parts_of(&seqs).await? {
        seen.insert(part.text.clone());
        let row = part.at.get(..8).unwrap_or_default().to_owned();
        items.push(Item {
            place: "prompt",
            row,
            what: "text sent to the model".into(),
            at: None,
            value: json!(part.text),
        });
    }
    for refused in log.look_through_parked().await? {
        if found.parked.contains(&refused.at) {
            let row = refused.at.get(..8).unwrap_or_default().to_owned();
            items.push(of_entry("refused by the audit log", row, &refused.text));
        }
    }
    for run_id in &request.runs {
        for row in ledger.rows_of_run(run_id).await? {
            for text in row.texts.iter().filter(|text| is_content(text)) {
                if seen.insert(text.clone()) {
                    items.push(Item {
                        place: "run",
                        row: format!("{run_id} {}", row.sk),
                        what: what_of(&row.sk).to_owned(),
                        at: None,
                        value: serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
                    });
                }
            }
        }
    }
    let finder = request.subject.finder();
    for row in ledger.look_through_outbox().await? {
        let of_run =
            row.pk.split_once('#').is_some_and(|(id, _)| request.runs.iter().any(|run| run.as_str() == id));
        if of_run || search::is_about(&row, &request.subject, &finder) {
            let body = row.texts.iter().find(|text| is_content(text)).cloned().unwrap_or_default();
            items.push(of_entry("outbox", row.pk, &body));
        }
    }
    Ok(items)
}

fn of_entry(place: &'static str, row: String, text: &str) -> Item {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
    let field = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let at = field("occurred_at").and_then(|at| at.parse().ok());
    Item { place, row, what: field("verb").unwrap_or_else(|| "a person's note".to_owned()), at, value }
}

/// Keys, marks and hashes beside the content of a row.
fn is_content(text: &str) -> bool {
    text.trim_start().starts_with([',', '{', '['])
}

fn what_of(sk: &str) -> &'static str {
    match sk.split('#').next().unwrap_or_default() {
        "run" => "the run: deal, customer, people",
        "msg" => "text sent to the model",
        "decision" => "the model's answer",
        "intent" => "a tool call",
        _ => "a row",
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
