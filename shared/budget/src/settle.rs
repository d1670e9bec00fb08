//! Ending a reservation: what was not used goes back. Must never pay twice, nor to another day.
use crate::{
    Budget, BudgetError, Reservation, Used,
    day::{day_row, hour_of},
    row::{Change, Update, get_number, number},
    run::run_row,
};
use std::sync::PoisonError;
use types::UsdNanos;

/// How a reservation ended.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It cost no more than was set aside.
    Within {
        /// What is left of that day; below zero if its cap was lowered meanwhile.
        usd_left: UsdNanos,
    },
    /// It cost more. All of it is recorded, what is left may be below zero: trip, and say so.
    Overshot {
        /// Tokens beyond those set aside.
        tokens_over: u64,
        /// Dollars beyond those set aside.
        usd_over: UsdNanos,
        /// What is left of that day.
        usd_left: UsdNanos,
    },
    /// It had ended before: settled with the answer lost, or posted in full after its deadline. Nothing was
    /// changed.
    AlreadyEnded,
}

impl Budget {
    /// Records what a try really used. The day is the reservation's, not today's.
    ///
    /// # Errors
    /// [`BudgetError`] when it is not known whether it was recorded. Nothing is left to do: what is still set
    /// aside is posted in full after the deadline.
    // INVARIANT (I15): a reservation ends once, because each row lets go of its entry in the same update.
    pub async fn settle(&self, reservation: Reservation, used: Used) -> Result<Settled, BudgetError> {
        // FAIL-CLOSED: a negative price would make money.
        let usd_used = if used.usd < UsdNanos::ZERO { reservation.usd } else { used.usd };
        let usd_back = reservation.usd.minus(usd_used);
        let row = self.row_of(&reservation).await?;
        let of_day = Update {
            row: row.clone(),
            attempt: Some(reservation.attempt_id.as_str()),
            set: &format!(
                "SET usd_left = usd_left + :back, posted = posted + :used REMOVE pend.#a ADD {} :used",
                hour_of(self.clock.now_ms())
            ),
            // Without the first an update that the client repeats would pay twice.
            condition: match () {
                () if types::mutant("B1") || types::mutant("B5") => "attribute_exists(pk)",
                () => "attribute_exists(pend.#a)",
            },
            values: vec![(":back", number(usd_back.0)), (":used", number(usd_used.0))],
        };
        let (tokens, tokens_used) = (signed(reservation.tokens), signed(used.tokens));
        let of_run = Update {
            row: run_row(&reservation.run_id),
            attempt: Some(reservation.attempt_id.as_str()),
            set: "SET tokens_left = tokens_left + :back REMOVE att.#a",
            condition: "attribute_exists(att.#a)",
            values: vec![(":back", number(tokens.saturating_sub(tokens_used)))],
        };
        let changed = self.change(of_day).await?;
        self.change(of_run).await?;
        self.handed.lock().unwrap_or_else(PoisonError::into_inner).remove(&reservation.attempt_id);
        let Change::Applied(item) = changed else { return Ok(Settled::AlreadyEnded) };
        let usd_left = UsdNanos(get_number(&row, &item, "usd_left")?);
        let tokens_over = used.tokens.saturating_sub(reservation.tokens);
        let usd_over = usd_used.minus(reservation.usd).max(UsdNanos::ZERO);
        Ok(if tokens_over == 0 && usd_over == UsdNanos::ZERO {
            Settled::Within { usd_left }
        } else {
            Settled::Overshot { tokens_over, usd_over, usd_left }
        })
    }

    /// The day that pays: the reservation's own.
    async fn row_of(&self, reservation: &Reservation) -> Result<String, BudgetError> {
        if types::mutant("B5")
            && let Some(open) = self.read_open().await?
        {
            return Ok(day_row(&open.day.date.to_string()));
        }
        Ok(day_row(&reservation.day))
    }

    /// Ends a try whose answer was lost: everything set aside counts as used, for it may have been billed.
    ///
    /// # Errors
    /// As [`Budget::settle`].
    pub async fn charge_in_full(&self, reservation: Reservation) -> Result<Settled, BudgetError> {
        let mut used = Used { tokens: reservation.tokens, usd: reservation.usd };
        if types::mutant("B4") {
            used = Used { tokens: 0, usd: UsdNanos::ZERO };
        }
        self.settle(reservation, used).await
    }
}

fn signed(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}
