//! The tables of cost in docs/DEPLOY.md, computed. Must never count on a free tier: it ends, and the tables
//! say so.
use crate::template::{Made, expanded};
use crate::tree::{table, text};
use serde_json::{Value, json};

struct Prices(Value);

impl Prices {
    fn read() -> Self {
        Self(serde_json::from_str(&text("infra/aws/prices.json")).expect("JSON"))
    }

    fn of(&self, name: &str) -> f64 {
        self.0[name].as_str().unwrap_or_else(|| panic!("no price `{name}`")).parse().expect("a number")
    }
}

const HOURS: f64 = 730.0;
/// What a month of the minute's three sweeps asks for: invocations, seconds and gigabytes of each, reads.
const SWEEPS: (f64, f64, f64, f64) = (3.0 * 60.0 * HOURS, 0.15, 0.33, 4.0);
/// Four drills a day wake the database for the five minutes that it then waits, and one more.
const DRILL_HOURS: f64 = 4.0 * 365.0 / 12.0 * 6.0 / 60.0;
/// What one step asks for: seconds, gigabytes, writes (those of transactions counted twice), reads, bytes.
const STEP: (f64, f64, f64, f64) = (4.0, 0.25, 22.0, 8.0);
const STEP_LOG_BYTES: f64 = 2_500.0;
const STEP_NET_BYTES: f64 = 60_000.0;

/// One row: what, and dollars a month for the default and for the lean install.
fn idle(prices: &Prices, alarms: f64, metrics: f64, secrets: f64) -> Vec<(&'static str, f64, f64)> {
    let node = prices.of("valkey_t4g_micro_hour") * HOURS;
    let nat = (prices.of("nat_gateway_hour") + prices.of("public_ipv4_hour")) * HOURS;
    let database = prices.of("aurora_gigabyte_month") + DRILL_HOURS * 0.5 * prices.of("aurora_acu_hour");
    let (invocations, seconds, gigabytes, reads) = SWEEPS;
    let sweeps = invocations
        * (seconds * gigabytes * prices.of("lambda_gigabyte_second")
            + prices.of("lambda_million_requests") / 1e6
            + reads * prices.of("dynamodb_million_reads") / 1e6);
    let watch = alarms * prices.of("alarm_month") + metrics * prices.of("metric_month");
    let secrets = secrets * prices.of("secret_month");
    let mut rows = vec![
        ("The flags (Valkey)", 2.0 * node, node),
        ("The way out (NAT and its address)", nat, 0.0),
        ("The audit log (Aurora, asleep but for the drills)", database, database),
        ("Passwords (Secrets Manager)", secrets, secrets),
        ("Alarms and counts", watch, watch),
        ("The minute's sweeps", sweeps, sweeps),
    ];
    let sum = |of: fn(&(&str, f64, f64)) -> f64| rows.iter().map(of).sum();
    let total = ("Together", sum(|row| row.1), sum(|row| row.2));
    rows.push(total);
    rows
}

/// One row: what, and dollars per thousand runs of eight and of thirty steps.
fn runs(prices: &Prices) -> Vec<(&'static str, f64, f64)> {
    let (seconds, gigabytes, writes, reads) = STEP;
    let transitions = |n: f64| (2.0 * n + 1.0) * prices.of("states_thousand_transitions");
    let lambda = seconds * gigabytes * prices.of("lambda_gigabyte_second")
        + prices.of("lambda_million_requests") / 1e6;
    let tables =
        (writes * prices.of("dynamodb_million_writes") + reads * prices.of("dynamodb_million_reads")) / 1e6;
    let bytes =
        (STEP_LOG_BYTES * prices.of("logs_gigabyte") + STEP_NET_BYTES * prices.of("nat_gigabyte")) / 1e9;
    let thousand = |step: f64| move |n: f64| step * n * 1_000.0;
    let row = |name, of: &dyn Fn(f64) -> f64| (name, of(8.0), of(30.0));
    let mut rows = vec![
        row("Step Functions", &transitions),
        row("Lambda, four seconds a step", &thousand(lambda)),
        row("DynamoDB", &thousand(tables)),
        row("Log lines, and bytes through the NAT", &thousand(bytes)),
    ];
    let total = ("Together", rows.iter().map(|row| row.1).sum(), rows.iter().map(|row| row.2).sum());
    rows.push(total);
    rows
}

fn written(rows: &[(&str, f64, f64)]) -> Vec<Vec<String>> {
    rows.iter().map(|(name, a, b)| vec![(*name).to_owned(), format!("{a:.2}"), format!("{b:.2}")]).collect()
}

#[test]
fn the_deploy_guides_tables_of_cost_are_computed() {
    let Some(template) = expanded("cost::the_deploy_guides_tables_of_cost_are_computed") else { return };
    // What is counted a piece is counted in the template.
    let made = Made::of(&template, &[("AlarmEmail", json!("ops@example.com"))]);
    let number = |kind: &str| made.of_type(kind).count() as f64;
    let (alarms, secrets) = (number("AWS::CloudWatch::Alarm"), number("AWS::SecretsManager::Secret"));
    let metrics = config::metrics::Metric::ALL.len() as f64;
    let guide = text("docs/DEPLOY.md");
    let prices = Prices::read();
    assert_eq!(table(&guide, "### A month, idle"), written(&idle(&prices, alarms, metrics, secrets)));
    assert_eq!(table(&guide, "### A thousand runs, the model left out"), written(&runs(&prices)));
}
