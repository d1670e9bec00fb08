//! The PIN, for signing in and for what leads away from safe. Must never answer before a wrong try is
//! counted.
use crate::Deps;
use interlock::Person;
use sight::moment;
use types::PersonId;
use web::{KeyId, Pin, PinHash, PinTries, PinVerdict, Zone};

/// How often a count is stored against others' changes before we give up.
const TRIES: usize = 4;

/// What became of a PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "only `Right` lets anything through"]
pub(crate) enum PinAnswer {
    /// It is hers.
    Right,
    /// It is not; the try is counted.
    Wrong {
        /// Tries left in this quarter of an hour.
        left: u32,
    },
    /// Not six digits: not counted as a try.
    NotSix,
    /// Too many wrong ones; not before this time (ms since 1970).
    Wait { until_ms: i64 },
    /// Twenty wrong ones: another person sets a new PIN.
    Locked,
    /// She never chose one.
    NotSet,
    /// Her link was taken back.
    Revoked,
    /// The store is silent: nothing can be checked.
    Unavailable,
}

impl PinAnswer {
    /// What she is told.
    pub(crate) fn text(self, zone: &Zone) -> String {
        match self {
            Self::Right => "The PIN is right.".to_owned(),
            Self::Wrong { left: 0 } => "This PIN is wrong. Wait 15 minutes before the next try.".to_owned(),
            Self::Wrong { left } => format!("This PIN is wrong. Tries left: {left}."),
            Self::NotSix => "A PIN has 6 digits.".to_owned(),
            Self::Wait { until_ms } => {
                format!("Too many wrong PINs. Try again after {}.", zone.clock(moment(until_ms)))
            }
            Self::Locked => {
                "Too many wrong PINs. Another ops person must set a new one for you first.".to_owned()
            }
            Self::NotSet => "You have no PIN yet. Choose one on your halt page first.".to_owned(),
            Self::Revoked => "Your link was taken back.".to_owned(),
            Self::Unavailable => {
                "Your PIN cannot be checked now, so nothing was changed. HALT works. Try again.".to_owned()
            }
        }
    }
}

/// Checks a person's PIN and stores the count of tries first.
// FAIL-CLOSED: a count that cannot be stored is no answer, else guesses would be free while the store is
// away.
pub(crate) async fn check(deps: &Deps, person: &PersonId, key_id: &KeyId, text: &str) -> PinAnswer {
    let Some(pin) = Pin::parse(text) else { return PinAnswer::NotSix };
    for _ in 0..TRIES {
        let Ok(mut people) = deps.interlock.people().await else { return PinAnswer::Unavailable };
        if !people.key_is_valid(person, key_id.as_str()) {
            return PinAnswer::Revoked;
        }
        let Some(known) = people.people.get_mut(person) else { return PinAnswer::Revoked };
        let Some(hash) = known.pin_hash.as_deref().map(PinHash::from_phc) else { return PinAnswer::NotSet };
        let now_ms = deps.now().as_millisecond();
        let tries = tries_of(known);
        match tries.verdict(now_ms) {
            PinVerdict::MayTry => {}
            PinVerdict::Wait { until_ms } => return PinAnswer::Wait { until_ms },
            PinVerdict::Locked => return PinAnswer::Locked,
        }
        let right = hash.matches(&pin);
        let after = tries.after(now_ms, right);
        let answer = if right {
            PinAnswer::Right
        } else {
            PinAnswer::Wrong { left: web::PIN_TRIES_PER_WINDOW.saturating_sub(after.wrong) }
        };
        if after == tries {
            return answer;
        }
        known.pin_wrong = after.wrong;
        known.pin_window_ms = after.window_ms;
        known.pin_wrong_total = after.wrong_total;
        match deps.interlock.put_people(&people).await {
            Ok(true) => return answer,
            Ok(false) => {}
            Err(_) => return PinAnswer::Unavailable,
        }
    }
    PinAnswer::Unavailable
}

fn tries_of(person: &Person) -> PinTries {
    PinTries { wrong: person.pin_wrong, window_ms: person.pin_window_ms, wrong_total: person.pin_wrong_total }
}
