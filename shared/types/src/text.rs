//! Text that others wrote, made safe to show. Must never let a control or direction character through.
use std::fmt::Write as _;

/// For pages: control, direction and invisible characters become `[U+202E]`; line breaks stay.
#[must_use]
pub fn visible(text: &str) -> String {
    shown(text, &['\n'])
}

/// For one line (logs, headings, spreadsheets): as [`visible`], and line breaks become visible too.
#[must_use]
pub fn visible_line(text: &str) -> String {
    shown(text, &[])
}

fn shown(text: &str, kept: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) && !kept.contains(&c) {
            // Writing into a String cannot fail.
            let _ = write!(out, "[U+{:04X}]", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// A name that can be shown: one line, not empty, at most 80 characters.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let shown = name.trim();
    !shown.is_empty() && shown.chars().count() <= 80 && visible_line(shown) == shown
}

/// Characters that change how others are shown, or are not shown at all.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// One field of a CSV file: quoted, and never read as a formula by a spreadsheet.
#[must_use]
pub fn csv_field(text: &str) -> String {
    let text = visible_line(text);
    // A spreadsheet skips spaces (also the wide one) before it looks for a formula.
    let first = text.trim_start().chars().next();
    let formula =
        first.is_some_and(|c| matches!(c, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠' | '|' | '%'));
    let guard = if formula { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_become_visible() {
        for (raw, line) in [
            ("plain é 日本 🙂", "plain é 日本 🙂"),
            ("a\u{202e}b", "a[U+202E]b"),
            ("a\u{0}\u{1b}[31m", "a[U+0000][U+001B][31m"),
            ("a\u{200b}\u{2066}\u{feff}\u{ad}", "a[U+200B][U+2066][U+FEFF][U+00AD]"),
            ("a\r\nb\tc", "a[U+000D][U+000A]b[U+0009]c"),
            ("\u{85}\u{9b}\u{e0041}", "[U+0085][U+009B][U+E0041]"),
        ] {
            assert_eq!(visible_line(raw), line);
        }
        assert_eq!(visible("a\r\nb"), "a[U+000D]\nb");
    }

    #[test]
    fn no_control_or_direction_character_survives() {
        for c in (0..=0x0010_ffff).filter_map(char::from_u32).filter(|c| c.is_control()) {
            assert!(!visible_line(&c.to_string()).contains(c), "U+{:04X}", u32::from(c));
        }
        for c in
            "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}"
                .chars()
        {
            assert!(!visible(&c.to_string()).contains(c), "U+{:04X}", u32::from(c));
        }
    }

    #[test]
    fn a_name_is_one_visible_line() {
        assert!(is_name("Ann"));
        for bad in ["", "  ", "a\nb", "a\u{202e}b", &"x".repeat(81)] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_spreadsheet_reads_text_and_no_formula() {
        for (raw, field) in [
            ("Jansen, \"Cold\" Chain", "\"Jansen, \"\"Cold\"\" Chain\""),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("  @SUM(1)", "\"'  @SUM(1)\""),
            ("-1+1", "\"'-1+1\""),
            ("＝1", "\"'＝1\""),
            ("\t=1", "\"[U+0009]=1\""),
            ("a\nb", "\"a[U+000A]b\""),
            ("", "\"\""),
        ] {
            assert_eq!(csv_field(raw), field);
        }
    }
}
