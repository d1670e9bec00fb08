//! `holdfast doctor`: is this install what it must be, one line per check. Must never change anything, nor
//! show a secret.
mod crm_side;
mod judge;

use crate::error::{CliError, causes};
use crate::install::Install;
use crate::people;
use crate::report::{Line, Report, Status, Three};
use audit_log::Query;
use aws_sdk_dynamodb::types::TableStatus;
use config::{Freshness, SecretName, Settings};
pub use judge::SCOPES;
use judge::{Check, TableFacts};
use serde_json::json;
use types::Clock;

/// Halts that are looked through for the last drill.
const HALTS_MAX: u32 = 200;

/// Every check, in the order in which one would repair them.
pub(crate) async fn run(settings: &Settings, clock: Clock) -> Result<Report, CliError> {
    let install = Install::with_clock(settings, clock).await?;
    let mut checks = vec![switch_store(&install).await];
    let control = install.interlock.control().await;
    checks.push(judge::control_item(&control));
    checks.push(tables(&install).await);
    checks.push(keys(&install).await);
    checks.push(who_can_resume(&install).await);
    let hot = install.hot.get().await;
    checks.push(judge::hot_config(&hot));
    if hot.freshness != Freshness::Unusable {
        let day = install.budget.day(&hot.hot.zone).await;
        checks.push(judge::caps(&hot.hot.caps, day.map_err(|error| text_of(&error))));
        let key = secret(&install, SecretName::AnthropicApiKey).await;
        checks.push(judge::model(&hot.hot.prices, &settings.model, key));
    }
    checks.extend(crm_side::checks(&install, &hot).await);
    checks.push(webhook(&install).await);
    checks.push(judge::slack(secret(&install, SecretName::SlackWebhookUrl).await));
    checks.extend(log(&install).await);
    Ok(report(&checks))
}

/// An error with its causes, on one line.
fn text_of(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(_) => format!("{error}: {}", causes(error)),
        None => error.to_string(),
    }
}

/// Whether a secret is there and can be read; never what it is.
async fn secret(install: &Install, name: SecretName) -> Result<bool, String> {
    install.secrets.find(name).await.map(|found| found.is_some()).map_err(|error| text_of(&error))
}

async fn switch_store(install: &Install) -> Check {
    if let Some(error) = &install.no_switch {
        return judge::switch_store(None, None, Some(&text_of(error)));
    }
    let switch = install.interlock.switch();
    let (memory, cluster) = tokio::join!(switch.info("memory"), switch.info("cluster"));
    judge::switch_store(memory.as_deref(), cluster.as_deref(), None)
}

async fn tables(install: &Install) -> Check {
    let mut found = Vec::new();
    for name in ["control", "budget", "runs", "outbox"] {
        let table = install.settings.table(name);
        let answer = install.dynamodb.describe_table().table_name(&table).send().await;
        let facts = match answer {
            Err(error) => Err(text_of(&error.into_service_error())),
            Ok(answer) => {
                let described = answer
                    .table
                    .unwrap_or_else(|| aws_sdk_dynamodb::types::TableDescription::builder().build());
                Ok(TableFacts {
                    active: described.table_status == Some(TableStatus::Active),
                    streams: described
                        .stream_specification
                        .as_ref()
                        .is_some_and(|stream| stream.stream_enabled),
                    indexes: described
                        .global_secondary_indexes
                        .unwrap_or_default()
                        .into_iter()
                        .filter_map(|index| index.index_name)
                        .collect(),
                })
            }
        };
        found.push((name, table, facts));
    }
    judge::tables(&found)
}

async fn keys(install: &Install) -> Check {
    let public = install.settings.link_public_key;
    let signer = install.signer().await.map_err(|error| text_of(&error));
    judge::keys(public.as_ref(), signer.map(|signer| signer.map(|signer| signer.verifier().to_hex())))
}

async fn who_can_resume(install: &Install) -> Check {
    match people::read(install).await {
        Ok(people) => judge::people(Ok(people.people.values().filter(|person| person.can_resume()).count())),
        Err(error) => judge::people(Err(text_of(&error))),
    }
}

async fn webhook(install: &Install) -> Check {
    let secrets = install.secrets.hubspot_client_secrets().await;
    let target = install.secrets.get(SecretName::HubspotTargetUrl).await;
    judge::webhook(
        secrets.map(|all| all.len()).map_err(|error| text_of(&error)),
        target.map(|url| url.expose().to_owned()).map_err(|error| text_of(&error)),
    )
}

/// The audit log, and the last drill, which only the log remembers.
async fn log(install: &Install) -> Vec<Check> {
    let log = match install.audit_log().await {
        Ok(log) => log,
        Err(error) => return vec![judge::audit_log(Err(text_of(&error)))],
    };
    let lag = match log.lag().await {
        Ok(lag) => lag,
        Err(error) => return vec![judge::audit_log(Err(text_of(&error)))],
    };
    let drills = Query {
        verb: Some("halt".to_owned()),
        text: Some("customer:drill".to_owned()),
        limit: 1,
        ..Query::default()
    };
    let halts = Query { verb: Some("halt".to_owned()), limit: HALTS_MAX, ..Query::default() };
    let (drills, halts) = tokio::join!(log.search(&drills), log.search(&halts));
    let drill = match (drills, halts) {
        (Ok(drills), Ok(halts)) => {
            let of_people = halts.rows.into_iter().find(judge::is_drill);
            Ok(drills.rows.into_iter().chain(of_people).map(|row| row.occurred_at).max())
        }
        (Err(error), _) | (_, Err(error)) => Err(text_of(&error)),
    };
    vec![judge::audit_log(Ok(&lag)), judge::drill(drill, install.clock.now())]
}

/// One line per check; any FAIL fails the command.
fn report(checks: &[Check]) -> Report {
    let lines = checks.iter().map(|check| Line::Item {
        status: check.status,
        about: check.about.to_owned(),
        text: check.found.clone(),
        todo: check.todo.clone(),
    });
    let count = |status: Status| checks.iter().filter(|check| check.status == status).count();
    let (failed, warned) = (count(Status::Fail), count(Status::Warn));
    let mut lines: Vec<Line> = lines.collect();
    lines.push(Line::text(format!("{} checks: {failed} failed, {warned} to look at", checks.len())));
    let one = |check: &Check| {
        let status = check.status.word().to_lowercase();
        json!({"check": check.about, "status": status, "found": check.found, "todo": check.todo})
    };
    let json = json!({"checks": checks.iter().map(one).collect::<Vec<_>>(), "fail": failed, "warn": warned});
    let report = Report::done(lines, json);
    if failed == 0 {
        return report;
    }
    report.but(Three::new(
        "this install is not as it must be",
        format!("checks that failed: {failed}"),
        "do what the lines above say, then: holdfast doctor",
    ))
}
