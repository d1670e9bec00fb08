//! What the functions count for alarms: the names, once, and how CloudWatch reads them off a log line. Must
//! never carry a customer, a deal or a run: a metric's dimensions are kept for years.
use std::fmt;
use std::io::Write as _;
use std::sync::Arc;
use tracing::field::{Field, Visit};
use tracing_subscriber::{Layer, layer::Context};
use types::Clock;

/// Where a count goes among the process's events: past the log's level, so that a quiet log still counts.
pub const TARGET: &str = "holdfast_metric";
/// Where CloudWatch keeps them.
pub const NAMESPACE: &str = "Holdfast";

macro_rules! metrics {
    ($($(#[$doc:meta])* $variant:ident of $function:literal in $unit:literal),+ $(,)?) => {
        /// One count, and the function that makes it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Metric { $($(#[$doc])* $variant),+ }

        impl Metric {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name in CloudWatch.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),+ }
            }

            /// The function that counts it.
            #[must_use]
            pub const fn function(self) -> &'static str {
                match self { $(Self::$variant => $function),+ }
            }

            /// CloudWatch's word for what it counts.
            #[must_use]
            pub const fn unit(self) -> &'static str {
                match self { $(Self::$variant => $unit),+ }
            }
        }
    };
}

metrics! {
    /// A webhook with a wrong, missing or old signature.
    WebhooksRefused of "intake" in "Count",
    /// A step that answered.
    Steps of "step" in "Count",
    /// A tool call that the gate, the registry or a cap refused.
    ToolCallsRefused of "step" in "Count",
    /// A step that did not go on, because a switch gave no usable answer.
    SwitchesUnreadable of "step" in "Count",
    /// A cap that halted.
    Trips of "step" in "Count",
    /// A press that at least one switch has.
    Halts of "halt" in "Count",
    /// A scheduled drill that found no fault, or nothing to halt since everything is halted.
    DrillRuns of "halt" in "Count",
    /// A scheduled drill that found a fault.
    DrillFaults of "halt" in "Count",
    /// How long the oldest row of the outbox has waited, 0 when none waits (ms).
    OutboxLagMs of "audit" in "Milliseconds",
    /// Rows that no sweep can move.
    OutboxStuck of "audit" in "Count",
}

/// Counts. Costs a line in the log, and cannot fail.
pub fn count(metric: Metric, value: u64) {
    tracing::info!(target: TARGET, metric = metric.name(), value);
}

/// Writes each count as one line of CloudWatch's embedded metric format. A line of its own: inside another
/// log line CloudWatch would not find it.
pub(crate) struct Lines {
    /// The function's name in AWS, which is the one dimension.
    function: String,
    clock: Clock,
    write: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Lines {
    /// To stdout, for the function of that name.
    pub(crate) fn to_stdout(function: String) -> Self {
        let write = |line: &str| {
            // A log that cannot be written must not end what it tells of.
            let _unwritten = writeln!(std::io::stdout().lock(), "{line}");
        };
        Self { function, clock: Clock::system(), write: Arc::new(write) }
    }
}

impl<S: tracing::Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut seen = Seen::default();
        event.record(&mut seen);
        let known = Metric::ALL.iter().find(|metric| metric.name() == seen.name);
        if let Some(metric) = known {
            (self.write)(&line(*metric, seen.value, &self.function, self.clock.now_ms()));
        }
    }
}

/// One line, as the embedded metric format wants it: CloudWatch's
/// `CloudWatch_Embedded_Metric_Format_Specification`.
fn line(metric: Metric, value: u64, function: &str, now_ms: i64) -> String {
    serde_json::json!({
        "_aws": {
            "Timestamp": now_ms,
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [["FunctionName"]],
                "Metrics": [{"Name": metric.name(), "Unit": metric.unit()}],
            }],
        },
        "FunctionName": function,
        metric.name(): value,
    })
    .to_string()
}

#[derive(Default)]
struct Seen {
    name: String,
    value: u64,
}

impl Visit for Seen {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "value" {
            self.value = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "metric" {
            value.clone_into(&mut self.name);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[test]
    fn a_count_is_one_line_that_cloudwatch_reads_and_a_log_line_is_none() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let layer = Lines {
            function: "holdfast-step".to_owned(),
            clock: Clock::manual(1_795_510_800_000),
            write: Arc::new(move |line| kept.lock().unwrap().push(line.to_owned())),
        };
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(crate::logging::counts()));
        tracing::subscriber::with_default(subscriber, || {
            count(Metric::OutboxLagMs, 61_000);
            tracing::error!(target: "step", metric = "Steps", value = 1_u64, "not a count");
        });
        let lines = lines.lock().unwrap();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let read: serde_json::Value = serde_json::from_str(&lines[0]).expect("JSON");
        assert_eq!(read["OutboxLagMs"], 61_000);
        assert_eq!(read["FunctionName"], "holdfast-step");
        assert_eq!(read["_aws"]["Timestamp"], 1_795_510_800_000_i64);
        let directive = &read["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Namespace"], "Holdfast");
        // Every dimension and every metric that the directive names must be a member beside `_aws`.
        assert_eq!(directive["Dimensions"], serde_json::json!([["FunctionName"]]));
        assert_eq!(
            directive["Metrics"],
            serde_json::json!([{"Name": "OutboxLagMs", "Unit": "Milliseconds"}])
        );
    }
}
