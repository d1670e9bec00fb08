//! What the terminal is shown: fixed-width status words, colour only where it helps. Must never carry a
//! meaning by colour alone, nor an escape byte into a pipe.
use std::io::{IsTerminal, Write};

/// Room for the longest tool name and a blank.
const WHAT_COLUMNS: usize = 19;

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

/// A status word: 6 characters wide, so that columns line up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// A check that passed, a read, a question asked.
    Ok,
    /// Would have been done.
    Dry,
    /// Done.
    Did,
    /// Put before a human.
    Draft,
    /// Refused.
    No,
    /// Stopped by a halt.
    Halt,
    /// Stopped by a cap.
    Cap,
    /// Failed, or unknown.
    Fail,
}

impl Status {
    /// The word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Dry => "DRY",
            Self::Did => "DID",
            Self::Draft => "DRAFT",
            Self::No => "NO",
            Self::Halt => "HALT",
            Self::Cap => "CAP",
            Self::Fail => "FAIL",
        }
    }

    const fn color(self) -> &'static str {
        match self {
            Self::Ok | Self::Did => "\u{1b}[32m",
            Self::Dry | Self::Draft | Self::No => "\u{1b}[33m",
            Self::Halt | Self::Cap | Self::Fail => "\u{1b}[31m",
        }
    }
}

/// Where lines go: results to stdout, progress to stderr.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    color: bool,
    json: bool,
    ascii: bool,
    width: usize,
}

impl Terminal {
    /// As the flags, the environment and the streams say. `lookup` reads an environment variable.
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
        Self { color: color && !json, json, ascii: !utf8, width: 80 }
    }

    /// One object a line instead of text?
    #[must_use]
    pub const fn is_json(self) -> bool {
        self.json
    }

    /// `  DRY   set_stage          would have: Negotiation -> Closed Lost`, at most 80 columns.
    #[must_use]
    pub fn line(self, status: Status, what: &str, text: &str) -> String {
        let word = format!("{:<5}", status.word());
        let word = if self.color { format!("{}{word}\u{1b}[0m", status.color()) } else { word };
        let room = self.width.saturating_sub(8 + WHAT_COLUMNS);
        format!("  {word} {:<WHAT_COLUMNS$}{}", cut(what, WHAT_COLUMNS), self.plain(text, room))
            .trim_end()
            .to_owned()
    }

    /// Text without control or bidi characters, cut to `columns`, arrows as the locale can show them.
    #[must_use]
    pub fn plain(self, text: &str, columns: usize) -> String {
        let text: String = text
            .chars()
            .filter_map(|c| match c {
                '\n' | '\t' => Some(' '),
                c if c.is_control() || is_bidi(c) => None,
                c => Some(c),
            })
            .collect();
        let text = text.replace('\u{2192}', "->");
        let text = if self.ascii { text.replace(|c: char| !c.is_ascii(), "?") } else { text };
        cut(&text, columns)
    }

    /// A result.
    pub fn say(self, line: &str) {
        // A reader that closed the pipe (`| head`) wants no more, which is no error.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }

    /// Progress.
    pub fn progress(self, line: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
}

fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let kept: String = text.chars().take(columns.saturating_sub(2)).collect();
    format!("{kept}..")
}

/// Characters that change the direction or order of what follows.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piped(json: bool) -> Terminal {
        Terminal::new(Color::Auto, json, |name| (name == "LANG").then(|| "C.UTF-8".to_owned()))
    }

    #[test]
    fn a_pipe_gets_no_escape_byte_and_no_line_beyond_eighty_columns() {
        let line =
            piped(false).line(Status::Dry, "set_stage", &"would have: x \u{1b}[31m\u{202e} ".repeat(20));
        assert!(!line.contains('\u{1b}') && !line.contains('\u{202e}'), "{line:?}");
        assert!(line.chars().count() <= 80, "{}", line.chars().count());
        assert!(line.starts_with("  DRY   set_stage          would have: x"), "{line:?}");
    }

    #[test]
    fn color_is_only_on_the_word_and_only_when_asked_for() {
        let line = Terminal::new(Color::Always, false, |_| None).line(Status::Halt, "halt check", "by demo");
        assert!(line.starts_with("  \u{1b}[31mHALT \u{1b}[0m halt check         by demo"), "{line:?}");
        let json = Terminal::new(Color::Always, true, |_| None).line(Status::Halt, "halt check", "by demo");
        assert!(!json.contains('\u{1b}'));
    }

    #[test]
    fn a_locale_without_utf8_gets_ascii() {
        let plain = Terminal::new(Color::Auto, false, |name| (name == "LC_ALL").then(|| "C".to_owned()));
        assert_eq!(plain.plain("Zürich → x", 40), "Z?rich -> x");
    }
}
