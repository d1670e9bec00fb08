//! JSON log lines on stdout. Must never let a control or bidi character through unescaped.
use crate::metrics::{Lines, TARGET};
use std::{
    fmt::Write as _,
    io::{self, Write},
};
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::FilterFn, fmt::MakeWriter, layer::SubscriberExt as _,
};

/// Our crates: they log at the chosen level, everything else at `warn`, since a library's debug lines may
/// hold secrets.
const OURS: &[&str] = &[
    "audit",
    "audit_log",
    "budget",
    "config",
    "console",
    "crm",
    "gate",
    "halt",
    "intake",
    "interlock",
    "kill_switch",
    "ledger",
    "model",
    "notify",
    "privacy",
    "sight",
    "starter",
    "step",
    "tools",
    "types",
    "web",
];

/// Starts logging for this process, at the level of `AWS_LAMBDA_LOG_LEVEL` (default `info`), and counting
/// where the platform has named the function. A second call does nothing.
pub fn init() {
    #[expect(
        clippy::disallowed_methods,
        reason = "logging starts before the settings are read, to report them"
    )]
    let variable = |name| std::env::var(name).ok();
    let level = variable("AWS_LAMBDA_LOG_LEVEL").unwrap_or_default();
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_writer(Escaped)
        .with_filter(filter(&level));
    let counted = variable("AWS_LAMBDA_FUNCTION_NAME").map(Lines::to_stdout);
    let subscriber =
        tracing_subscriber::registry().with(lines).with(counted.map(|lines| lines.with_filter(counts())));
    let _already_set = tracing::subscriber::set_global_default(subscriber);
}

/// What is a count and no line of the log.
pub(crate) fn counts() -> FilterFn {
    FilterFn::new(|event| event.target() == TARGET)
}

/// Our crates at this level (`trace` to `error`, else `info`), everything else at `warn`.
#[must_use]
pub fn filter(level: &str) -> EnvFilter {
    let level = match level.to_ascii_lowercase().as_str() {
        "trace" => "trace",
        "debug" => "debug",
        "warn" => "warn",
        "error" | "fatal" => "error",
        _ => "info",
    };
    let mut directives = String::from("warn");
    for ours in OURS {
        let _infallible = write!(directives, ",{ours}={level}");
    }
    EnvFilter::new(directives)
}

/// Writes whole lines to stdout, in ASCII.
#[derive(Debug)]
struct Escaped;

impl<'a> MakeWriter<'a> for Escaped {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        Self
    }
}

impl Write for Escaped {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        io::stdout().lock().write_all(ascii_json(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

/// JSON with every character beyond printable ASCII as `\uXXXX`: such a character can only be inside a JSON
/// string, and a terminal or a log viewer that shows the line cannot be steered by it.
fn ascii_json(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        if c == '\n' || (' '..='~').contains(&c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _infallible = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_ascii_and_still_the_same_json() {
        let text = "a\u{202e}b\u{7f}\u{9b}31m é 🚚";
        let line = serde_json::to_string(text).expect("text");
        let escaped = ascii_json(&line);
        assert!(escaped.is_ascii() && !escaped.contains('\u{7f}'), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).expect("json"), text);
    }

    #[test]
    fn libraries_stay_at_warn_whatever_the_level() {
        let shown = filter("DEBUG").to_string();
        assert!(shown.contains("step=debug") && shown.split(',').any(|d| d == "warn"), "{shown}");
        assert!(filter("nonsense").to_string().contains("step=info"));
    }
}
