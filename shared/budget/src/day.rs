//! The day's row and the note of which day is open. Must never make a day's budget twice.
use crate::{
    Budget, BudgetError,
    calendar::{OpenDay, Today, today},
    row::{Change, Item, Update, get_map, get_number, get_text, number, text},
};
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update as UpdatePart};
use std::collections::{BTreeMap, HashMap};
use types::UsdNanos;

/// The note of the open day.
pub(crate) const OPEN_ROW: &str = "days";
/// How often a change is tried against others'.
const TRIES: usize = 8;
/// How old a note may be that was seen before (ms): far less than anything may lie on a day that is over.
const SEEN_MS_MAX: i64 = 1_000;
/// How the fields of the hours begin.
const HOUR: &str = "h";
const HOUR_MS: i64 = 60 * 60 * 1_000;

pub(crate) fn day_row(date: &str) -> String {
    format!("day#{date}")
}

/// The field of a day that counts what was posted in this hour.
///
/// WHY NOT the company's hour: the field's name must not change when somebody moves the zone.
pub(crate) fn hour_of(now_ms: i64) -> String {
    format!("{HOUR}{}", now_ms.div_euclid(HOUR_MS))
}

/// The note of the open day, and the cap last known.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    pub(crate) day: OpenDay,
    pub(crate) cap: UsdNanos,
    /// Days before this one have nothing pending.
    pub(crate) swept_to: Option<String>,
}

/// The note of the open day as [`Budget::left`] read it, so that the reservation that follows at once need
/// not read it again. Which day pays is worked out anew all the same.
#[derive(Debug, Clone)]
pub struct SeenDay {
    open: Open,
    at_ms: i64,
}

/// A day as a page shows it. `left + pending + spent = cap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayView {
    /// `2026-11-24`.
    pub date: String,
    /// The cap in force.
    pub cap: UsdNanos,
    /// What can still be reserved; below zero after an overshoot or a lowered cap.
    pub left: UsdNanos,
    /// Reserved and not yet settled.
    pub pending: UsdNanos,
    /// Settled, or charged in full.
    pub spent: UsdNanos,
    /// What of it was posted in which hour, by the hour's begin in milliseconds since the epoch.
    pub hours: BTreeMap<i64, UsdNanos>,
    /// The last reservation, milliseconds since the epoch: the agent's sign of life. It may be of the day
    /// before.
    pub last_ms: Option<i64>,
}

impl DayView {
    /// What can still be reserved under a configured cap, which binds where it is below the day's own.
    #[must_use]
    pub fn left_under(&self, configured: UsdNanos) -> UsdNanos {
        self.left.minus(self.held_back(configured))
    }

    /// How much of what is left does not count, because the day's own cap is above the configured one.
    pub(crate) fn held_back(&self, configured: UsdNanos) -> UsdNanos {
        self.cap.minus(configured).max(UsdNanos::ZERO)
    }
}

/// What became of a cap's change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapChange {
    /// The open day has the new cap.
    Changed {
        /// The cap before.
        old: UsdNanos,
        /// What can be reserved now.
        left: UsdNanos,
    },
    /// It had that cap already.
    Unchanged,
}

impl Budget {
    /// The day that pays now, opened if it is due; `None` when no cap is known, and then nothing may be
    /// reserved.
    pub(crate) async fn paying_day(
        &self,
        zone: &str,
        cap: Option<UsdNanos>,
        mut seen: Option<SeenDay>,
    ) -> Result<Option<String>, BudgetError> {
        let is_fresh =
            |seen: &SeenDay| (0..SEEN_MS_MAX).contains(&self.clock.now_ms().saturating_sub(seen.at_ms));
        for _ in 0..TRIES {
            let open = match seen.take().filter(is_fresh) {
                Some(seen) => Some(seen.open),
                None => self.read_open().await?,
            };
            let (date, from_ms) = match (today(self.clock.now(), zone, open.as_ref().map(|o| &o.day))?, &open)
            {
                (Today::GoesOn, Some(open)) => return Ok(Some(open.day.date.to_string())),
                (Today::GoesOn, None) => return Ok(None),
                (Today::Due { date, from_ms }, _) => (date, from_ms),
            };
            // FAIL-CLOSED: without any cap there is no day to pay.
            let Some(cap) = cap.or(open.as_ref().map(|open| open.cap)) else { return Ok(None) };
            let due = OpenDay { date, from_ms, opened_ms: self.clock.now_ms(), zone: zone.to_owned() };
            if self.open_day(open.as_ref(), &due, cap).await? {
                return Ok(Some(date.to_string()));
            }
        }
        Err(BudgetError::Contended { row: OPEN_ROW.to_owned() })
    }

    /// Puts the day and moves the note, both or neither. `false`: somebody else moved the note first.
    async fn open_day(&self, open: Option<&Open>, due: &OpenDay, cap: UsdNanos) -> Result<bool, BudgetError> {
        let date = due.date.to_string();
        let mut day = HashMap::from([
            ("pk".to_owned(), text(&day_row(&date))),
            ("cap".to_owned(), number(cap.0)),
            ("usd_left".to_owned(), number(cap.0)),
            ("posted".to_owned(), number(0)),
            ("pend".to_owned(), AttributeValue::M(HashMap::new())),
        ]);
        let mut note = UpdatePart::builder()
            .table_name(&*self.table)
            .key("pk", text(OPEN_ROW))
            .update_expression(
                "SET open_date = :date, from_ms = :from, opened_ms = :now, tz = :tz, cap = :cap",
            )
            .expression_attribute_values(":date", text(&date))
            .expression_attribute_values(":from", number(due.from_ms))
            .expression_attribute_values(":now", number(due.opened_ms))
            .expression_attribute_values(":tz", text(&due.zone))
            .expression_attribute_values(":cap", number(cap.0));
        match open {
            None => note = note.condition_expression("attribute_not_exists(pk)"),
            Some(open) => {
                let before = open.day.date.to_string();
                note = note.condition_expression("open_date = :before");
                note = note.expression_attribute_values(":before", text(&before));
                day.insert("before".to_owned(), text(&before));
            }
        }
        let put = Put::builder()
            .table_name(&*self.table)
            .set_item(Some(day))
            .condition_expression("attribute_not_exists(pk)");
        let row = day_row(&date);
        let malformed = |_| BudgetError::Malformed { row: row.clone(), field: "transaction" };
        let answer = self
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().update(note.build().map_err(malformed)?).build())
            .transact_items(TransactWriteItem::builder().put(put.build().map_err(malformed)?).build())
            .send()
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(refused) if refused.is_transaction_canceled_exception() => Ok(false),
                Some(_) | None => Err(BudgetError::Write { row, cause: error.into() }),
            },
        }
    }

    pub(crate) async fn read_open(&self) -> Result<Option<Open>, BudgetError> {
        let Some(item) = self.read(OPEN_ROW).await? else { return Ok(None) };
        let date = get_text(OPEN_ROW, &item, "open_date")?.parse();
        Ok(Some(Open {
            day: OpenDay {
                date: date
                    .map_err(|_| BudgetError::Malformed { row: OPEN_ROW.to_owned(), field: "open_date" })?,
                from_ms: get_number(OPEN_ROW, &item, "from_ms")?,
                opened_ms: get_number(OPEN_ROW, &item, "opened_ms")?,
                zone: get_text(OPEN_ROW, &item, "tz")?.to_owned(),
            },
            cap: UsdNanos(get_number(OPEN_ROW, &item, "cap")?),
            swept_to: get_text(OPEN_ROW, &item, "swept_to").ok().map(str::to_owned),
        }))
    }

    pub(crate) async fn read_day(&self, date: &str) -> Result<Item, BudgetError> {
        // FAIL-CLOSED: a day that was opened and is gone must not be opened anew with a full budget.
        self.read(&day_row(date)).await?.ok_or_else(|| BudgetError::DayBroken { date: date.to_owned() })
    }

    /// The day that pays now; `None` before the very first one. A day that is due but not yet opened is shown
    /// as it will be, with the cap last known. Changes nothing.
    ///
    /// # Errors
    /// [`BudgetError`] when the table cannot be read or the zone is not known.
    pub async fn day(&self, zone: &str) -> Result<Option<DayView>, BudgetError> {
        Ok(self.see_day(zone).await?.map(|(day, _)| day))
    }

    /// The day that pays now and the note that says so.
    pub(crate) async fn see_day(&self, zone: &str) -> Result<Option<(DayView, SeenDay)>, BudgetError> {
        let at_ms = self.clock.now_ms();
        // Nearly always the local date is the open one: read its row beside the note.
        let Today::Due { date: guess, .. } = today(self.clock.now(), zone, None)? else { return Ok(None) };
        let guess = guess.to_string();
        let guessed_row = day_row(&guess);
        let (open, guessed) = tokio::join!(self.read_open(), self.read(&guessed_row));
        let Some(open) = open? else { return Ok(None) };
        let date = open.day.date.to_string();
        let row = match guessed? {
            Some(row) if date == guess => row,
            Some(_) | None => self.read_day(&date).await?,
        };
        let view = view(&date, &row)?;
        let day = match today(self.clock.now(), zone, Some(&open.day))? {
            Today::GoesOn => view,
            Today::Due { date, .. } => DayView {
                date: date.to_string(),
                cap: open.cap,
                left: open.cap,
                pending: UsdNanos::ZERO,
                spent: UsdNanos::ZERO,
                hours: BTreeMap::new(),
                last_ms: view.last_ms,
            },
        };
        Ok(Some((day, SeenDay { open, at_ms })))
    }

    /// Gives the open day a new cap; the next reservation meets it. Save it in the hot configuration first.
    /// What was spent and reserved stays so: a cap below it leaves less than nothing.
    ///
    /// # Errors
    /// [`BudgetError`] when it is not known whether the cap was changed; calling again is safe.
    // INVARIANT (I16): the difference is added once, because the update holds only for the cap it was
    // computed from.
    pub async fn change_cap(&self, new: UsdNanos, zone: &str) -> Result<CapChange, BudgetError> {
        let Some(date) = self.paying_day(zone, Some(new), None).await? else {
            return Ok(CapChange::Unchanged);
        };
        let row = day_row(&date);
        let mut outcome = None;
        for _ in 0..TRIES {
            let old = UsdNanos(get_number(&row, &self.read_day(&date).await?, "cap")?);
            if old == new {
                outcome = Some(CapChange::Unchanged);
                break;
            }
            let update = Update {
                row: row.clone(),
                attempt: None,
                set: "SET cap = :new, usd_left = usd_left + :more",
                condition: if types::mutant("raise_twice") {
                    "cap <> :old OR cap = :old"
                } else {
                    "cap = :old"
                },
                values: vec![
                    (":new", number(new.0)),
                    (":old", number(old.0)),
                    (":more", number(new.minus(old).0)),
                ],
            };
            if let Change::Applied(item) = self.change(update).await? {
                outcome =
                    Some(CapChange::Changed { old, left: UsdNanos(get_number(&row, &item, "usd_left")?) });
                break;
            }
        }
        let outcome = outcome.ok_or(BudgetError::Contended { row })?;
        let note = Update {
            row: OPEN_ROW.to_owned(),
            attempt: None,
            set: "SET cap = :new",
            condition: "attribute_exists(pk)",
            values: vec![(":new", number(new.0))],
        };
        self.change(note).await?;
        Ok(outcome)
    }
}

pub(crate) fn view(date: &str, item: &Item) -> Result<DayView, BudgetError> {
    let row = day_row(date);
    let mut pending = UsdNanos::ZERO;
    for entry in get_map(&row, item, "pend")?.values() {
        let entry = entry.as_m().map_err(|_| BudgetError::Malformed { row: row.clone(), field: "pend" })?;
        pending = pending.plus(UsdNanos(get_number(&row, entry, "usd")?));
    }
    Ok(DayView {
        date: date.to_owned(),
        cap: UsdNanos(get_number(&row, item, "cap")?),
        left: UsdNanos(get_number(&row, item, "usd_left")?),
        pending,
        spent: UsdNanos(get_number(&row, item, "posted")?),
        hours: item.iter().filter_map(hour_spent).collect(),
        last_ms: get_number(&row, item, "last_ms").ok(),
    })
}

/// One hour's field. Another field, or one that is no hour, is none.
fn hour_spent((name, value): (&String, &AttributeValue)) -> Option<(i64, UsdNanos)> {
    let hour: i64 = name.strip_prefix(HOUR)?.parse().ok()?;
    Some((hour.checked_mul(HOUR_MS)?, UsdNanos(value.as_n().ok()?.parse().ok()?)))
}
