//! Orphaned reservations are posted in full. Must never give back: the call may have been billed.
use crate::{
    Budget, BudgetError,
    day::{day_row, hour_of},
    row::{Change, Item, Update, get_map, get_number, get_text, number, text},
};
use types::UsdNanos;

/// Safety margin after a deadline, milliseconds: by then the platform has certainly ended the invocation.
pub const MARGIN_MS: i64 = 5_000;

impl Budget {
    /// Posts every reservation in full whose deadline and margin are past at `now_ms`. Returns how many.
    ///
    /// # Errors
    /// [`BudgetError`] when the table could not be read or written; the next sweep goes on.
    // INVARIANT (I15): settle and sweep race for the entry, and the row lets only one of them take it out.
    pub async fn sweep_orphans(&self, now_ms: i64) -> Result<u32, BudgetError> {
        let Some(open) = self.read_open().await? else { return Ok(0) };
        let mut swept = 0_u32;
        let mut oldest_pending = None;
        let mut walked = Vec::new();
        let mut next = Some(open.day.date.to_string());
        while let Some(date) = next.take() {
            let Some(item) = self.read(&day_row(&date)).await? else { break };
            let (posted, waiting) = self.sweep_day(&date, &item, now_ms).await?;
            swept = swept.saturating_add(posted);
            if waiting {
                oldest_pending = Some(date.clone());
            }
            let before = item.get("before").and_then(|value| value.as_s().ok()).cloned();
            let before = before.filter(|before| *before < date);
            // The two newest days always: a reservation made at midnight belongs to the older one.
            next =
                before.filter(|_| walked.is_empty() || open.swept_to.as_deref().is_none_or(|to| *date > *to));
            walked.push(date);
        }
        let swept_to = oldest_pending.or_else(|| walked.get(1).or(walked.first()).cloned());
        if let Some(date) = swept_to.filter(|date| open.swept_to.as_deref() != Some(date)) {
            self.note_swept(&date).await?;
        }
        Ok(swept)
    }

    /// Posts what is overdue on one day. Also says whether anything is still waiting there.
    async fn sweep_day(&self, date: &str, item: &Item, now_ms: i64) -> Result<(u32, bool), BudgetError> {
        let row = day_row(date);
        let (mut posted, mut waiting) = (0_u32, false);
        for (attempt, entry) in get_map(&row, item, "pend")? {
            let malformed = |_| BudgetError::Malformed { row: row.clone(), field: "pend" };
            let entry = entry.as_m().map_err(malformed)?;
            let deadline_ms = get_number(&row, entry, "deadline_ms")?;
            if now_ms <= deadline_ms.saturating_add(MARGIN_MS) && !types::mutant("B3") {
                waiting = true;
                continue;
            }
            let usd = UsdNanos(get_number(&row, entry, "usd")?);
            let hour = hour_of(self.clock.now_ms());
            let in_full = format!("SET posted = posted + :usd REMOVE pend.#a ADD {hour} :usd");
            let of_day = Update {
                row: row.clone(),
                attempt: Some(attempt),
                set: match () {
                    () if types::mutant("B2") || types::mutant("B3") => {
                        "SET usd_left = usd_left + :usd REMOVE pend.#a"
                    }
                    () => &in_full,
                },
                condition: "pend.#a.deadline_ms = :deadline AND pend.#a.usd = :usd",
                values: vec![(":usd", number(usd.0)), (":deadline", number(deadline_ms))],
            };
            if let Change::Applied(_) = self.change(of_day).await? {
                posted = posted.saturating_add(1);
                tracing::warn!(attempt_id = attempt, %usd, date, "overdue reservation posted in full");
            }
            let of_run = Update {
                row: format!("run#{}", get_text(&row, entry, "run")?),
                attempt: Some(attempt),
                set: "REMOVE att.#a",
                condition: "attribute_exists(att.#a)",
                values: vec![],
            };
            self.change(of_run).await?;
        }
        Ok((posted, waiting))
    }

    async fn note_swept(&self, date: &str) -> Result<(), BudgetError> {
        let note = Update {
            row: crate::day::OPEN_ROW.to_owned(),
            attempt: None,
            set: "SET swept_to = :date",
            condition: "attribute_exists(pk)",
            values: vec![(":date", text(date))],
        };
        self.change(note).await.map(|_| ())
    }
}
