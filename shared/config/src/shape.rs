//! The parts of the hot configuration, read with bounds. Must never take a bad value for "no limit".
use crate::ConfigError;
use serde::{Deserialize, Serialize, de::Error as _};
use types::{Caps, Prices, Rates, Stages, UsdNanos};

/// The largest parameter that SSM keeps for free; a larger one is not ours.
pub(crate) const PART_BYTES_MAX: usize = 4_096;
const STAGES_MAX: usize = 100;
const RATE_MAX: i64 = 1_000_000_000;

/// One part of the hot configuration, as an SSM parameter of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Stages,
    Caps,
    Prices,
    Zone,
}

impl Part {
    pub(crate) const ALL: [Self; 4] = [Self::Stages, Self::Caps, Self::Prices, Self::Zone];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stages => "stages",
            Self::Caps => "caps",
            Self::Prices => "prices",
            Self::Zone => "zone",
        }
    }

    pub(crate) const fn malformed(self) -> ConfigError {
        let must = match self {
            Self::Stages => "JSON, a list of at most 100 stages with unique ids",
            Self::Caps => {
                "JSON: tokens_per_run, tool_calls_per_run, usd_per_day (\"25.00\"), each within its bounds"
            }
            Self::Prices => "JSON, per model its rates in whole nano-dollars per token, none below zero",
            Self::Zone => "an IANA time zone such as Europe/Amsterdam",
        };
        ConfigError::MalformedHot { part: self.name(), must }
    }
}

/// Caps as people write them: dollars as text.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WrittenCaps {
    tokens_per_run: u64,
    tool_calls_per_run: u32,
    #[serde(deserialize_with = "read_usd", serialize_with = "write_usd")]
    usd_per_day: UsdNanos,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenUsd {
    Dollars(String),
    Nanos(i64),
}

fn read_usd<'de, D: serde::Deserializer<'de>>(from: D) -> Result<UsdNanos, D::Error> {
    match WrittenUsd::deserialize(from)? {
        WrittenUsd::Nanos(nanos) => Ok(UsdNanos(nanos)),
        WrittenUsd::Dollars(text) => {
            UsdNanos::parse_usd(&text).ok_or_else(|| D::Error::custom("not an amount"))
        }
    }
}

fn write_usd<S: serde::Serializer>(usd: &UsdNanos, to: S) -> Result<S::Ok, S::Error> {
    let (whole, fraction) = (usd.0 / 1_000_000_000, usd.0 % 1_000_000_000);
    let digits = format!("{fraction:09}");
    let (cents, rest) = digits.split_at_checked(2).unwrap_or((&digits, ""));
    to.serialize_str(&format!("{whole}.{cents}{}", rest.trim_end_matches('0')))
}

pub(crate) fn read_stages(text: &str) -> Result<Stages, ConfigError> {
    let stages = serde_json::from_str(text).map_err(|_| Part::Stages.malformed())?;
    check_stages(&stages)?;
    Ok(stages)
}

fn check_stages(Stages(rules): &Stages) -> Result<(), ConfigError> {
    let plain = |id: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        !id.is_empty() && id.len() <= 128 && id.bytes().all(allowed)
    };
    let mut ids: Vec<_> = rules.iter().map(|rule| rule.stage_id.to_ascii_lowercase()).collect();
    ids.sort_unstable();
    ids.dedup();
    let is_right = rules.len() <= STAGES_MAX
        && ids.len() == rules.len()
        && rules
            .iter()
            .all(|rule| plain(&rule.stage_id) && plain(&rule.pipeline_id) && rule.label.len() <= 400);
    if is_right { Ok(()) } else { Err(Part::Stages.malformed()) }
}

pub(crate) fn read_caps(text: &str) -> Result<Caps, ConfigError> {
    let written: WrittenCaps = serde_json::from_str(text).map_err(|_| Part::Caps.malformed())?;
    let caps = Caps {
        tokens_per_run: written.tokens_per_run,
        tool_calls_per_run: written.tool_calls_per_run,
        usd_per_day: written.usd_per_day,
    };
    check_caps(&caps)?;
    Ok(caps)
}

// Bounds far above any sane cap: they catch a slip of the hand and keep sums far from overflow.
fn check_caps(caps: &Caps) -> Result<(), ConfigError> {
    let is_right = caps.tokens_per_run <= 10_000_000
        && caps.tool_calls_per_run <= 1_000
        && (UsdNanos::ZERO..=UsdNanos::from_cents(10_000_000)).contains(&caps.usd_per_day);
    if is_right { Ok(()) } else { Err(Part::Caps.malformed()) }
}

pub(crate) fn read_prices(text: &str) -> Result<Prices, ConfigError> {
    let prices = serde_json::from_str(text).map_err(|_| Part::Prices.malformed())?;
    check_prices(&prices)?;
    Ok(prices)
}

// FAIL-CLOSED: a free or negative rate would make a call that no cap ever sees.
fn check_prices(Prices(rows): &Prices) -> Result<(), ConfigError> {
    let right = |rates: &Rates| {
        let paid = [rates.input, rates.output, rates.cache_write_5m, rates.cache_write_1h];
        paid.iter().all(|rate| (1..=RATE_MAX).contains(rate)) && (0..=RATE_MAX).contains(&rates.cache_read)
    };
    let all = rows
        .values()
        .all(|row| right(&row.rates) && row.long_prompt.as_ref().is_none_or(|(_, rates)| right(rates)));
    if all { Ok(()) } else { Err(Part::Prices.malformed()) }
}

pub(crate) fn read_zone(text: &str) -> Result<String, ConfigError> {
    let name = text.trim();
    let zone = jiff::tz::TimeZone::get(name).map_err(|_| Part::Zone.malformed())?;
    zone.iana_name().map(str::to_owned).ok_or(Part::Zone.malformed())
}

pub(crate) fn write_stages(stages: &Stages) -> Result<String, ConfigError> {
    check_stages(stages)?;
    bounded(Part::Stages, serde_json::to_string(stages))
}

pub(crate) fn write_caps(caps: &Caps) -> Result<String, ConfigError> {
    check_caps(caps)?;
    let written = WrittenCaps {
        tokens_per_run: caps.tokens_per_run,
        tool_calls_per_run: caps.tool_calls_per_run,
        usd_per_day: caps.usd_per_day,
    };
    bounded(Part::Caps, serde_json::to_string(&written))
}

pub(crate) fn write_prices(prices: &Prices) -> Result<String, ConfigError> {
    check_prices(prices)?;
    bounded(Part::Prices, serde_json::to_string(prices))
}

fn bounded(part: Part, written: serde_json::Result<String>) -> Result<String, ConfigError> {
    written.ok().filter(|text| text.len() <= PART_BYTES_MAX).ok_or(part.malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_are_read_in_dollars_or_nanos_and_written_in_dollars() {
        let read = |usd: &str| {
            read_caps(&format!(
                "{{\"tokens_per_run\":40000,\"tool_calls_per_run\":30,\"usd_per_day\":{usd}}}"
            ))
            .map(|caps| caps.usd_per_day)
        };
        assert_eq!(read("\"25.00\"").ok(), Some(UsdNanos(25_000_000_000)));
        assert_eq!(read("25000000000").ok(), Some(UsdNanos(25_000_000_000)));
        for bad in ["\"-1\"", "-1", "25.0", "\"1e3\"", "null", "\"100001\"", "\"25\",\"usd_per_day\":\"99\""]
        {
            assert!(read(bad).is_err(), "{bad} must be refused");
        }
        assert!(read_caps("{\"tokens_per_run\":1,\"tool_calls_per_run\":1}").is_err());
        for nanos in [0, 1, 25_000_000_000, 9_400_000_000, 310_000_001] {
            let caps = Caps { usd_per_day: UsdNanos(nanos), ..Caps::default() };
            let text = write_caps(&caps).expect("within bounds");
            assert_eq!(read_caps(&text).expect("reads back"), caps, "{text}");
        }
        assert!(write_caps(&Caps::default()).expect("default").contains("\"usd_per_day\":\"25.00\""));
    }

    #[test]
    fn the_default_prices_fit_and_a_free_or_negative_rate_is_refused() {
        let text = write_prices(&Prices::default()).expect("default");
        assert_eq!(read_prices(&text).expect("reads back"), Prices::default());
        for (from, to) in [("\"input\":100,", "\"input\":0,"), ("\"output\":500}", "\"output\":-500}")] {
            let bad = text.replacen(from, to, 1);
            assert!(bad != text && read_prices(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn stages_have_plain_unique_ids() {
        let rule = |id: &str| {
            format!(
                "{{\"stage_id\":\"{id}\",\"label\":\"L\",\"pipeline_id\":\"default\",\
                 \"agent_may_move_here\":true,\"closed\":false}}"
            )
        };
        assert!(read_stages(&format!("[{},{}]", rule("won"), rule("1093387201"))).is_ok());
        for bad in ["[", "{}", &format!("[{},{}]", rule("won"), rule("WON")), &format!("[{}]", rule("a b"))] {
            assert!(read_stages(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_zone_is_an_iana_name() {
        assert_eq!(read_zone(" Europe/Amsterdam\n").ok().as_deref(), Some("Europe/Amsterdam"));
        for bad in ["", "Amsterdam", "+02:00", "../etc/passwd", "Europe/Atlantis"] {
            assert!(read_zone(bad).is_err(), "{bad:?}");
        }
    }
}
