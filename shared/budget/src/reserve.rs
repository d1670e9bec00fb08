//! Reserving one HTTP try's worst case: tokens of the run, dollars of the day. Must never be half done.
use crate::{
    Budget, BudgetError, Reservation,
    day::{SeenDay, day_row, view},
    row::{Change, Item, Update, get_map, get_number, get_text, number, text},
    run::run_row,
};
use aws_sdk_dynamodb::types::AttributeValue;
use std::{collections::HashMap, fmt, sync::PoisonError};
use types::{AttemptId, Cap, Epoch, RunId, UsdNanos};

/// Reservations under way on one day: keeps its row far below the store's limit of 400 KB.
const PENDING_MAX: usize = 1_000;
/// How often the day is asked while others change its cap.
const TRIES: usize = 4;

/// The worst case of one HTTP try.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The run that pays.
    pub run_id: RunId,
    /// Fresh for each invocation and each try. The same id again means the same try, never a second one.
    pub attempt_id: AttemptId,
    /// Upper bound of input tokens, plus `max_tokens`.
    pub tokens: u64,
    /// Their price at the dearest rate, rounded up.
    pub usd: UsdNanos,
    /// The run's epoch.
    pub epoch: Epoch,
    /// When the platform ends this invocation, milliseconds since the epoch.
    pub deadline_ms: i64,
    /// The ops lead's zone (IANA).
    pub zone: String,
    /// The cap in the hot configuration: opens a day that is due, and binds at once where it is below the
    /// open day's. `None` when it cannot be read: the last known one counts.
    pub usd_per_day: Option<UsdNanos>,
    /// The note of the open day, where [`Budget::left`] has just read it.
    pub seen: Option<SeenDay>,
}

/// An amount of what a cap limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// Tokens.
    Tokens(i64),
    /// Tool calls.
    Calls(i64),
    /// Dollars.
    Usd(UsdNanos),
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tokens(tokens) => write!(f, "{tokens} tokens"),
            Self::Calls(calls) => write!(f, "{calls} tool calls"),
            Self::Usd(usd) => usd.fmt(f),
        }
    }
}

/// May this try be sent? Only `Reserved` says yes, and only `Tripped` halts.
///
/// WHY NOT trip on the first refusal of the day: worst cases are many times what calls cost, so a day of
/// which nothing is spent could be set aside whole, and everything would halt for money that comes back in
/// seconds.
#[must_use]
#[derive(Debug)]
pub enum Reserve {
    /// Yes, and it is paid for.
    Reserved(Reservation),
    /// No: a cap is used up.
    Tripped {
        /// Which.
        cap: Cap,
        /// What is left of it.
        left: Amount,
        /// What the try would have needed.
        asked: Amount,
    },
    /// Not now: what is left does not pay for it, but calls under way hold enough that may come back.
    SetAside {
        /// What is left.
        left: UsdNanos,
        /// What calls under way have set aside.
        pending: UsdNanos,
        /// What the try would have needed.
        asked: UsdNanos,
    },
    /// No: the run began before the last resume.
    OtherEpoch {
        /// The epoch in which the run's budget was opened.
        epoch: Epoch,
    },
    /// No: the run's budget was never opened.
    NoRun,
    /// No: the day's cap cannot be read and none is known.
    NoCap,
    /// No: this attempt id pays for another try, or for one that is under way.
    AttemptReused,
    /// No: too many tries are under way at once. Park and look again.
    TooManyPending,
    /// No: the invocation's time is over.
    PastDeadline,
}

/// What one row says to a reservation.
#[derive(Debug)]
pub(crate) enum Side {
    /// Taken now or earlier, for a try that this day pays.
    Taken(String),
    Refused(Reserve),
}

impl Budget {
    /// Sets the worst case aside: the run's tokens (R1), then the day's dollars (R2). When R2 refuses, R1 is
    /// given back.
    ///
    /// # Errors
    /// [`BudgetError`] when it is not known what was set aside. Ask again with the same id, or leave it: what
    /// was set aside is posted in full after the deadline.
    // INVARIANT (I14): every HTTP try has its own reservation, made before its first byte is sent.
    pub async fn reserve(&self, mut ask: Ask) -> Result<Reserve, BudgetError> {
        if types::mutant("B7") {
            ask.usd = UsdNanos(ask.usd.0 / 2);
        }
        // FAIL-CLOSED: nothing and less than nothing would pass every cap.
        if ask.usd <= UsdNanos::ZERO || ask.tokens == 0 {
            return Err(BudgetError::Amount);
        }
        if self.clock.now_ms() >= ask.deadline_ms {
            return Ok(Reserve::PastDeadline);
        }
        if self.is_handed(&ask.attempt_id) {
            return Ok(Reserve::AttemptReused);
        }
        let Some(day) = self.paying_day(&ask.zone, ask.usd_per_day, ask.seen.take()).await? else {
            return Ok(Reserve::NoCap);
        };
        let day = match self.take_tokens(&ask, &day).await? {
            Side::Taken(day) => day,
            Side::Refused(refused) => return Ok(refused),
        };
        match self.take_usd(&ask, &day).await {
            Ok(Side::Taken(day)) => Ok(self.hand_out(ask, day)),
            Ok(Side::Refused(refused)) => {
                self.give_tokens_back(&ask).await;
                Ok(refused)
            }
            // WHY NOT give R1 back here: the dollars may be set aside, and a later look must find both
            // halves.
            Err(error) => Err(error),
        }
    }

    /// R1.
    // INVARIANT (I13): tokens are taken before they are used, and only if the run has them.
    pub(crate) async fn take_tokens(&self, ask: &Ask, day: &str) -> Result<Side, BudgetError> {
        let row = run_row(&ask.run_id);
        let tokens = i64::try_from(ask.tokens).unwrap_or(i64::MAX);
        let epoch = i64::try_from(ask.epoch.0).unwrap_or(i64::MAX);
        let update = Update {
            row: row.clone(),
            attempt: Some(ask.attempt_id.as_str()),
            set: "SET tokens_left = tokens_left - :t, att.#a = :entry",
            condition: match () {
                () if types::mutant("tokens_below_zero") => {
                    "epoch = :epoch AND (tokens_left < :t OR tokens_left >= :t) AND \
                     attribute_not_exists(att.#a)"
                }
                () => "epoch = :epoch AND tokens_left >= :t AND attribute_not_exists(att.#a)",
            },
            values: vec![(":t", number(tokens)), (":epoch", number(epoch)), (":entry", entry(ask, day))],
        };
        let item = match self.change(update).await? {
            Change::Applied(_) => return Ok(Side::Taken(day.to_owned())),
            Change::Refused(None) => return Ok(Side::Refused(Reserve::NoRun)),
            Change::Refused(Some(item)) => item,
        };
        if let Some(known) = known(&row, &item, "att", ask)? {
            return Ok(known);
        }
        let run_epoch = get_number(&row, &item, "epoch")?;
        Ok(Side::Refused(if run_epoch == epoch {
            let left = Amount::Tokens(get_number(&row, &item, "tokens_left")?);
            Reserve::Tripped { cap: Cap::TokensPerRun, left, asked: Amount::Tokens(tokens) }
        } else {
            Reserve::OtherEpoch { epoch: Epoch(u64::try_from(run_epoch).unwrap_or(0)) }
        }))
    }

    /// R2. The store compares, so a thousand at once cannot take more than there is.
    // INVARIANT (I12): what is set aside on a day never exceeds its cap.
    async fn take_usd(&self, ask: &Ask, day: &str) -> Result<Side, BudgetError> {
        let row = day_row(day);
        let cap = ask.usd_per_day.unwrap_or(UsdNanos(i64::MAX));
        // Set when the open day's cap is above the configured one: that much of what is left does not count.
        let (mut day_cap_max, mut held_back) = (cap, UsdNanos::ZERO);
        if types::mutant("B0") {
            return self.read_compare_write(ask, day).await;
        }
        for _ in 0..TRIES {
            let update = Update {
                row: row.clone(),
                attempt: Some(ask.attempt_id.as_str()),
                set: "SET usd_left = usd_left - :usd, pend.#a = :entry, last_ms = :now",
                condition: "usd_left >= :needed AND cap <= :cap AND attribute_not_exists(pend.#a) \
                            AND size(pend) < :max",
                values: vec![
                    (":usd", number(ask.usd.0)),
                    (":needed", number(ask.usd.plus(held_back).0)),
                    (":cap", number(day_cap_max.0)),
                    (":max", number(i64::try_from(PENDING_MAX).unwrap_or(i64::MAX))),
                    (":entry", entry(ask, day)),
                    (":now", number(self.clock.now_ms())),
                ],
            };
            let item = match self.change(update).await? {
                Change::Applied(_) => return Ok(Side::Taken(day.to_owned())),
                Change::Refused(None) => return Err(BudgetError::DayBroken { date: day.to_owned() }),
                Change::Refused(Some(item)) => item,
            };
            if let Some(known) = known(&row, &item, "pend", ask)? {
                return Ok(known);
            }
            if get_map(&row, &item, "pend")?.len() >= PENDING_MAX {
                return Ok(Side::Refused(Reserve::TooManyPending));
            }
            let seen = view(day, &item)?;
            held_back = seen.held_back(cap);
            day_cap_max = cap.max(seen.cap);
            let left = seen.left_under(cap);
            if left < ask.usd {
                return Ok(Side::Refused(day_refuses(left, seen.pending, ask.usd)));
            }
        }
        self.give_tokens_back(ask).await;
        Err(BudgetError::Contended { row })
    }

    /// The protocol without its condition, for the tests that must catch it.
    async fn read_compare_write(&self, ask: &Ask, day: &str) -> Result<Side, BudgetError> {
        let row = day_row(day);
        let seen = view(day, &self.read_day(day).await?)?;
        let left = seen.left;
        if left < ask.usd {
            return Ok(Side::Refused(day_refuses(left, seen.pending, ask.usd)));
        }
        let update = Update {
            row,
            attempt: Some(ask.attempt_id.as_str()),
            set: "SET usd_left = :left, pend.#a = :entry",
            condition: "attribute_exists(pk)",
            values: vec![(":left", number(left.minus(ask.usd).0)), (":entry", entry(ask, day))],
        };
        self.change(update).await.map(|_| Side::Taken(day.to_owned()))
    }

    /// Undoes R1, once. Failing is safe: the run has fewer tokens than it could have.
    async fn give_tokens_back(&self, ask: &Ask) {
        let update = Update {
            row: run_row(&ask.run_id),
            attempt: Some(ask.attempt_id.as_str()),
            set: "SET tokens_left = tokens_left + :t REMOVE att.#a",
            condition: "attribute_exists(att.#a)",
            values: vec![(":t", number(i64::try_from(ask.tokens).unwrap_or(i64::MAX)))],
        };
        if let Err(error) = self.change(update).await {
            tracing::warn!(%error, run_id = %ask.run_id, "tokens were not given back");
        }
    }

    fn hand_out(&self, ask: Ask, day: String) -> Reserve {
        let is_new =
            self.handed.lock().unwrap_or_else(PoisonError::into_inner).insert(ask.attempt_id.clone());
        // FAIL-CLOSED: one set of dollars pays for one try, so the second handle to it is not given.
        if !is_new && !types::mutant("B6") {
            return Reserve::AttemptReused;
        }
        Reserve::Reserved(Reservation {
            run_id: ask.run_id,
            attempt_id: ask.attempt_id,
            day,
            tokens: ask.tokens,
            usd: ask.usd,
            deadline_ms: ask.deadline_ms,
        })
    }

    fn is_handed(&self, attempt_id: &AttemptId) -> bool {
        !types::mutant("B6")
            && self.handed.lock().unwrap_or_else(PoisonError::into_inner).contains(attempt_id)
    }
}

/// The day's refusal: used up, or set aside by calls that may give it back.
// FAIL-CLOSED: neither lets the try go; only a person undoes the first.
fn day_refuses(left: UsdNanos, pending: UsdNanos, asked: UsdNanos) -> Reserve {
    if left.plus(pending) >= asked && !types::mutant("trip_on_pending") {
        return Reserve::SetAside { left, pending, asked };
    }
    Reserve::Tripped { cap: Cap::UsdPerDay, left: Amount::Usd(left), asked: Amount::Usd(asked) }
}

/// The entry of a try, in the run's row and in the day's.
fn entry(ask: &Ask, day: &str) -> AttributeValue {
    AttributeValue::M(HashMap::from([
        ("run".to_owned(), text(ask.run_id.as_str())),
        ("tokens".to_owned(), number(i64::try_from(ask.tokens).unwrap_or(i64::MAX))),
        ("usd".to_owned(), number(ask.usd.0)),
        ("deadline_ms".to_owned(), number(ask.deadline_ms)),
        ("day".to_owned(), text(day)),
    ]))
}

/// Is this try in the row already? Then an earlier request was applied and its answer lost: it is ours, paid
/// by the day of then, and is not taken again. With other amounts it is another try under a used id.
fn known(row: &str, item: &Item, map: &'static str, ask: &Ask) -> Result<Option<Side>, BudgetError> {
    let Some(found) = get_map(row, item, map)?.get(ask.attempt_id.as_str()) else { return Ok(None) };
    let found = found.as_m().map_err(|_| BudgetError::Malformed { row: row.to_owned(), field: map })?;
    let is_same = get_text(row, found, "run")? == ask.run_id.as_str()
        && get_number(row, found, "tokens")? == i64::try_from(ask.tokens).unwrap_or(i64::MAX)
        && get_number(row, found, "usd")? == ask.usd.0
        && get_number(row, found, "deadline_ms")? == ask.deadline_ms;
    let day = get_text(row, found, "day")?.to_owned();
    Ok(Some(if is_same { Side::Taken(day) } else { Side::Refused(Reserve::AttemptReused) }))
}
