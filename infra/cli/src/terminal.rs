//! What the terminal is shown: fixed-width words, at most 80 columns. Must never carry a meaning by colour
//! alone, nor an escape byte into a pipe, nor a text of others that could steer the terminal.
use crate::report::{Line, Report, Status, Three};
use std::io::{IsTerminal, Write};

/// Columns of a line.
const WIDTH: usize = 80;
/// Where the text of an item begins: two spaces, the word, the name.
const TEXT_AT: usize = 24;

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// On a terminal that can show it, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How to print.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    color: bool,
    json: bool,
    ascii: bool,
}

impl Terminal {
    /// As the arguments, the environment and the streams say. `lookup` reads an environment variable.
    #[must_use]
    pub fn new(color: Color, json: bool, lookup: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::io::stdout().is_terminal()
                    && set("NO_COLOR").is_none()
                    && set("TERM").as_deref() != Some("dumb")
            }
        };
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
        let utf8 = locale.is_none_or(|name| {
            let name = name.to_ascii_lowercase();
            name.contains("utf-8") || name.contains("utf8")
        });
        Self { color: color && !json, json, ascii: !utf8 }
    }

    /// Prints a report: results to stdout, what went wrong to stderr.
    pub fn print(self, report: &Report) {
        let (out, err) = self.render(report);
        // A reader that closed the pipe (`| head`) wants no more, which is no error.
        let _ = std::io::stdout().lock().write_all(out.as_bytes());
        let _ = std::io::stderr().lock().write_all(err.as_bytes());
    }

    /// The two streams of a report.
    #[must_use]
    pub fn render(self, report: &Report) -> (String, String) {
        if self.json {
            return json(report);
        }
        let mut out = String::new();
        for line in &report.lines {
            out.push_str(&self.line(line));
        }
        let err = report.failed.as_ref().map_or_else(String::new, |three| self.three(three));
        (out, err)
    }

    fn line(self, line: &Line) -> String {
        match line {
            Line::Text(text) => fold("", &self.plain(text), 0),
            Line::Copy(text) => format!("  {}\n", web::visible_line(text)),
            Line::Item { status, about, text, todo } => {
                let word = format!("{:<5}", status.word());
                let head = format!("  {word} {:<15} ", self.plain(about));
                let mut folded = fold(&head, &self.plain(text), TEXT_AT);
                if let Some(todo) = todo {
                    folded.push_str(&fold(&" ".repeat(TEXT_AT), &self.plain(todo), TEXT_AT));
                }
                if self.color {
                    folded = folded.replacen(&word, &format!("{}{word}\u{1b}[0m", color_of(*status)), 1);
                }
                folded
            }
        }
    }

    fn three(self, three: &Three) -> String {
        let word = if self.color { "\u{1b}[31mFAIL\u{1b}[0m" } else { "FAIL" };
        let line = |text: &str| self.plain(text);
        format!("{word}  {}\n      {}\n      {}\n", line(&three.what), line(&three.why), line(&three.next))
    }

    /// Control and direction characters made visible; ASCII alone where the locale knows no more.
    fn plain(self, text: &str) -> String {
        let text = web::visible_line(text);
        if !self.ascii {
            return text;
        }
        let text = text.replace('\u{2192}', "->").replace(['\u{2018}', '\u{2019}'], "'");
        let text = text.replace(['\u{201c}', '\u{201d}'], "\"").replace('\u{2026}', "...");
        text.replace(|c: char| !c.is_ascii(), "?")
    }
}

const fn color_of(status: Status) -> &'static str {
    match status {
        Status::Ok | Status::Did => "\u{1b}[32m",
        Status::Warn | Status::No => "\u{1b}[33m",
        Status::Fail | Status::Halt => "\u{1b}[31m",
    }
}

/// One object on one line; what went wrong is a part of it.
fn json(report: &Report) -> (String, String) {
    let mut object = report.json.as_object().cloned().unwrap_or_default();
    object.insert("ok".to_owned(), report.failed.is_none().into());
    if let Some(three) = &report.failed {
        let failed = serde_json::json!({"what": three.what, "why": three.why, "next": three.next});
        object.insert("failed".to_owned(), failed);
    }
    (format!("{}\n", ascii_json(&serde_json::Value::Object(object).to_string())), String::new())
}

/// JSON in ASCII: a terminal that shows the line cannot be steered by a text in it.
fn ascii_json(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        if (' '..='~').contains(&c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
    out
}

/// Folds a text between words; later lines begin at `indent`.
fn fold(head: &str, text: &str, indent: usize) -> String {
    let mut out = head.to_owned();
    let mut column = head.chars().count();
    let mut fresh = true;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        let space = usize::from(!fresh);
        if !fresh && column.saturating_add(space).saturating_add(length) > WIDTH {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else if !fresh {
            out.push(' ');
            column = column.saturating_add(1);
        }
        out.push_str(word);
        column = column.saturating_add(length);
        fresh = false;
    }
    let mut out = out.trim_end().to_owned();
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn piped(json: bool) -> Terminal {
        Terminal::new(Color::Auto, json, |name| (name == "LANG").then(|| "C.UTF-8".to_owned()))
    }

    fn hostile() -> Report {
        let line = Line::Item {
            status: Status::Warn,
            about: "stages".to_owned(),
            text: "a name with \u{1b}[31m and \u{202e} in it, ".repeat(5),
            todo: Some("allow it again in the console, or take it off the list there".repeat(2)),
        };
        Report::done(vec![line, Line::text("word ".repeat(40))], json!({"text": "\u{1b}[31m\u{202e}é"}))
    }

    #[test]
    fn a_pipe_gets_no_escape_byte_and_no_line_beyond_eighty_columns() {
        let (out, _) = piped(false).render(&hostile());
        assert!(!out.contains('\u{1b}') && !out.contains('\u{202e}'), "{out:?}");
        assert!(out.lines().all(|line| line.chars().count() <= WIDTH), "{out}");
        assert!(out.starts_with("  warn  stages          a name with"), "{out}");
        let (again, _) = piped(false).render(&hostile());
        assert_eq!(out, again, "two runs are byte-equal");
    }

    #[test]
    fn color_is_only_on_the_word_and_never_in_json() {
        let always = Terminal::new(Color::Always, false, |_| None);
        let (out, _) = always.render(&Report::done(vec![Line::item(Status::Halt, "agent", "x")], json!({})));
        assert_eq!(out, "  \u{1b}[31mHALT \u{1b}[0m agent           x\n");
        let (out, err) = Terminal::new(Color::Always, true, |_| None).render(&hostile());
        assert!(!out.contains('\u{1b}') && out.is_ascii() && err.is_empty(), "{out:?}");
        assert_eq!(out.lines().count(), 1);
        let read: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(read, json!({"ok": true, "text": "\u{1b}[31m\u{202e}é"}));
    }

    #[test]
    fn an_error_has_three_lines_and_a_code() {
        let failed =
            Report::failed(Three::new("the agent was not halted", "no store answered", "holdfast halt"));
        let (out, err) = piped(false).render(&failed);
        assert_eq!(out, "");
        assert_eq!(err, "FAIL  the agent was not halted\n      no store answered\n      holdfast halt\n");
        assert_eq!(failed.exit_code(), 1);
        assert_eq!(Report::failed(Three::usage("a", "b", "c")).exit_code(), 2);
        assert_eq!(Report::default().exit_code(), 0);
        let (out, _) = piped(true).render(&failed);
        assert!(out.contains("\"ok\":false") && out.contains("\"next\":\"holdfast halt\""), "{out}");
    }

    #[test]
    fn a_locale_without_utf8_gets_ascii() {
        let plain = Terminal::new(Color::Auto, false, |name| (name == "LC_ALL").then(|| "C".to_owned()));
        let (out, _) =
            plain.render(&Report::done(vec![Line::text("Zürich \u{2192} app\u{2019}s")], json!({})));
        assert_eq!(out, "Z?rich -> app's\n");
    }

    #[test]
    fn an_address_is_never_folded() {
        let address = format!("https://halt.example/s/{}", "k".repeat(150));
        let (out, _) = piped(false).render(&Report::done(vec![Line::Copy(address.clone())], json!({})));
        assert_eq!(out, format!("  {address}\n"));
    }
}
