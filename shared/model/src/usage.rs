//! What a call used and what that costs. Must never round down, nor guess a missing count.
use serde::{Deserialize, Serialize};
use types::{PriceRow, UsdNanos, price};

/// Tokens of one answered call, by the price they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Input that was neither written to nor read from the cache.
    pub input_tokens: u64,
    /// Output, thinking included.
    pub output_tokens: u64,
    /// Input written to the five-minute cache.
    pub cache_creation_5m: u64,
    /// Input written to the one-hour cache.
    pub cache_creation_1h: u64,
    /// Input read from the cache.
    pub cache_read: u64,
}

/// As the API writes it. The two counts that are never null must be there: without them nothing is known.
#[derive(Deserialize)]
pub(crate) struct WireUsage {
    input_tokens: u64,
    output_tokens: u64,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation: Option<WireCreation>,
}

#[derive(Deserialize)]
struct WireCreation {
    ephemeral_5m_input_tokens: Option<u64>,
    ephemeral_1h_input_tokens: Option<u64>,
}

impl From<WireUsage> for Usage {
    fn from(wire: WireUsage) -> Self {
        let split = wire.cache_creation.as_ref();
        let five = split.and_then(|c| c.ephemeral_5m_input_tokens).unwrap_or(0);
        let hour = split.and_then(|c| c.ephemeral_1h_input_tokens).unwrap_or(0);
        let written = wire.cache_creation_input_tokens.unwrap_or(0);
        // FAIL-CLOSED: what was written but not said where has the dearer price.
        let rest = written.saturating_sub(five.saturating_add(hour));
        Self {
            input_tokens: wire.input_tokens,
            output_tokens: wire.output_tokens,
            cache_creation_5m: five,
            cache_creation_1h: hour.saturating_add(rest),
            cache_read: wire.cache_read_input_tokens.unwrap_or(0),
        }
    }
}

impl Usage {
    /// Input tokens of every kind: what decides the long-prompt price.
    #[must_use]
    pub fn prompt(&self) -> u64 {
        let written = self.cache_creation_5m.saturating_add(self.cache_creation_1h);
        self.input_tokens.saturating_add(written).saturating_add(self.cache_read)
    }

    /// Input of every kind and output: what counts against the tokens of a run.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.prompt().saturating_add(self.output_tokens)
    }

    /// The exact price.
    #[must_use]
    pub fn price(&self, row: &PriceRow) -> UsdNanos {
        let rates = row.rates_for(self.prompt());
        price(self.input_tokens, rates.input)
            .plus(price(self.cache_creation_5m, rates.cache_write_5m))
            .plus(price(self.cache_creation_1h, rates.cache_write_1h))
            .plus(price(self.cache_read, rates.cache_read))
            .plus(price(self.output_tokens, rates.output))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(json: &str) -> Option<Usage> {
        serde_json::from_str::<WireUsage>(json).ok().map(Usage::from)
    }

    #[test]
    fn nullable_counts_are_zero_and_the_two_that_are_never_null_must_be_there() {
        let plain = Usage { input_tokens: 812, output_tokens: 64, ..Usage::default() };
        for json in [
            r#"{"input_tokens":812,"output_tokens":64}"#,
            r#"{"input_tokens":812,"output_tokens":64,"cache_creation_input_tokens":null,
                "cache_read_input_tokens":null,
                "cache_creation":null,"service_tier":"standard",
                "output_tokens_details":{"thinking_tokens":0}}"#,
        ] {
            assert_eq!(usage(json), Some(plain));
        }
        for bad in [
            "{}",
            r#"{"input_tokens":1}"#,
            r#"{"input_tokens":null,"output_tokens":1}"#,
            r#"{"input_tokens":-1,"output_tokens":1}"#,
            r#"{"input_tokens":1.5,"output_tokens":1}"#,
        ] {
            assert_eq!(usage(bad), None, "{bad}");
        }
    }

    #[test]
    fn cache_writes_without_a_lifetime_have_the_dearer_price() {
        let split = usage(
            r#"{"input_tokens":1,"output_tokens":2,"cache_creation_input_tokens":100,
            "cache_read_input_tokens":640,
            "cache_creation":{"ephemeral_5m_input_tokens":60,"ephemeral_1h_input_tokens":30}}"#,
        )
        .unwrap();
        assert_eq!((split.cache_creation_5m, split.cache_creation_1h, split.cache_read), (60, 40, 640));
        assert_eq!((split.prompt(), split.total()), (741, 743));
        let unsaid =
            usage(r#"{"input_tokens":1,"output_tokens":2,"cache_creation_input_tokens":100}"#).unwrap();
        assert_eq!(unsaid.cache_creation_1h, 100);
    }

    #[test]
    fn the_price_is_exact_and_the_whole_prompt_decides_the_tier() {
        let prices = types::Prices::default();
        let row = prices.0.get("claude-haiku-5-5").unwrap();
        let used = Usage {
            input_tokens: 812,
            output_tokens: 64,
            cache_creation_5m: 3,
            cache_creation_1h: 5,
            cache_read: 640,
        };
        assert_eq!(used.price(row), UsdNanos(812 * 100 + 64 * 500 + 3 * 125 + 5 * 200 + 640 * 10));
        // 1 uncached + 100,000 cached is above the tier, though the uncached rest alone is not.
        let long = Usage { input_tokens: 1, cache_read: 100_000, output_tokens: 1, ..Usage::default() };
        assert_eq!(long.price(row), UsdNanos(500 + 100_000 * 50 + 2_500));
    }
}
