//! Times as people read them: company zone, 24 h with seconds, offset. Must never print a time without its
//! zone known.
use crate::{Lang, WebError, visible_line};
use maud::{Markup, html};
use types::Timestamp;

/// The company's time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(String);

/// One moment as the clock on the wall shows it there.
struct Wall {
    year: i16,
    month: i8,
    day: i8,
    clock: String,
    offset_s: i32,
}

impl Zone {
    /// A zone by its IANA name.
    ///
    /// # Errors
    /// [`WebError::UnknownZone`] when there is none of that name.
    pub fn new(name: &str) -> Result<Self, WebError> {
        match Timestamp::UNIX_EPOCH.in_tz(name) {
            Ok(_) => Ok(Self(name.to_owned())),
            Err(_) => Err(WebError::UnknownZone { name: visible_line(name) }),
        }
    }

    /// UTC.
    #[must_use]
    pub fn utc() -> Self {
        Self("UTC".to_owned())
    }

    /// The city for people: `Amsterdam`, `New York`.
    #[must_use]
    pub fn city(&self) -> String {
        self.0.rsplit('/').next().unwrap_or_default().replace('_', " ")
    }

    /// The IANA name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// `UTC+2`, `UTC-3:30`, `UTC`.
    #[must_use]
    pub fn offset(&self, at: Timestamp) -> String {
        offset_text(self.wall(at).offset_s)
    }

    /// `02:14:07`.
    #[must_use]
    pub fn clock(&self, at: Timestamp) -> String {
        self.wall(at).clock
    }

    /// `2026-11-24` there.
    #[must_use]
    pub fn date(&self, at: Timestamp) -> String {
        let wall = self.wall(at);
        format!("{:04}-{:02}-{:02}", wall.year, wall.month, wall.day)
    }

    /// `02:14:07`, with the date when it is not today's and the offset when it is not today's:
    /// `23 Nov 02:14:07`, `31 Dec 2025 02:14:07`, `02:30:00 (UTC+2)`.
    #[must_use]
    pub fn text(&self, at: Timestamp, now: Timestamp, lang: Lang) -> String {
        let (then, today) = (self.wall(at), self.wall(now));
        let mut out = String::new();
        if (then.year, then.month, then.day) != (today.year, today.month, today.day) {
            out.push_str(&format!("{} {} ", then.day, month_name(then.month, lang)));
        }
        if then.year != today.year {
            out.push_str(&format!("{} ", then.year));
        }
        out.push_str(&then.clock);
        if then.offset_s != today.offset_s {
            out.push_str(&format!(" ({})", offset_text(then.offset_s)));
        }
        out
    }

    /// The same as `<time datetime="…Z">`, the machine's half in UTC.
    #[must_use]
    pub fn stamp(&self, at: Timestamp, now: Timestamp, lang: Lang) -> Markup {
        let utc = Timestamp::from_second(at.as_second()).unwrap_or(at);
        html! { time datetime=(utc) { (self.text(at, now, lang)) } }
    }

    fn wall(&self, at: Timestamp) -> Wall {
        // The name was checked when the zone was made; UTC is what is left, and its offset says so.
        let local = at.in_tz(&self.0).or_else(|_| at.in_tz("UTC"));
        let Ok(local) = local else {
            return Wall { year: 0, month: 0, day: 0, clock: at.to_string(), offset_s: 0 };
        };
        Wall {
            year: local.year(),
            month: local.month(),
            day: local.day(),
            clock: format!("{:02}:{:02}:{:02}", local.hour(), local.minute(), local.second()),
            offset_s: local.offset().seconds(),
        }
    }
}

fn offset_text(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    match (minutes / 60, minutes % 60) {
        (0, 0) => "UTC".to_owned(),
        (hours, 0) => format!("UTC{sign}{hours}"),
        (hours, rest) => format!("UTC{sign}{hours}:{rest:02}"),
    }
}

fn month_name(month: i8, lang: Lang) -> &'static str {
    const EN: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const NL: [&str; 12] =
        ["jan", "feb", "mrt", "apr", "mei", "jun", "jul", "aug", "sep", "okt", "nov", "dec"];
    let names = match lang {
        Lang::En => EN,
        Lang::Nl => NL,
    };
    let index = usize::try_from(month).unwrap_or_default().saturating_sub(1);
    names.get(index).copied().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amsterdam() -> Zone {
        Zone::new("Europe/Amsterdam").unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_hour_that_happens_twice_is_told_apart() {
        let (first, second) = (at("2026-10-25T00:30:00Z"), at("2026-10-25T01:30:00Z"));
        let now = at("2026-10-25T02:00:00Z");
        assert_eq!(amsterdam().text(first, now, Lang::En), "02:30:00 (UTC+2)");
        assert_eq!(amsterdam().text(second, now, Lang::En), "02:30:00");
        assert_eq!(amsterdam().offset(first), "UTC+2");
        assert_eq!(amsterdam().offset(second), "UTC+1");
    }

    #[test]
    fn the_date_is_added_when_it_is_not_today() {
        let now = at("2026-11-24T01:14:07Z");
        for (then, en, nl) in [
            ("2026-11-24T01:14:05.250Z", "02:14:05", "02:14:05"),
            ("2026-11-23T22:59:59Z", "23 Nov 23:59:59", "23 nov 23:59:59"),
            ("2026-11-23T23:00:00Z", "00:00:00", "00:00:00"),
            ("2026-03-01T11:00:00Z", "1 Mar 12:00:00", "1 mrt 12:00:00"),
            ("2025-12-31T23:00:00Z", "1 Jan 00:00:00", "1 jan 00:00:00"),
            ("2025-12-31T22:00:00Z", "31 Dec 2025 23:00:00", "31 dec 2025 23:00:00"),
        ] {
            assert_eq!(amsterdam().text(at(then), now, Lang::En), en);
            assert_eq!(amsterdam().text(at(then), now, Lang::Nl), nl);
        }
    }

    #[test]
    fn the_machines_half_is_utc() {
        let now = at("2026-07-24T00:14:07.999Z");
        let shown = amsterdam().stamp(now, now, Lang::En).into_string();
        assert_eq!(shown, "<time datetime=\"2026-07-24T00:14:07Z\">02:14:07</time>");
    }

    #[test]
    fn odd_offsets_and_names() {
        let now = at("2026-07-24T00:00:00Z");
        assert_eq!(Zone::new("America/St_Johns").unwrap().offset(now), "UTC-2:30");
        assert_eq!(Zone::new("America/St_Johns").unwrap().city(), "St Johns");
        assert_eq!(Zone::utc().offset(now), "UTC");
        assert!(Zone::new("Europe/Nowhere\u{1b}").is_err());
    }
}
