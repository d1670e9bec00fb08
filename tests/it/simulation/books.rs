//! The second books of a world's money: what truly was set aside, sent, billed and posted. Must never ask the
//! product what it thinks of itself; it reads the rows that the store has.
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a run may use, as the default configuration says.
const TOKENS_PER_RUN: i64 = 40_000;
const CALLS_PER_RUN: usize = 30;
const HOUR_MS: i64 = 3_600_000;

/// One HTTP try at the model, from its reservation on.
#[derive(Debug, Clone)]
struct Try {
    day: String,
    run: String,
    usd: i64,
    /// What the vendor bills, once it does.
    cost: i64,
    tokens: i64,
    /// What its day was charged, once it is.
    charged: Option<i64>,
}

/// One day's row as it was last seen.
#[derive(Debug, Clone, Default)]
struct Day {
    posted: i64,
    pending: BTreeSet<String>,
    cap: i64,
    cap_max: i64,
}

#[derive(Debug, Default)]
pub struct Books {
    tries: BTreeMap<String, Try>,
    /// The reservation that an environment made in this invocation and has not sent a request with.
    paid: BTreeMap<usize, String>,
    days: BTreeMap<String, Day>,
    open: Option<(String, i64)>,
    /// Pings about a trip, by what tripped.
    pings: BTreeMap<String, u64>,
    pub caps: u64,
}

type Wrong = Vec<(&'static str, String)>;

fn number(item: &Value, name: &str) -> i64 {
    item[name]["N"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn text(item: &Value, name: &str) -> String {
    item[name]["S"].as_str().unwrap_or_default().to_owned()
}

impl Books {
    pub fn reserved(&self) -> u64 {
        self.tries.len() as u64
    }

    pub fn days(&self) -> u64 {
        self.days.len() as u64
    }

    pub fn trips(&self) -> u64 {
        self.pings.values().sum()
    }

    /// A new invocation holds nothing that an earlier one set aside.
    pub fn begins(&mut self, env: usize) {
        self.paid.remove(&env);
    }

    /// The rows of the budget after that environment changed one.
    pub fn rows(&mut self, env: usize, rows: &[Value]) -> Wrong {
        let mut wrong = Vec::new();
        for row in rows {
            let key = text(row, "pk");
            if let Some(date) = key.strip_prefix("day#") {
                self.day(env, date, row, &mut wrong);
            } else if let Some(run) = key.strip_prefix("run#") {
                // INVARIANT (I13): nothing is taken that is not there.
                let (tokens, calls) = (number(row, "tokens_left"), number(row, "calls_left"));
                if tokens < 0 || calls < 0 {
                    wrong.push(("I13", format!("{run} has {tokens} tokens and {calls} calls left")));
                }
            } else if key == "days" {
                self.opened(text(row, "open_date"), number(row, "from_ms"), &mut wrong);
            }
        }
        wrong
    }

    // INVARIANT (I16): a new day 20 hours after the last one, and never one that was.
    fn opened(&mut self, date: String, from_ms: i64, wrong: &mut Wrong) {
        if let Some((before, since_ms)) = &self.open
            && *before != date
            && (date <= *before || from_ms - since_ms < 20 * HOUR_MS)
        {
            wrong.push(("I16", format!("{date} from {from_ms} was opened after {before} from {since_ms}")));
        }
        self.open = Some((date, from_ms));
    }

    // INVARIANT (I15): each reservation ends once, and all of it adds up to the cap.
    fn day(&mut self, env: usize, date: &str, row: &Value, wrong: &mut Wrong) {
        let pend = row["pend"]["M"].as_object().cloned().unwrap_or_default();
        let (cap, left, posted) = (number(row, "cap"), number(row, "usd_left"), number(row, "posted"));
        let held: i64 = pend.values().map(|entry| number(&entry["M"], "usd")).sum();
        if left + held + posted != cap {
            wrong.push(("I15", format!("{date}: {left} left + {held} + {posted} are not {cap}")));
        }
        let is_new = !self.days.contains_key(date);
        let before = self.days.entry(date.to_owned()).or_default();
        self.caps += u64::from(!is_new && cap != before.cap);
        before.cap = cap;
        before.cap_max = before.cap_max.max(cap);
        let now: BTreeSet<String> = pend.keys().cloned().collect();
        let ended: Vec<String> = before.pending.difference(&now).cloned().collect();
        let begun: Vec<String> = now.difference(&before.pending).cloned().collect();
        let charged = posted - before.posted;
        before.posted = posted;
        before.pending = now;
        for id in begun {
            let entry = &pend[&id]["M"];
            let (run, usd) = (text(entry, "run"), number(entry, "usd"));
            let one = Try { day: date.to_owned(), run, usd, cost: 0, tokens: 0, charged: None };
            if self.tries.insert(id.clone(), one).is_some() {
                wrong.push(("I15", format!("{id} is set aside a second time")));
            }
            self.paid.insert(env, id);
        }
        match ended.as_slice() {
            [] if charged == 0 => {}
            [one] => {
                let one = self.tries.get_mut(one).expect("it was set aside");
                one.charged = Some(charged);
                if charged < one.cost || charged > one.usd {
                    let why = format!("{charged} of {} were charged for what cost {}", one.usd, one.cost);
                    wrong.push((if charged < one.cost { "I12" } else { "I15" }, why));
                }
            }
            some => wrong.push(("I15", format!("{date} was charged {charged} for {some:?}"))),
        }
        self.within(date, wrong);
    }

    // INVARIANT (I12): what a day truly cost is within its cap and in its row.
    fn within(&self, date: &str, wrong: &mut Wrong) {
        let Some(day) = self.days.get(date) else { return };
        let truly: i64 = self.tries.values().filter(|one| one.day == date).map(|one| one.cost).sum();
        let held = day.pending.iter().map(|id| self.tries[id].usd).sum::<i64>();
        if truly > day.cap_max || truly > day.posted + held {
            let (most, posted) = (day.cap_max, day.posted);
            wrong.push((
                "I12",
                format!("{date} cost {truly}; its row says {posted} + {held}, its cap was {most}"),
            ));
        }
    }

    // INVARIANT (I14): every try at the model has its own reservation, made before.
    pub fn sent(&mut self, env: usize) -> Result<String, String> {
        self.paid.remove(&env).ok_or_else(|| format!("env {env} asks the model and set nothing aside for it"))
    }

    /// The vendor has billed a try, whoever heard its answer.
    pub fn billed(&mut self, id: &str, cost: i64, tokens: i64) -> Wrong {
        let mut wrong = Vec::new();
        let Some(one) = self.tries.get_mut(id) else { return wrong };
        (one.cost, one.tokens) = (cost, tokens);
        let one = one.clone();
        if cost > one.charged.unwrap_or(one.usd) {
            let (usd, charged) = (one.usd, one.charged);
            wrong.push(("I12", format!("{id} cost {cost}, {usd} were set aside and {charged:?} charged")));
        }
        self.within(&one.day, &mut wrong);
        // INVARIANT (I13): a run uses no more than it was given.
        let of_run = self.tries.values().filter(|other| other.run == one.run);
        let used: i64 = of_run.map(|other| other.tokens).sum();
        if used > TOKENS_PER_RUN {
            wrong.push(("I13", format!("{} used {used} tokens of {TOKENS_PER_RUN}", one.run)));
        }
        wrong
    }

    // INVARIANT (I13): tool calls too.
    pub fn calls(&self, run: &str, calls: usize) -> Wrong {
        if calls <= CALLS_PER_RUN {
            return Vec::new();
        }
        vec![("I13", format!("{run} has {calls} tool calls of {CALLS_PER_RUN}"))]
    }

    // INVARIANT (I17): one trip, one ping.
    pub fn pinged(&mut self, trip: &str) -> Wrong {
        let count = self.pings.entry(trip.to_owned()).or_default();
        *count += 1;
        if *count == 1 { Vec::new() } else { vec![("I17", format!("{trip} is told {count} times"))] }
    }
}
