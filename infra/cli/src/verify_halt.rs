//! `holdfast verify-halt`: did the agent write after it was quiet? Asked of the CRM's own change history.
//! Must never say "clean" of what it could not read, nor change anything.
use crate::arguments::VerifyHalt;
use crate::error::{CliError, causes};
use crate::install::Install;
use crate::report::{Line, Report, Status, Three};
use audit_log::{Query, Row};
use config::SecretName;
use crm::{DealReader, HubSpot, HubSpotConfig, NoteReader, RecordId, TaskReader, marker_of};
use interlock::{Made, Receipt};
use serde::Serialize;
use serde_json::json;
use sight::moment;
use std::collections::BTreeSet;
use std::time::Duration;
use types::{DealId, EntryState, IntentId, Mode, Scope, Timestamp};
use web::{Lang, Zone};

/// How far HubSpot's clock and ours may stand apart (ms): nearer than this to either end of the halt, a
/// write's side cannot be told.
const SKEW_MS: i64 = 5_000;
/// How long before the press an audit row may lie whose deal is looked at (ms).
const AROUND_MS: i64 = 24 * 60 * 60 * 1_000;
/// Rows of the audit log that are read.
const ROWS_MAX: usize = 10_000;
const PAGE: u32 = 1_000;
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The time in which no agent write may lie, skew taken off at both ends (ms since 1970).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    after_ms: i64,
    /// Absent: the halt is still in force.
    before_ms: Option<i64>,
}

impl Window {
    fn of(quiet_ms: i64, resumed_ms: Option<i64>) -> Self {
        Self {
            after_ms: quiet_ms.saturating_add(SKEW_MS),
            before_ms: resumed_ms.map(|at| at.saturating_sub(SKEW_MS)),
        }
    }

    fn holds(self, at: Timestamp) -> bool {
        let at_ms = at.as_millisecond();
        at_ms > self.after_ms && self.before_ms.is_none_or(|before| at_ms < before)
    }

    fn is_empty(self) -> bool {
        self.before_ms.is_some_and(|before| before <= self.after_ms.saturating_add(1))
    }
}

/// A write that should not be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Found {
    deal_id: String,
    what: String,
    at: Timestamp,
    /// `hubspot` or `audit_log`.
    seen_in: &'static str,
}

/// What was looked at.
#[derive(Debug, Default, Serialize)]
struct Checked {
    audit_rows: usize,
    deals: usize,
    stage_changes: usize,
    notes: usize,
    tasks: usize,
    found: Vec<Found>,
    /// What could not be read, and why.
    unread: Vec<String>,
}

/// Reads the receipt, the audit rows around it, and the CRM.
pub(crate) async fn run(install: &Install, arguments: &VerifyHalt) -> Result<Report, CliError> {
    let control = |source| CliError::Control { operation: "read the receipts and the control item", source };
    let receipt = match &arguments.receipt {
        Some(id) => install.interlock.receipt(id).await.map_err(control)?,
        None => install.interlock.receipts(1).await.map_err(control)?.into_iter().next(),
    };
    let Some(mut receipt) = receipt else {
        return Ok(Report::failed(Three::new(
            "nothing was verified",
            "there is no such receipt: they are kept for 90 days",
            "holdfast verify-halt --last",
        )));
    };
    let mut checked = Checked::default();
    let now_there = install.interlock.control().await.map_err(control)?;
    receipt.note_resume(&now_there, &now_there.log);
    let rows = rows(install, &mut receipt, &mut checked).await;
    let zone = install.zone().await;
    let now = install.clock.now();
    let Some(quiet_ms) = receipt.quiet_ms else { return Ok(not_quiet(&receipt, &zone, now)) };
    let window = Window::of(quiet_ms, receipt.resumed_ms);
    checked.found.extend(rows.iter().filter_map(|row| written(row, window)));
    let deals = deals_of(&receipt, &rows);
    if let Err(why) = look(install, &deals, window, &mut checked).await {
        checked.unread.push(why);
    }
    Ok(report(&receipt, window, &checked, &zone, now))
}

/// The audit rows around the halt, newest first; they also tell when it was resumed, if the receipt does not.
async fn rows(install: &Install, receipt: &mut Receipt, checked: &mut Checked) -> Vec<Row> {
    match read_rows(install, receipt).await {
        Ok(rows) => {
            checked.audit_rows = rows.len();
            if rows.len() >= ROWS_MAX {
                checked.unread.push(format!("the audit log beyond its {ROWS_MAX} newest rows"));
            }
            rows
        }
        Err(error) => {
            checked.unread.push(format!("the audit log: {error}: {}", causes(&error)));
            Vec::new()
        }
    }
}

async fn read_rows(install: &Install, receipt: &mut Receipt) -> Result<Vec<Row>, CliError> {
    let failed = |source| CliError::AuditLog { operation: "read the audit log", source };
    let log = install.audit_log().await?;
    if receipt.resumed_ms.is_none() {
        let target = match &receipt.scope {
            Scope::Global => "agent:global".to_owned(),
            Scope::Customer(id) => format!("customer:{id}"),
        };
        let resumes = Query {
            verb: Some("resume".to_owned()),
            text: Some(target),
            decisions: vec![EntryState::Applied],
            from: Some(moment(receipt.pressed_ms)),
            limit: PAGE,
            ..Query::default()
        };
        let resumes = log.search(&resumes).await.map_err(failed)?.rows;
        receipt.resumed_ms = resumes.iter().map(|row| row.occurred_at.as_millisecond()).min();
    }
    let customer_id = match &receipt.scope {
        Scope::Global => None,
        Scope::Customer(id) => Some(id.to_string()),
    };
    let mut query = Query {
        customer_id,
        from: Some(moment(receipt.pressed_ms.saturating_sub(AROUND_MS))),
        until: receipt.resumed_ms.map(moment),
        limit: PAGE,
        ..Query::default()
    };
    let mut rows = Vec::new();
    loop {
        let page = log.search(&query).await.map_err(failed)?;
        rows.extend(page.rows);
        query.cursor = page.next;
        if query.cursor.is_none() || rows.len() >= ROWS_MAX {
            return Ok(rows);
        }
    }
}

/// An act that the log itself says was begun while everything was quiet.
fn written(row: &Row, window: Window) -> Option<Found> {
    let sent = matches!(row.decision, EntryState::Opened | EntryState::Applied | EntryState::Unknown);
    let agent = row.actor.starts_with("agent:") && row.mode == Some(Mode::Live);
    (sent && agent && window.holds(row.occurred_at)).then(|| Found {
        deal_id: row.target_id.clone().unwrap_or_default(),
        what: format!("{} ({})", row.verb, row.decision.code()),
        at: row.occurred_at,
        seen_in: "audit_log",
    })
}

/// Every deal that a permit of the halt or an audit row around it names.
fn deals_of(receipt: &Receipt, rows: &[Row]) -> BTreeSet<DealId> {
    let of_permits = receipt.writes.iter().map(|write| write.target.as_str());
    let of_rows = rows.iter().filter_map(|row| row.target_id.as_deref());
    let before = receipt.last_write_before.iter().map(|last| last.target.as_str());
    let deals = of_permits.chain(of_rows).chain(before).filter_map(|target| target.strip_prefix("deal:"));
    deals.filter_map(|id| DealId::new(id).ok()).collect()
}

/// The CRM's readers, and whose writes are ours.
struct Crm {
    deals: DealReader,
    notes: NoteReader,
    tasks: TaskReader,
    app_id: u64,
    /// How every marker of ours begins.
    marker: String,
}

async fn crm(install: &Install) -> Result<Crm, String> {
    let said = |error: &dyn std::error::Error| format!("HubSpot: {error}: {}", causes(error));
    let token = install.secrets.get(SecretName::HubspotToken).await.map_err(|error| said(&error))?;
    let config = HubSpotConfig {
        base_url: install.settings.hubspot_base_url.clone(),
        api_version: install.settings.hubspot_api_version.clone(),
        token: crm::Secret::new(token.expose()),
        connect_timeout: CONNECT_WITHIN,
        request_timeout: ANSWER_WITHIN,
    };
    let hubspot = HubSpot::new(&config).map_err(|error| said(&error))?;
    let set = install.settings.hubspot_app_id.as_deref().and_then(|id| id.parse().ok());
    let app_id = match set {
        Some(app_id) => Some(app_id),
        None => hubspot.token_reader().token_info().await.map_err(|error| said(&error))?.app_id,
    };
    let any = IntentId::new("i-").map_err(|error| error.to_string())?;
    Ok(Crm {
        deals: hubspot.deal_reader(),
        notes: hubspot.note_reader(),
        tasks: hubspot.task_reader(),
        // FAIL-CLOSED: without our app's id nobody can tell whose a change of stage is.
        app_id: app_id.ok_or("HubSpot: our own app's id is not known; set HUBSPOT_APP_ID")?,
        marker: marker_of(&any).trim_end_matches(']').to_owned(),
    })
}

/// Looks at every deal; one that cannot be read does not keep the others from it.
async fn look(
    install: &Install,
    deals: &BTreeSet<DealId>,
    window: Window,
    checked: &mut Checked,
) -> Result<(), String> {
    if deals.is_empty() {
        return Ok(());
    }
    let crm = crm(install).await?;
    for deal_id in deals {
        match look_at(&crm, deal_id, window, checked).await {
            Ok(()) => checked.deals = checked.deals.saturating_add(1),
            Err(error) => {
                checked.unread.push(format!("HubSpot, deal {deal_id}: {error}: {}", causes(&error)))
            }
        }
    }
    Ok(())
}

async fn look_at(
    crm: &Crm,
    deal_id: &DealId,
    window: Window,
    checked: &mut Checked,
) -> Result<(), crm::CrmError> {
    let found =
        |what: String, at: Timestamp| Found { deal_id: deal_id.to_string(), what, at, seen_in: "hubspot" };
    for change in crm.deals.get_deal(deal_id).await?.stage_history {
        checked.stage_changes = checked.stage_changes.saturating_add(1);
        match change.at {
            Some(at) if change.is_by_app(crm.app_id) && window.holds(at) => {
                checked.found.push(found(format!("stage set to {}", change.stage), at));
            }
            Some(_) => {}
            None => checked.unread.push(format!("HubSpot, deal {deal_id}: a change of stage without a time")),
        }
    }
    for id in crm.notes.note_ids(deal_id).await? {
        let note = crm.notes.get_note(id).await?;
        checked.notes = checked.notes.saturating_add(1);
        let ours = crm.is_ours(note.source_id.as_deref(), note.body_html.as_deref());
        record(checked, deal_id, ("note", id), ours, note.created_at, window);
    }
    for id in crm.tasks.task_ids(deal_id).await? {
        let task = crm.tasks.get_task(id).await?;
        checked.tasks = checked.tasks.saturating_add(1);
        let ours = crm.is_ours(task.source_id.as_deref(), task.body_html.as_deref());
        record(checked, deal_id, ("task", id), ours, task.created_at, window);
    }
    Ok(())
}

fn record(
    checked: &mut Checked,
    deal_id: &DealId,
    (kind, id): (&str, RecordId),
    ours: bool,
    created_at: Option<Timestamp>,
    window: Window,
) {
    let what = format!("{kind} {id}");
    match created_at {
        Some(at) if ours && window.holds(at) => {
            checked.found.push(Found { deal_id: deal_id.to_string(), what, at, seen_in: "hubspot" });
        }
        Some(_) => {}
        None if ours => {
            checked.unread.push(format!("HubSpot, deal {deal_id}: {what} has no time of creation"))
        }
        None => {}
    }
}

impl Crm {
    /// Our app made it, or it carries our marker.
    fn is_ours(&self, source_id: Option<&str>, body: Option<&str>) -> bool {
        source_id == Some(self.app_id.to_string().as_str())
            || body.is_some_and(|body| body.contains(&self.marker))
    }
}

fn not_quiet(receipt: &Receipt, zone: &Zone, now: Timestamp) -> Report {
    let open = receipt.writes.iter().filter(|write| write.end.is_none()).count();
    let json = json!({"verdict": "not_quiet", "receipt": receipt});
    Report::done(vec![about(receipt, zone, now)], json).but(Three::new(
        "this halt is not quiet yet, so nothing can be said of what came after",
        format!("writes without an end: {open}; the sweep follows them every minute"),
        format!("holdfast verify-halt --receipt {}", receipt.id),
    ))
}

fn about(receipt: &Receipt, zone: &Zone, now: Timestamp) -> Line {
    let at = zone.text(moment(receipt.pressed_ms), now, Lang::En);
    let text =
        format!("{}: {} halted {} at {at} ({})", receipt.id, receipt.actor, receipt.scope, receipt.source);
    Line::item(Status::Halt, "receipt", text)
}

fn report(receipt: &Receipt, window: Window, checked: &Checked, zone: &Zone, now: Timestamp) -> Report {
    let time = |at_ms: i64| zone.text(moment(at_ms), now, Lang::En);
    let quiet = receipt.quiet_ms.map_or_else(String::new, time);
    let latest = if receipt.quiet_exact { "" } else { " at the latest" };
    let until =
        receipt.resumed_ms.map_or_else(|| "still halted".to_owned(), |at| format!("resumed {}", time(at)));
    let mut lines = vec![
        about(receipt, zone, now),
        Line::item(Status::Ok, "quiet", format!("since {quiet}{latest}; {until}, {}", zone.city())),
        Line::item(Status::Ok, "audit log", format!("{} rows around it", checked.audit_rows)),
        Line::item(
            Status::Ok,
            "HubSpot",
            format!(
                "{} deals: {} stages, {} notes, {} tasks in their histories",
                checked.deals, checked.stage_changes, checked.notes, checked.tasks
            ),
        ),
    ];
    if receipt.made == Made::FromLog {
        let text = "made from the log, its own got lost: writes that ended within a minute are not listed";
        lines.push(Line::item(Status::Warn, "receipt", text));
    }
    if window.is_empty() {
        lines.push(Line::item(
            Status::Warn,
            "too short",
            "resumed so soon that the clocks' tolerance covers it all",
        ));
    }
    lines.extend(checked.unread.iter().map(|what| Line::item(Status::Warn, "not read", what.clone())));
    lines.extend(checked.found.iter().map(|found| {
        let text = format!("deal {}: {} at {}", found.deal_id, found.what, time(found.at.as_millisecond()));
        Line::item(Status::Fail, "write", text)
    }));
    lines.push(Line::text(format!(
        "HubSpot's clock and ours may differ by {} seconds: nearer than that to quiet or to the resume, a \
         write is not counted.",
        SKEW_MS.div_euclid(1_000)
    )));
    let verdict = match (checked.found.is_empty(), checked.unread.is_empty()) {
        (false, _) => "write_found",
        (true, false) => "not_verified",
        (true, true) => "clean",
    };
    let json = json!({"verdict": verdict, "skew_ms": SKEW_MS, "checked": checked, "receipt": receipt});
    let report = Report::done(lines, json);
    match (checked.found.len(), checked.unread.len()) {
        (0, 0) => report,
        (0, unread) => report.but(Three::new(
            "no write was found, but not everything could be read: this is no proof",
            format!("could not be read: {unread}"),
            format!("holdfast verify-halt --receipt {}", receipt.id),
        )),
        (found, _) => report.but(Three::new(
            "the agent wrote while it was halted",
            format!("writes after quiet and before the resume: {found}"),
            "revoke the app's token in HubSpot, then: holdfast why deal ID",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tolerance_lies_at_both_ends() {
        let window = Window::of(100_000, Some(200_000));
        for (at_ms, inside) in
            [(104_999, false), (105_000, false), (105_001, true), (194_999, true), (195_000, false)]
        {
            assert_eq!(window.holds(moment(at_ms)), inside, "{at_ms}");
        }
        assert!(Window::of(100_000, None).holds(moment(9_000_000)));
        assert!(Window::of(100_000, Some(109_000)).is_empty());
        assert!(!window.is_empty());
    }
}
