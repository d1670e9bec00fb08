//! Which day pays, from clock, zone and open day. Must never open two days within 20 hours.
use crate::BudgetError;
use jiff::{Timestamp, civil::Date};

/// A day's budget begins at least this long after the one before.
const DAY_MS_MIN: i64 = 20 * 60 * 60 * 1_000;

/// The day that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenDay {
    pub(crate) date: Date,
    /// When its budget began: midnight in its zone, or later.
    pub(crate) from_ms: i64,
    /// When it was first used.
    pub(crate) opened_ms: i64,
    /// The zone it was opened in.
    pub(crate) zone: String,
}

/// Which day pays now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Today {
    /// The open one goes on.
    GoesOn,
    /// This one is due.
    Due { date: Date, from_ms: i64 },
}

/// The local date of `now` in `zone` pays, if it is later than the open day and 20 hours have passed since
/// that began.
///
/// Midnights of one zone are 23 to 25 hours apart, so there it is always midnight that decides.
// INVARIANT (I16): at most one new day budget per 20 hours, whatever happens to the zone.
// WHY NOT count the 20 hours from the first use: a day first used at 23:50 would keep the next one shut until
// 19:50.
// After a change of zone they do count from there too, for then no midnight separates the two.
pub(crate) fn today(now: Timestamp, zone: &str, open: Option<&OpenDay>) -> Result<Today, BudgetError> {
    let here = now.in_tz(zone).map_err(|_| BudgetError::Zone)?;
    let midnight_ms = here.start_of_day().map_err(|_| BudgetError::Zone)?.timestamp().as_millisecond();
    let Some(open) = open else {
        return Ok(Today::Due { date: here.date(), from_ms: midnight_ms });
    };
    if types::mutant("midnight_alone") && here.date() > open.date {
        return Ok(Today::Due { date: here.date(), from_ms: midnight_ms });
    }
    let mut from_ms = midnight_ms.max(open.from_ms.saturating_add(DAY_MS_MIN));
    if zone != open.zone {
        from_ms = from_ms.max(open.opened_ms.saturating_add(DAY_MS_MIN));
    }
    if here.date() > open.date && now.as_millisecond() >= from_ms {
        Ok(Today::Due { date: here.date(), from_ms })
    } else {
        Ok(Today::GoesOn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Today::{Due, GoesOn};

    fn at(time: &str) -> Timestamp {
        time.parse().expect("a time")
    }

    fn opened(date: &str, from: &str, opened: &str, zone: &str) -> OpenDay {
        let (from_ms, opened_ms) = (at(from).as_millisecond(), at(opened).as_millisecond());
        OpenDay { date: date.parse().expect("a date"), from_ms, opened_ms, zone: zone.to_owned() }
    }

    fn due(date: &str, from: &str) -> Today {
        Due { date: date.parse().expect("a date"), from_ms: at(from).as_millisecond() }
    }

    const AMS: &str = "Europe/Amsterdam";

    fn check(now: &str, zone: &str, open: &OpenDay, expected: Today) {
        assert_eq!(today(at(now), zone, Some(open)).expect("a zone"), expected, "{now} {zone} {open:?}");
    }

    #[test]
    fn the_first_day_is_the_local_one() {
        let first = today(at("2026-11-23T23:30:00Z"), AMS, None).expect("a zone");
        assert_eq!(first, due("2026-11-24", "2026-11-23T23:00:00Z"));
        assert!(today(at("2026-11-23T23:30:00Z"), "Amsterdam", None).is_err());
    }

    #[test]
    fn midnight_opens_the_next_day_however_late_the_last_one_was_first_used() {
        let open = opened("2026-11-24", "2026-11-23T23:00:00Z", "2026-11-24T22:50:00Z", AMS);
        check("2026-11-24T22:59:59.999Z", AMS, &open, GoesOn);
        check("2026-11-24T23:00:00Z", AMS, &open, due("2026-11-25", "2026-11-24T23:00:00Z"));
    }

    #[test]
    fn days_of_23_and_of_25_hours_begin_at_their_midnights() {
        let spring = opened("2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T08:00:00Z", AMS);
        check("2026-03-29T21:59:59Z", AMS, &spring, GoesOn);
        check("2026-03-29T22:00:00Z", AMS, &spring, due("2026-03-30", "2026-03-29T22:00:00Z"));
        let autumn = opened("2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T08:00:00Z", AMS);
        check("2026-10-25T22:30:00Z", AMS, &autumn, GoesOn);
        check("2026-10-25T23:00:00Z", AMS, &autumn, due("2026-10-26", "2026-10-25T23:00:00Z"));
    }

    #[test]
    fn a_change_of_zone_opens_nothing_for_20_hours() {
        let open = opened("2026-11-24", "2026-11-23T23:00:00Z", "2026-11-24T09:00:00Z", AMS);
        let auckland = "Pacific/Auckland"; // there it is the 25th from 11:00Z on
        check("2026-11-24T12:00:00Z", auckland, &open, GoesOn);
        check("2026-11-25T04:59:59Z", auckland, &open, GoesOn);
        check("2026-11-25T05:00:00Z", auckland, &open, due("2026-11-25", "2026-11-25T05:00:00Z"));
        // Back again: the earlier date is closed, the open one pays.
        let open = opened("2026-11-25", "2026-11-25T05:00:00Z", "2026-11-25T05:00:00Z", auckland);
        check("2026-11-25T06:00:00Z", "Pacific/Honolulu", &open, GoesOn);
        // The new zone's next midnight is nearer than 20 hours: it waits.
        check("2026-11-25T11:00:00Z", auckland, &open, GoesOn);
        check("2026-11-26T01:00:00Z", auckland, &open, due("2026-11-26", "2026-11-26T01:00:00Z"));
    }

    #[test]
    fn whatever_the_zones_no_two_days_open_within_20_hours_of_a_change() {
        let zones =
            [AMS, "Pacific/Auckland", "America/Los_Angeles", "Pacific/Kiritimati", "UTC", "Asia/Kathmandu"];
        let (mut open, mut seed, mut days) = (None::<OpenDay>, 7_u64, 0);
        let mut now_ms = at("2026-01-01T00:00:00Z").as_millisecond();
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            now_ms += i64::try_from((seed >> 33) % 3_600_000).expect("small");
            let zone = zones[usize::try_from(seed >> 60).expect("small") % zones.len()];
            let now = Timestamp::from_millisecond(now_ms).expect("a time");
            let Due { date, from_ms } = today(now, zone, open.as_ref()).expect("a zone") else { continue };
            assert!(from_ms <= now_ms);
            if let Some(before) = open {
                assert!(date > before.date && from_ms - before.from_ms >= DAY_MS_MIN);
                assert!(
                    zone == before.zone || now_ms - before.opened_ms >= DAY_MS_MIN,
                    "{before:?} then {now} {zone}"
                );
            }
            days += 1;
            open = Some(OpenDay { date, from_ms, opened_ms: now_ms, zone: zone.to_owned() });
        }
        assert!((300..=500).contains(&days), "20,000 half hours are 416 days, and {days} were opened");
    }
}
