//! What a model costs. Must never hold a float, nor a price for a model it does not name.
use crate::UsdNanos;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Nano-dollars per token ($0.10 per million tokens = 100), per kind of token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Input that was neither read from nor written to the cache.
    pub input: i64,
    /// Input written to the five-minute cache.
    pub cache_write_5m: i64,
    /// Input written to the one-hour cache.
    pub cache_write_1h: i64,
    /// Input read from the cache.
    pub cache_read: i64,
    /// Output, thinking included.
    pub output: i64,
}

impl Rates {
    /// The dearest rate that an input token can have.
    #[must_use]
    pub fn input_max(&self) -> i64 {
        self.input.max(self.cache_write_5m).max(self.cache_write_1h).max(self.cache_read)
    }
}

/// One model's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceRow {
    /// The usual rates.
    pub rates: Rates,
    /// The rates of the whole request when its prompt has more tokens than this.
    pub long_prompt: Option<(u64, Rates)>,
}

impl PriceRow {
    /// An upper bound on the price of a call: every input token at the dearest rate, `max_tokens` of output.
    /// A bound that reaches the long-prompt rates pays the dearer of both: the prompt itself may be shorter.
    // INVARIANT (I12): whatever a person entered as rates, no call costs more than this.
    #[must_use]
    pub fn worst_case(&self, input_tokens_max: u64, output_tokens_max: u64) -> UsdNanos {
        let dearest = |rates: &Rates| {
            price(input_tokens_max, rates.input_max()).plus(price(output_tokens_max, rates.output))
        };
        dearest(self.rates_for(input_tokens_max)).max(dearest(&self.rates))
    }

    /// The rates that a prompt of that many tokens pays.
    #[must_use]
    pub fn rates_for(&self, prompt_tokens: u64) -> &Rates {
        match &self.long_prompt {
            Some((above, long)) if prompt_tokens > *above => long,
            Some(_) | None => &self.rates,
        }
    }
}

/// `tokens` at `rate` nano-dollars each, held at the largest amount rather than wrapped.
#[must_use]
pub fn price(tokens: u64, rate: i64) -> UsdNanos {
    UsdNanos(i64::try_from(tokens).unwrap_or(i64::MAX).saturating_mul(rate))
}

/// Every model that may be called. A model without a row is refused before the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Prices(pub BTreeMap<String, PriceRow>);

impl Default for Prices {
    /// Anthropic's list prices of November 2026 for the models that suit a triage agent.
    fn default() -> Self {
        let rates = |input, cache_write_5m, cache_write_1h, cache_read, output| Rates {
            input,
            cache_write_5m,
            cache_write_1h,
            cache_read,
            output,
        };
        let flat = |rates| PriceRow { rates, long_prompt: None };
        let haiku_5_5 = PriceRow {
            rates: rates(100, 125, 200, 10, 500),
            long_prompt: Some((100_000, rates(500, 625, 1_000, 50, 2_500))),
        };
        Self(BTreeMap::from([
            ("claude-haiku-5-5".to_owned(), haiku_5_5),
            ("claude-haiku-4-5".to_owned(), flat(rates(1_000, 1_250, 2_000, 100, 5_000))),
            ("claude-sonnet-5-5".to_owned(), flat(rates(2_000, 2_500, 4_000, 100, 10_000))),
            ("claude-opus-5-5".to_owned(), flat(rates(4_000, 5_000, 8_000, 200, 20_000))),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_case_is_never_below_any_way_the_tokens_could_be_billed() {
        let prices = Prices::default();
        for (model, row) in &prices.0 {
            for tokens in [1_u64, 99_999, 100_000, 100_001, 500_000] {
                let bound = row.worst_case(tokens, 1_024);
                let rates = row.rates_for(tokens);
                for rate in [rates.input, rates.cache_write_5m, rates.cache_write_1h, rates.cache_read] {
                    assert!(
                        price(tokens, rate).plus(price(1_024, rates.output)) <= bound,
                        "{model} {tokens}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_long_prompt_pays_the_long_rates_for_the_whole_request() {
        let prices = Prices::default();
        let row = prices.0.get("claude-haiku-5-5").expect("a row");
        assert_eq!(row.worst_case(100_000, 0), UsdNanos(100_000 * 200));
        assert_eq!(row.worst_case(100_001, 0), UsdNanos(100_001 * 1_000));
        // Somebody entered a long prompt as the cheaper one: a bound above the line may be a prompt below it.
        let (above, long) = row.long_prompt.expect("long rates");
        let swapped = PriceRow { rates: long, long_prompt: Some((above, row.rates)) };
        assert_eq!(swapped.worst_case(100_001, 0), UsdNanos(100_001 * 1_000));
    }
}
