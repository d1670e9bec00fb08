//! Money as integer nano-dollars. Must never pass through a float.
use serde::{Deserialize, Serialize};
use std::fmt;

/// Nano-dollars (1 USD = 1,000,000,000). Signed: a balance may go below zero when a call cost more than
/// reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UsdNanos(pub i64);

/// Nano-dollars in one dollar.
const NANOS_PER_USD: i64 = 1_000_000_000;

impl UsdNanos {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Whole cents.
    #[must_use]
    pub const fn from_cents(cents: i64) -> Self {
        Self(cents.saturating_mul(NANOS_PER_USD / 100))
    }

    /// Reads `25`, `25.5` or `25.00` (up to nine decimals, no sign, no currency).
    #[must_use]
    pub fn parse_usd(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
            return None;
        }
        let fraction_nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
        whole.parse::<i64>().ok()?.checked_mul(NANOS_PER_USD)?.checked_add(fraction_nanos).map(Self)
    }

    /// Sum, held at the largest value rather than wrapped.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Difference, held at the smallest value rather than wrapped.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for UsdNanos {
    /// Dollars and cents (`$9.40`); under ten cents four decimals (`$0.0031`), so that a cheap call is not
    /// shown as free.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        let (decimals, unit) = if nanos > 0 && nanos < 100_000_000 { (4, 100_000) } else { (2, 10_000_000) };
        let units = nanos.saturating_add(unit / 2) / unit;
        let per_usd = if decimals == 4 { 10_000 } else { 100 };
        write!(f, "{sign}${}.{:0decimals$}", units / per_usd, units % per_usd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_and_printed_exactly() {
        let table = [
            ("25.00", 25_000_000_000, "$25.00"),
            ("0.31", 310_000_000, "$0.31"),
            ("9.4", 9_400_000_000, "$9.40"),
            ("0.0031", 3_100_000, "$0.0031"),
            ("0", 0, "$0.00"),
            ("0.000000001", 1, "$0.0000"),
        ];
        for (text, nanos, shown) in table {
            let usd = UsdNanos::parse_usd(text);
            assert_eq!(usd, Some(UsdNanos(nanos)), "{text}");
            assert_eq!(UsdNanos(nanos).to_string(), shown);
        }
        assert_eq!(UsdNanos(-310_000_000).to_string(), "-$0.31");
        for bad in ["", "-1", "1e3", "1.", ".5", "1.0000000001", "NaN", "99999999999999999999"] {
            assert_eq!(UsdNanos::parse_usd(bad), None, "{bad:?} must be refused");
        }
    }
}
