//! From what was found to ok, warn or FAIL: pure. Must never call doubt `ok`.
use crate::report::Status;
use audit_log::{Lag, Row};
use budget::DayView;
use config::{Freshness, Loaded};
use crm::{CrmError, Pipeline, TokenInfo};
use interlock::{Control, InterlockError};
use std::collections::BTreeSet;
use types::{Caps, Prices, StageRule, Stages, Timestamp, UsdNanos};

/// What the tools need of HubSpot, and nothing else. HubSpot adds `oauth` by itself.
pub const SCOPES: [&str; 7] = [
    "crm.objects.deals.read",
    "crm.objects.deals.write",
    "crm.objects.contacts.read",
    "crm.objects.contacts.write",
    "crm.objects.companies.read",
    "crm.objects.owners.read",
    "sales-email-read",
];
/// A webhook older than 300 s is refused: a clock this far off (s) is close to refusing all of them.
const SKEW_S_MAX: i64 = 240;
/// A clock this far off (s) is worth a look.
const SKEW_S_WARN: i64 = 30;
/// A drill is due after this long (days).
const DRILL_DAYS: i64 = 30;
/// The control item keeps this many log entries at most; near it the sweep does not run.
const LOG_NEARLY_FULL: usize = interlock::LOG_MAX * 9 / 10;

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) status: Status,
    pub(crate) about: &'static str,
    pub(crate) found: String,
    pub(crate) todo: Option<String>,
}

/// What is known of a table.
pub(crate) struct TableFacts {
    pub(crate) active: bool,
    pub(crate) streams: bool,
    pub(crate) indexes: BTreeSet<String>,
}

fn ok(about: &'static str, found: impl Into<String>) -> Check {
    Check { status: Status::Ok, about, found: found.into(), todo: None }
}

fn warn(about: &'static str, found: impl Into<String>, todo: &str) -> Check {
    Check { status: Status::Warn, about, found: found.into(), todo: Some(todo.to_owned()) }
}

fn fail(about: &'static str, found: impl Into<String>, todo: &str) -> Check {
    Check { status: Status::Fail, about, found: found.into(), todo: Some(todo.to_owned()) }
}

/// A field of what a Redis-compatible store says of itself.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// Reachable, never evicting, not a cluster.
pub(super) fn switch_store(memory: Option<&str>, cluster: Option<&str>, no_address: Option<&str>) -> Check {
    let about = "switch store";
    if let Some(why) = no_address {
        return fail(about, why, "set REDIS_URL, or its parameter's name");
    }
    let (Some(memory), Some(cluster)) = (memory, cluster) else {
        return fail(
            about,
            "does not answer from here",
            "check REDIS_URL; inside AWS: holdfast status --through FUNCTION",
        );
    };
    // FAIL-CLOSED: any other policy throws flags away when memory is short, and so does one that is not told.
    match field(memory, "maxmemory_policy") {
        Some("noeviction") => {}
        Some(policy) => {
            return fail(
                about,
                format!("maxmemory_policy is {policy}: it can forget a halt"),
                "set it to noeviction",
            );
        }
        None => {
            return fail(
                about,
                "does not say its maxmemory_policy",
                "use a store that does, with noeviction",
            );
        }
    }
    if field(memory, "local_stand_in") == Some("1") {
        return ok(about, "answers; noeviction; the local stand-in");
    }
    match field(cluster, "cluster_enabled") {
        Some("0") => ok(about, "answers; noeviction; not a cluster"),
        Some(_) => fail(
            about,
            "runs in cluster mode: the flags cannot be read at one instant",
            "turn cluster mode off",
        ),
        None => warn(
            about,
            "answers; noeviction; does not say whether it is a cluster",
            "cluster mode must be off",
        ),
    }
}

/// There, readable, and its log is moved on.
pub(super) fn control_item(control: &Result<Control, InterlockError>) -> Check {
    let about = "control item";
    let control = match control {
        Ok(control) => control,
        Err(InterlockError::Absent) => return fail(about, "is not there", "holdfast init --name NAME"),
        Err(error) => {
            return fail(about, super::text_of(error), "check AWS credentials, region and TABLE_PREFIX");
        }
    };
    if control.log.len() >= LOG_NEARLY_FULL || control.log_folded > 0 {
        let found =
            format!("{} log entries wait, {} were only counted", control.log.len(), control.log_folded);
        return fail(about, found, "the minute's sweep does not run: look at the halt function's schedule");
    }
    let state = if control.is_armed() { "armed" } else { "halted" };
    let found = format!("{state}, epoch {}", control.epoch);
    if control.unknown.is_empty() {
        ok(about, found)
    } else {
        warn(about, format!("{found}; unknown results: {}", control.unknown.len()), "holdfast status")
    }
}

/// All four, active, with their indexes; the outbox with its stream.
pub(super) fn tables(found: &[(&str, String, Result<TableFacts, String>)]) -> Check {
    let about = "tables";
    let mut wrong = Vec::new();
    for (kind, table, facts) in found {
        let needs: &[&str] = match *kind {
            "runs" => &["queue"],
            "outbox" => &["unacknowledged"],
            _ => &[],
        };
        match facts {
            Err(why) => wrong.push(format!("{table}: {why}")),
            Ok(facts) if !facts.active => wrong.push(format!("{table} is not active")),
            Ok(facts) => {
                let missing = needs.iter().filter(|index| !facts.indexes.contains(**index));
                wrong.extend(missing.map(|index| format!("{table} has no index {index}")));
                if *kind == "outbox" && !facts.streams {
                    wrong.push(format!("{table} has no stream"));
                }
            }
        }
    }
    if wrong.is_empty() {
        return ok(about, format!("{} active", found.len()));
    }
    fail(about, wrong.join("; "), "deploy the template again; check TABLE_PREFIX and the region")
}

/// The public key is set, and is the public half.
pub(super) fn keys(public: Option<&[u8; 32]>, signing: Result<Option<String>, String>) -> Check {
    let about = "link keys";
    let Some(public) = public else {
        return fail(
            about,
            "LINK_PUBLIC_KEY is not set: no halt page opens",
            "set what holdfast init printed",
        );
    };
    let public: String = public.iter().map(|byte| format!("{byte:02x}")).collect();
    match signing {
        Ok(Some(half)) if half == public => ok(about, "a pair"),
        Ok(Some(_)) => fail(
            about,
            "LINK_PUBLIC_KEY is not the public half of LINK_SIGNING_KEY",
            "set the pair that holdfast init printed",
        ),
        Ok(None) => warn(
            about,
            "no signing key: nobody can be invited",
            "set LINK_SIGNING_KEY, or its parameter's name",
        ),
        Err(why) => fail(about, why, "set LINK_SIGNING_KEY, or its parameter's name"),
    }
}

/// Somebody can resume; better two.
pub(super) fn people(can_resume: Result<usize, String>) -> Check {
    let about = "people";
    match can_resume {
        Err(why) => fail(about, why, "check AWS credentials, region and TABLE_PREFIX"),
        Ok(0) => fail(about, "nobody can resume on a page", "holdfast invite --name NAME --role ops"),
        Ok(1) => warn(about, "one person can resume", "a deputy: holdfast invite --name NAME --role ops"),
        Ok(n) => ok(about, format!("{n} people can resume")),
    }
}

/// Readable just now.
pub(super) fn hot_config(hot: &Loaded) -> Check {
    let about = "hot config";
    match hot.freshness {
        Freshness::Fresh => ok(about, format!("{}, zone {}", hot.hot.version, hot.hot.zone)),
        Freshness::LastGood { .. } | Freshness::Unusable => fail(
            about,
            "cannot be read, or a part of it is malformed: every tool is dry",
            "RUST_LOG=config=error holdfast doctor names the part; save it again in the console",
        ),
    }
}

/// Something can run, and the open day knows the cap.
pub(super) fn caps(caps: &Caps, day: Result<Option<DayView>, String>) -> Check {
    let about = "caps";
    let found = format!(
        "{} a day, {} tokens and {} tool calls a run",
        caps.usd_per_day, caps.tokens_per_run, caps.tool_calls_per_run
    );
    if caps.usd_per_day <= UsdNanos::ZERO || caps.tokens_per_run == 0 || caps.tool_calls_per_run == 0 {
        return warn(about, format!("{found}: nothing can run"), "raise the cap in the console");
    }
    match day {
        Err(why) => {
            fail(about, format!("the budget cannot be read: {why}"), "no model call is made until it can")
        }
        Ok(Some(day)) if day.cap != caps.usd_per_day => warn(
            about,
            format!("{found}; the open day still has {}", day.cap),
            "save the cap again in the console",
        ),
        Ok(Some(_) | None) => ok(about, found),
    }
}

/// A price row, and a key.
pub(super) fn model(prices: &Prices, model: &str, key: Result<bool, String>) -> Check {
    let about = "model";
    if !prices.0.contains_key(model) {
        return fail(
            about,
            format!("{model} has no price row: it is refused before the call"),
            "add its prices, or set MODEL to one that has them",
        );
    }
    match key {
        Ok(true) => ok(about, format!("{model} has a price row; its key is set")),
        Ok(false) => {
            fail(about, format!("{model}: ANTHROPIC_API_KEY is not set"), "set it, or its parameter's name")
        }
        Err(why) => fail(about, why, "set ANTHROPIC_API_KEY, or its parameter's name"),
    }
}

/// No client could be built.
pub(super) fn no_token(why: &str) -> Check {
    fail("token scopes", why, "set HUBSPOT_TOKEN, or its parameter's name")
}

/// Exactly the scopes that are needed: fewer fail, more are a risk.
pub(super) fn scopes(token: &Result<TokenInfo, CrmError>) -> Check {
    let about = "token scopes";
    let token = match token {
        Ok(token) => token,
        Err(error) => return fail(about, error.to_string(), "check HUBSPOT_TOKEN and HUBSPOT_BASE_URL"),
    };
    let granted: BTreeSet<&str> =
        token.scopes.iter().map(String::as_str).filter(|scope| *scope != "oauth").collect();
    let needed = BTreeSet::from(SCOPES);
    let missing: Vec<&str> = needed.difference(&granted).copied().collect();
    let more: Vec<&str> = granted.difference(&needed).copied().collect();
    if !missing.is_empty() {
        return fail(
            about,
            format!("missing: {}", missing.join(", ")),
            "add them to the app in HubSpot, then install it again",
        );
    }
    if !more.is_empty() {
        return warn(
            about,
            format!("more than needed: {}", more.join(", ")),
            "take them from the app in HubSpot, then install it again",
        );
    }
    ok(about, format!("exactly the {} needed", SCOPES.len()))
}

/// By its own app id an echo of our own write is known, and starts no run.
pub(super) fn own_app(token: &Result<TokenInfo, CrmError>, app_id: Option<&str>) -> Check {
    let about = "own app";
    match (token.as_ref().ok().and_then(|token| token.app_id), app_id) {
        (_, None) => fail(
            about,
            "HUBSPOT_APP_ID is not set: the agent's own writes would start runs",
            "set it to the app's id",
        ),
        (None, Some(id)) => warn(
            about,
            format!("HubSpot does not name the token's app; HUBSPOT_APP_ID is {id}"),
            "compare it with the app's page in HubSpot",
        ),
        (Some(app), Some(id)) if app.to_string() == id => ok(about, format!("app {id}")),
        (Some(app), Some(id)) => fail(
            about,
            format!("the token is of app {app}, HUBSPOT_APP_ID is {id}"),
            "set it to the token's app",
        ),
    }
}

/// Each listed stage is at HubSpot, as it is listed.
pub(super) fn stages(stages: &Stages, pipelines: &Result<Vec<Pipeline>, CrmError>) -> Check {
    let about = "stages";
    let pipelines = match pipelines {
        Ok(pipelines) => pipelines,
        Err(error) => return fail(about, error.to_string(), "check HUBSPOT_TOKEN and HUBSPOT_BASE_URL"),
    };
    let allowed = stages.0.iter().filter(|rule| rule.agent_may_move_here).count();
    if allowed == 0 {
        return warn(
            about,
            "none is allowed: every set_stage is refused",
            "allow stages on the console's page Pipeline",
        );
    }
    let (mut wrong, mut odd) = (Vec::new(), Vec::new());
    for rule in &stages.0 {
        match (differs(rule, pipelines), rule.agent_may_move_here) {
            (Some(how), true) => wrong.push(how),
            (Some(how), false) => odd.push(how),
            (None, _) => odd.extend(renamed(rule, pipelines)),
        }
    }
    let todo = "check and save the list on the console's page Pipeline";
    if !wrong.is_empty() {
        return fail(about, wrong.join("; "), todo);
    }
    if !odd.is_empty() {
        return warn(about, odd.join("; "), todo);
    }
    ok(about, format!("{allowed} of {} allowed, all as in HubSpot", stages.0.len()))
}

fn stage_of<'a>(rule: &StageRule, pipelines: &'a [Pipeline]) -> Option<&'a crm::Stage> {
    let pipeline = pipelines.iter().find(|pipeline| pipeline.id == rule.pipeline_id)?;
    pipeline.stages.iter().find(|stage| stage.id == rule.stage_id)
}

/// How a listed stage is not what HubSpot has.
fn differs(rule: &StageRule, pipelines: &[Pipeline]) -> Option<String> {
    let name = format!("{} ({})", rule.label, rule.stage_id);
    match stage_of(rule, pipelines) {
        None => Some(format!("{name} is not in HubSpot's pipeline {}", rule.pipeline_id)),
        Some(stage) if stage.closed && !rule.closed => {
            Some(format!("{name} is closed in HubSpot, and listed as open"))
        }
        Some(stage) if !stage.writable && rule.agent_may_move_here => {
            Some(format!("{name} takes no deals from an app"))
        }
        Some(_) => None,
    }
}

fn renamed(rule: &StageRule, pipelines: &[Pipeline]) -> Option<String> {
    let stage = stage_of(rule, pipelines)?;
    (stage.label != rule.label).then(|| format!("{} is called {} in HubSpot now", rule.label, stage.label))
}

/// Both halves of what a webhook is checked with.
pub(super) fn webhook(secrets: Result<usize, String>, target: Result<String, String>) -> Check {
    let about = "webhook";
    match (secrets, target) {
        (Err(why), _) => fail(about, why, "set HUBSPOT_CLIENT_SECRET, or its parameter's name"),
        (_, Err(why)) => fail(about, why, "set HUBSPOT_TARGET_URL to the address registered at HubSpot"),
        (Ok(2..), Ok(_)) => {
            warn(about, "two client secrets: a rotation is under way", "drop the old one when it is over")
        }
        (Ok(_), Ok(url)) => ok(about, format!("client secret set; target {url}")),
    }
}

/// Pings need it; nothing else does.
pub(super) fn slack(set: Result<bool, String>) -> Check {
    let about = "Slack";
    match set {
        Ok(true) => ok(about, "set"),
        Ok(false) => warn(
            about,
            "not set: a tripped cap pings nobody",
            "set SLACK_WEBHOOK_URL, or its parameter's name",
        ),
        Err(why) => fail(about, why, "set SLACK_WEBHOOK_URL, or its parameter's name"),
    }
}

/// Our clock against HubSpot's, whose signatures carry the time.
pub(super) fn clock(now: Timestamp, date: Result<String, String>) -> Check {
    let about = "clock";
    let date = match date {
        Ok(date) => date,
        Err(why) => {
            return warn(
                about,
                format!("HubSpot did not tell the time: {why}"),
                "check HUBSPOT_BASE_URL and the network",
            );
        }
    };
    let Ok(theirs) = jiff::fmt::rfc2822::parse(&date) else {
        return warn(about, "HubSpot's time could not be read", "try again");
    };
    let skew = now.as_second().saturating_sub(theirs.timestamp().as_second());
    let found = format!("{} s off HubSpot's", skew.saturating_abs());
    match skew.saturating_abs() {
        s if s >= SKEW_S_MAX => {
            fail(about, found, "set the clock of this machine (the functions have their own)")
        }
        s if s >= SKEW_S_WARN => {
            warn(about, found, "set the clock of this machine (the functions have their own)")
        }
        _ => ok(about, found),
    }
}

/// Answers, and parks nothing.
pub(super) fn audit_log(lag: Result<&Lag, String>) -> Check {
    let about = "audit log";
    match lag {
        Err(why) => {
            fail(about, why, "check DATABASE_URL; migrate it by invoking audit with {\"migrate\":\"audit\"}")
        }
        Ok(lag) if lag.parked > 0 => warn(
            about,
            format!("{} entries; rows that could not be appended: {}", lag.entries, lag.parked),
            "look at them in audit.parked",
        ),
        Ok(lag) => ok(about, format!("{} entries", lag.entries)),
    }
}

/// Did this halt rehearse a halt?
pub(super) fn is_drill(row: &Row) -> bool {
    let says = |text: &str| text.to_lowercase().contains("drill");
    let source = row.detail.as_ref().and_then(|detail| detail.get("source")?.as_str());
    row.target_id.as_deref() == Some("customer:drill")
        || source.is_some_and(says)
        || row.because.as_deref().is_some_and(says)
}

/// Somebody rehearsed within a month.
pub(super) fn drill(last: Result<Option<Timestamp>, String>, now: Timestamp) -> Check {
    let about = "last drill";
    let todo = "holdfast halt --because drill, then: holdfast resume --because \"end of the drill\"";
    match last {
        Err(why) => fail(about, why, "check DATABASE_URL"),
        Ok(None) => warn(about, "none on record", todo),
        Ok(Some(at)) => {
            let days = now.as_second().saturating_sub(at.as_second()).max(0).div_euclid(24 * 60 * 60);
            let found = format!("{days} days ago");
            if days > DRILL_DAYS { warn(about, found, todo) } else { ok(about, found) }
        }
    }
}
