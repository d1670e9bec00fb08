//! What a subcommand has to say, as values. Must never hold an escape sequence: those belong to the terminal.
use serde_json::Value;

/// The word in front of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// As it should be.
    Ok,
    /// Works, but look at it.
    Warn,
    /// Not as it must be.
    Fail,
    /// The agent is stopped.
    Halt,
    /// Changed something.
    Did,
    /// Refused.
    No,
}

impl Status {
    /// The word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
            Self::Halt => "HALT",
            Self::Did => "DID",
            Self::No => "NO",
        }
    }
}

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A sentence; folded at the terminal's width.
    Text(String),
    /// A word, what it is about, what was found, and what to do.
    Item {
        /// The word.
        status: Status,
        /// What it is about.
        about: String,
        /// What was found.
        text: String,
        /// What to do.
        todo: Option<String>,
    },
    /// An address or a command to copy: never folded.
    Copy(String),
}

impl Line {
    /// A sentence.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A word, what it is about, and what was found.
    pub fn item(status: Status, about: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Item { status, about: about.into(), text: text.into(), todo: None }
    }
}

/// An error in three lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Three {
    /// What did not happen.
    pub what: String,
    /// Why.
    pub why: String,
    /// The next command.
    pub next: String,
    /// It was asked for in a way that cannot be done, rather than tried and failed.
    pub usage: bool,
}

impl Three {
    /// Tried, and not done.
    pub fn new(what: impl Into<String>, why: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), next: next.into(), usage: false }
    }

    /// Asked for in a way that cannot be done.
    pub fn usage(what: impl Into<String>, why: impl Into<String>, next: impl Into<String>) -> Self {
        Self { usage: true, ..Self::new(what, why, next) }
    }
}

/// What a subcommand has to say.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// The lines, for people.
    pub lines: Vec<Line>,
    /// The same for programs.
    pub json: Value,
    /// What went wrong, if something did.
    pub failed: Option<Three>,
}

impl Report {
    /// Done.
    #[must_use]
    pub fn done(lines: Vec<Line>, json: Value) -> Self {
        Self { lines, json, failed: None }
    }

    /// Not done.
    #[must_use]
    pub fn failed(three: Three) -> Self {
        Self { lines: Vec::new(), json: Value::Null, failed: Some(three) }
    }

    /// The same, with what went wrong.
    #[must_use]
    pub fn but(mut self, three: Three) -> Self {
        self.failed = Some(three);
        self
    }

    /// 0 done, 1 failed, 2 usage.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.failed.as_ref().map_or(0, |three| if three.usage { 2 } else { 1 })
    }
}
