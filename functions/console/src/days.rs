//! Days of the company's calendar: where one begins and ends, and how it is named. Must never use the
//! server's zone.
use jiff::civil::Date;
use types::Timestamp;
use web::Zone;

/// The date of a moment in that zone.
pub(crate) fn date_of(at: Timestamp, zone: &Zone) -> Date {
    // The zone was checked when it was made; UTC is what is left.
    at.in_tz(zone.name()).or_else(|_| at.in_tz("UTC")).map_or(Date::ZERO, |local| local.date())
}

/// A date as an address or a form writes it: `2026-03-17`.
pub(crate) fn parse(text: &str) -> Option<Date> {
    (text.len() == 10).then(|| text.parse().ok()).flatten()
}

/// When that date begins there.
pub(crate) fn begins(date: Date, zone: &Zone) -> Option<Timestamp> {
    let midnight = date.in_tz(zone.name()).ok()?;
    Some(midnight.timestamp())
}

/// When that date ends there.
pub(crate) fn ends(date: Date, zone: &Zone) -> Option<Timestamp> {
    begins(date.tomorrow().ok()?, zone)
}

/// The date `days` before.
pub(crate) fn before(date: Date, days: i32) -> Date {
    date.checked_sub(jiff::Span::new().days(days)).unwrap_or(date)
}

/// `Thursday 4 June`.
pub(crate) fn long(date: Date) -> String {
    date.strftime("%A %-d %B").to_string()
}

/// `Thursday 4 June 2026`.
pub(crate) fn long_with_year(date: Date) -> String {
    date.strftime("%A %-d %B %Y").to_string()
}

/// `Thu 4 June`.
pub(crate) fn short(date: Date) -> String {
    date.strftime("%a %-d %B").to_string()
}

/// `4/6`.
pub(crate) fn numbers(date: Date) -> String {
    date.strftime("%-d/%-m").to_string()
}

/// `Th`.
pub(crate) fn two_letters(date: Date) -> String {
    date.strftime("%a").to_string().chars().take(2).collect()
}

/// The last `count` dates up to `today`, oldest first.
pub(crate) fn last(today: Date, count: i32) -> Vec<Date> {
    (0..count).rev().map(|back| before(today, back)).collect()
}

/// `2 h 10 min`, `48 min`, `less than a minute`.
pub(crate) fn waited(since: Timestamp, now: Timestamp) -> String {
    let minutes = now.as_second().saturating_sub(since.as_second()).max(0) / 60;
    match (minutes / 60, minutes % 60) {
        (0, 0) => "less than a minute".to_owned(),
        (0, rest) => format!("{rest} min"),
        (hours, rest) if hours < 48 => format!("{hours} h {rest} min"),
        (hours, _) => format!("{} days", hours / 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_its_own_midnight_also_when_it_has_25_hours() {
        let zone = Zone::new("Europe/Amsterdam").unwrap();
        let date = parse("2026-10-25").unwrap();
        let (from, until) = (begins(date, &zone).unwrap(), ends(date, &zone).unwrap());
        assert_eq!(from.to_string(), "2026-10-24T22:00:00Z");
        assert_eq!(until.as_second() - from.as_second(), 25 * 3_600);
        assert_eq!(date_of(from, &zone), date);
    }

    #[test]
    fn dates_are_named_and_waits_are_told() {
        let date = parse("2026-06-04").unwrap();
        assert_eq!(long(date), "Thursday 4 June");
        assert_eq!(long_with_year(date), "Thursday 4 June 2026");
        assert_eq!((short(date).as_str(), two_letters(date).as_str()), ("Thu 4 June", "Th"));
        assert_eq!(last(date, 3).first().map(|day| day.to_string()).as_deref(), Some("2026-06-02"));
        let at = |s: i64| Timestamp::from_second(s).unwrap();
        assert_eq!(waited(at(0), at(7_800)), "2 h 10 min");
        assert_eq!(waited(at(0), at(59)), "less than a minute");
        assert_eq!(waited(at(0), at(300_000)), "3 days");
        for bad in ["", "2026-6-4", "4 June", "2026-13-01", "2026-02-30"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
