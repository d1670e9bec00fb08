//! PINs for what leads away from safe: parse, hash, verify, count tries. Must never keep or show a PIN.
use crate::{WebError, encoding::random};
use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version,
    password_hash::phc::PasswordHash,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Wrong PINs per person within 15 minutes, before she has to wait.
pub const PIN_TRIES_PER_WINDOW: u32 = 5;
/// Wrong PINs since the last right one, after which another person must set a new PIN.
pub const PIN_WRONG_BEFORE_RESET: u32 = 20;
const WINDOW_MS: i64 = 15 * 60 * 1_000;

/// Memory of one hash, in KiB: fits the smallest function beside everything else.
const MEMORY_KIB: u32 = 19 * 1_024;
const PASSES: u32 = 2;

/// Six digits.
pub struct Pin(String);

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}

impl Pin {
    /// Reads six digits; spaces around and between them are ignored (a password manager or a copy may add
    /// some).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|c| *c != ' ').collect();
        let six = digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_digit());
        six.then_some(Self(digits))
    }
}

/// A PIN's argon2id hash as a PHC string (`$argon2id$v=19$m=19456,t=2,p=1$..`).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PinHash(String);

impl fmt::Debug for PinHash {
    /// Six digits are guessed from their hash within minutes: it is a secret too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinHash(..)")
    }
}

impl PinHash {
    /// Hashes a PIN with a fresh salt. Takes some 20 ms of one processor.
    ///
    /// # Errors
    /// [`WebError::Random`] or [`WebError::HashPin`]; no hash exists then.
    pub fn of(pin: &Pin) -> Result<Self, WebError> {
        let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|_| WebError::HashPin)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let salt: [u8; 16] = random()?;
        let hash: PasswordHash =
            argon2.hash_password_with_salt(pin.0.as_bytes(), &salt).map_err(|_| WebError::HashPin)?;
        Ok(Self(hash.to_string()))
    }

    /// The hash as it was stored.
    #[must_use]
    pub fn from_phc(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The PHC string, for the store.
    #[must_use]
    pub fn as_phc(&self) -> &str {
        &self.0
    }

    /// Whether the PIN is the one that was hashed. Compares in constant time.
    #[must_use]
    pub fn matches(&self, pin: &Pin) -> bool {
        // FAIL-CLOSED: a hash that cannot be read matches nothing, and so does one that asks for more than
        // ours.
        let Ok(hash) = PasswordHash::new(&self.0) else { return false };
        let Ok(params) = Params::try_from(&hash) else { return false };
        params.m_cost() <= MEMORY_KIB
            && params.t_cost() <= PASSES
            && Argon2::default().verify_password(pin.0.as_bytes(), &hash).is_ok()
    }
}

/// The tries of one person. The caller stores it beside her PIN hash, by compare-and-set, before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PinTries {
    /// Wrong ones in the running window.
    pub wrong: u32,
    /// When that window began (ms since 1970).
    pub window_ms: i64,
    /// Wrong ones since the last right one.
    pub wrong_total: u32,
}

/// Whether a PIN may be tried now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinVerdict {
    /// Yes.
    MayTry,
    /// Five wrong ones within 15 minutes: not before this time.
    Wait {
        /// When the next try is allowed (ms since 1970).
        until_ms: i64,
    },
    /// Twenty wrong ones: another person sets a new PIN.
    Locked,
}

impl PinTries {
    /// Whether another try is allowed now.
    #[must_use]
    pub fn verdict(self, now_ms: i64) -> PinVerdict {
        if self.wrong_total >= PIN_WRONG_BEFORE_RESET {
            return PinVerdict::Locked;
        }
        let until_ms = self.window_ms.saturating_add(WINDOW_MS);
        if self.wrong >= PIN_TRIES_PER_WINDOW && now_ms < until_ms {
            return PinVerdict::Wait { until_ms };
        }
        PinVerdict::MayTry
    }

    /// After a try. A right PIN clears the count.
    #[must_use]
    pub fn after(self, now_ms: i64, right: bool) -> Self {
        if right {
            return Self::default();
        }
        let wrong_total = self.wrong_total.saturating_add(1);
        if self.wrong == 0 || now_ms >= self.window_ms.saturating_add(WINDOW_MS) {
            return Self { wrong: 1, window_ms: now_ms, wrong_total };
        }
        Self { wrong: self.wrong.saturating_add(1), window_ms: self.window_ms, wrong_total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_six_digits() {
        assert!(Pin::parse("123456").is_some());
        assert!(Pin::parse(" 123 456 ").is_some());
        for bad in ["", "12345", "1234567", "12345a", "12345\u{664}", "１２３４５６"] {
            assert!(Pin::parse(bad).is_none(), "{bad:?}");
        }
        assert_eq!(format!("{:?}", Pin::parse("123456")), "Some(Pin(..))");
    }

    #[test]
    fn only_the_same_pin_matches_its_hash() {
        let hash = PinHash::of(&Pin::parse("123456").unwrap()).unwrap();
        assert!(hash.as_phc().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_phc());
        let stored = PinHash::from_phc(hash.as_phc());
        assert!(stored.matches(&Pin::parse("123 456").unwrap()));
        assert!(!stored.matches(&Pin::parse("123457").unwrap()));
        let again = PinHash::of(&Pin::parse("123456").unwrap()).unwrap();
        assert_ne!(hash, again, "each hash has its own salt");
        assert!(!format!("{hash:?}").contains("argon2"));
    }

    #[test]
    fn a_hash_that_cannot_be_read_or_asks_for_too_much_matches_nothing() {
        let pin = Pin::parse("123456").unwrap();
        let good = PinHash::of(&pin).unwrap();
        for bad in ["", "123456", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ"] {
            assert!(!PinHash::from_phc(bad).matches(&pin), "{bad}");
        }
        assert!(good.matches(&pin));
        for (memory, passes) in [(MEMORY_KIB + 8, PASSES), (MEMORY_KIB, PASSES + 1)] {
            let greedy = Argon2::from(Params::new(memory, passes, 1, None).unwrap());
            let hash: PasswordHash = greedy.hash_password_with_salt(b"123456", &[7; 16]).unwrap();
            assert!(!PinHash::from_phc(&hash.to_string()).matches(&pin), "{memory} {passes}");
        }
    }

    #[test]
    fn five_wrong_ones_in_a_quarter_of_an_hour_then_wait() {
        let mut tries = PinTries::default();
        for nth in 0..5 {
            assert_eq!(tries.verdict(1_000 + nth), PinVerdict::MayTry);
            tries = tries.after(1_000 + nth, false);
        }
        let until_ms = 1_000 + WINDOW_MS;
        assert_eq!(tries.verdict(1_005), PinVerdict::Wait { until_ms });
        assert_eq!(tries.verdict(until_ms - 1), PinVerdict::Wait { until_ms });
        assert_eq!(tries.verdict(until_ms), PinVerdict::MayTry);
        assert_eq!(tries.after(until_ms, false).wrong, 1, "a new window counts anew");
        assert_eq!(tries.after(until_ms, true), PinTries::default());
    }

    #[test]
    fn twenty_wrong_ones_lock_until_somebody_sets_a_new_pin() {
        let mut tries = PinTries::default();
        for nth in 0..20 {
            assert_eq!(tries.verdict(nth * WINDOW_MS), PinVerdict::MayTry, "try {nth}");
            tries = tries.after(nth * WINDOW_MS, false);
        }
        assert_eq!(tries.verdict(400 * WINDOW_MS), PinVerdict::Locked);
    }
}
