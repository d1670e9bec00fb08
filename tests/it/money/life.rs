//! One life of money, and its second books. Must never draw anything but from its seed.
use crate::scene::{START_MS, Scene};
use aws_sdk_dynamodb::types::AttributeValue;
use budget::{Amount, Ask, Budget, MARGIN_MS, Reservation, Reserve, SeenDay, Settled, TakeCall, Used};
use std::collections::{BTreeMap, HashMap};
use types::{AttemptId, Cap, Caps, Clock, Epoch, Generation, IntentId, RunId, Scope, UsdNanos};

const CENT: i64 = 10_000_000;
const TURNS: usize = 60;
const TOKENS: i64 = 300;
const CALLS: u32 = 6;
const HOUR_MS: i64 = 3_600_000;
const ZONES: [&str; 4] =
    ["Europe/Amsterdam", "Pacific/Auckland", "America/Los_Angeles", "Pacific/Kiritimati"];

type Broken = String;
type Item = HashMap<String, AttributeValue>;

/// What happened in lives.
#[derive(Debug, Default)]
pub struct Sum {
    pub reserved: u64,
    pub set_aside: u64,
    pub tripped: u64,
    pub lost: u64,
    pub swept: u64,
    pub midnights: u64,
    pub caps: u64,
    pub zones: u64,
    pub pings: u64,
}

impl std::ops::AddAssign for Sum {
    fn add_assign(&mut self, one: Self) {
        self.reserved += one.reserved;
        self.set_aside += one.set_aside;
        self.tripped += one.tripped;
        self.lost += one.lost;
        self.swept += one.swept;
        self.midnights += one.midnights;
        self.caps += one.caps;
        self.zones += one.zones;
        self.pings += one.pings;
    }
}

/// What became of a try at the model, as far as these books know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Sent; its owner may live.
    Held,
    /// Settled at what it truly used.
    Settled,
    /// Posted in full.
    Full,
}

/// One HTTP try. It truly costs no more than was asked for.
#[derive(Debug)]
struct Try {
    day: String,
    run: usize,
    asked: (i64, i64),
    truly: (i64, i64),
    deadline_ms: i64,
    fate: Fate,
}

impl Try {
    fn charged(&self) -> (i64, i64) {
        if self.fate == Fate::Settled { self.truly } else { self.asked }
    }
}

/// A try under way: who holds it, with what it was asked for.
struct Hand {
    process: usize,
    reservation: Reservation,
    ask: Ask,
    at: usize,
}

pub struct Life {
    client: aws_sdk_dynamodb::Client,
    table: String,
    clock: Clock,
    processes: [Budget; 2],
    dice: u64,
    zone: &'static str,
    /// The cap in the hot configuration.
    cap: i64,
    /// The highest cap that each day ever had.
    cap_max: BTreeMap<String, i64>,
    tries: Vec<Try>,
    hands: Vec<Hand>,
    run: usize,
    calls: u32,
    names: u64,
    epoch: u64,
    pinged: u32,
    open: Option<(String, i64)>,
    /// The note of the open day as it was seen some time ago.
    seen: Option<SeenDay>,
    sum: Sum,
}

fn number(item: &Item, name: &str) -> i64 {
    item[name].as_n().expect("a number").parse().expect("a whole one")
}

impl Life {
    pub async fn new(seed: u64) -> Self {
        let client = Scene::dynamo();
        let prefix = format!("m{}-", uuid::Uuid::new_v4().simple());
        stores::dynamo::create_tables(&client, &prefix).await.expect("tables");
        let table = format!("{prefix}budget");
        let clock = Clock::manual(START_MS);
        let process = || Budget::new(client.clone(), table.clone(), clock.clone());
        Self {
            processes: [process(), process()],
            client: client.clone(),
            table: table.clone(),
            clock: clock.clone(),
            dice: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(77),
            zone: ZONES[0],
            cap: 150 * CENT,
            cap_max: BTreeMap::new(),
            tries: Vec::new(),
            hands: Vec::new(),
            run: 0,
            calls: 0,
            names: 0,
            epoch: 1,
            pinged: 0,
            open: None,
            seen: None,
            sum: Sum::default(),
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % bound
    }

    fn up_to(&mut self, most: i64) -> i64 {
        i64::try_from(self.below(u64::try_from(most).expect("not negative"))).expect("small") + 1
    }

    fn run_id(&self) -> RunId {
        RunId::new(format!("r-{}", self.run)).expect("an id")
    }

    async fn open_run(&mut self) {
        self.run += 1;
        self.calls = 0;
        let tokens_per_run = TOKENS.unsigned_abs();
        let caps = Caps { tokens_per_run, tool_calls_per_run: CALLS, ..Caps::default() };
        self.processes[0].open_run(&self.run_id(), &caps, Epoch(1)).await.expect("opened");
    }

    async fn row(&self, key: &str) -> Option<Item> {
        let key = AttributeValue::S(key.to_owned());
        let request = self.client.get_item().table_name(&self.table).key("pk", key).consistent_read(true);
        request.send().await.expect("an answer").item
    }

    /// The whole life; the first promise that broke.
    pub async fn live(mut self) -> Result<Sum, Broken> {
        self.open_run().await;
        for turn in 0..TURNS {
            if self.below(3) == 0 {
                let left = self.processes[0].left(&self.run_id(), self.zone).await.expect("answered");
                self.seen = left.and_then(|left| left.seen);
            }
            let what = self.below(20);
            match what {
                0..=6 => self.ask_twice().await?,
                7..=9 => self.answer().await?,
                10 => self.lose().await?,
                11 => self.die(),
                12 | 13 => self.sweep().await?,
                14 => {
                    let later = self.up_to(30_000);
                    self.clock.advance_ms(later);
                }
                15 => {
                    let hours = self.up_to(16);
                    self.clock.advance_ms(HOUR_MS * hours);
                }
                16 => self.change_cap().await,
                17 if self.below(2) == 0 => {
                    let at = usize::try_from(self.below(4)).expect("small");
                    self.sum.zones += u64::from(self.zone != ZONES[at]);
                    self.zone = ZONES[at];
                }
                17 => self.cap = self.up_to(300) * CENT,
                _ => self.call().await?,
            }
            self.check_days().await.map_err(|broken| format!("turn {turn} ({what}): {broken}"))?;
            self.check_run().await.map_err(|broken| format!("turn {turn} ({what}): {broken}"))?;
        }
        self.end().await?;
        Ok(self.sum)
    }

    fn ask(&mut self) -> Ask {
        self.names += 1;
        let (tokens, usd) = (self.up_to(80), self.up_to(60) * CENT);
        Ask {
            run_id: self.run_id(),
            attempt_id: AttemptId::new(format!("a-{}", self.names)).expect("an id"),
            tokens: tokens.unsigned_abs(),
            usd: UsdNanos(usd),
            epoch: Epoch(1),
            deadline_ms: self.clock.now_ms() + 60_000,
            zone: self.zone.to_owned(),
            usd_per_day: Some(UsdNanos(self.cap)),
            seen: self.seen.clone(),
        }
    }

    /// Two processes ask at the same instant.
    async fn ask_twice(&mut self) -> Result<(), Broken> {
        let (one, other) = (self.ask(), self.ask());
        let (first, second) =
            tokio::join!(self.processes[0].reserve(one.clone()), self.processes[1].reserve(other.clone()));
        self.note_open().await?;
        let (first, second) = (first.expect("answered"), second.expect("answered"));
        let run = self.run;
        self.asked((0, run), one, first).await?;
        self.asked((1, run), other, second).await
    }

    /// What a call truly uses of its bound. Often it is met to the last token.
    fn part_of(&mut self, most: i64) -> i64 {
        let drawn = self.up_to(100);
        if drawn > 60 { most } else { most * drawn / 100 }
    }

    async fn asked(
        &mut self,
        (process, run): (usize, usize),
        ask: Ask,
        answer: Reserve,
    ) -> Result<(), Broken> {
        let asked = (ask.usd.0, i64::try_from(ask.tokens).expect("small"));
        match answer {
            Reserve::Reserved(reservation) => {
                self.sum.reserved += 1;
                let truly = (self.part_of(asked.0), self.part_of(asked.1));
                let (day, deadline_ms) = (reservation.day().to_owned(), ask.deadline_ms);
                let fate = Fate::Held;
                self.tries.push(Try { day, run, asked, truly, deadline_ms, fate });
                let at = self.tries.len() - 1;
                self.hands.push(Hand { process, reservation, ask, at });
                Ok(())
            }
            Reserve::SetAside { .. } => {
                self.sum.set_aside += 1;
                self.refused(asked.0, false).await
            }
            Reserve::Tripped { cap: Cap::UsdPerDay, .. } => {
                self.sum.tripped += 1;
                self.refused(asked.0, true).await?;
                self.trip().await
            }
            Reserve::Tripped { cap: Cap::TokensPerRun, left: Amount::Tokens(left), .. } => {
                if left >= asked.1 {
                    return Err(format!("I13: {left} tokens are left and {} were refused", asked.1));
                }
                self.open_run().await;
                Ok(())
            }
            other => Err(format!("an answer that nothing here explains: {other:?}")),
        }
    }

    /// A refusal of the day is a trip exactly if what is spent leaves too little.
    async fn refused(&self, asked: i64, tripped: bool) -> Result<(), Broken> {
        let (date, _) = self.open.as_ref().expect("a day is open");
        let cap = number(&self.row(&format!("day#{date}")).await.expect("the day"), "cap").min(self.cap);
        let ended = self.tries.iter().filter(|one| one.day == *date && one.fate != Fate::Held);
        let unspent = cap - ended.map(|one| one.charged().0).sum::<i64>();
        if tripped == (unspent < asked) {
            return Ok(());
        }
        Err(format!("I17: {unspent} of {cap} is not spent, {asked} were refused, tripped: {tripped}"))
    }

    // INVARIANT (I17): however many processes find it, one tells.
    async fn trip(&mut self) -> Result<(), Broken> {
        let scope = Scope::Global;
        let (epoch, generation) = (Epoch(self.epoch), Generation(0));
        for process in &self.processes {
            let first = process.trip_once(Cap::UsdPerDay, &scope, epoch, generation).await;
            self.pinged += u32::from(first.expect("answered"));
        }
        if self.pinged != 1 {
            return Err(format!("I17: epoch {} has {} pings", self.epoch, self.pinged));
        }
        if self.below(2) == 0 {
            self.sum.pings += 1;
            self.epoch += 1;
            self.pinged = 0;
        }
        Ok(())
    }

    /// A call comes back; at times another handle to the same reservation is there, as after a lost answer.
    async fn answer(&mut self) -> Result<(), Broken> {
        if self.hands.is_empty() {
            return Ok(());
        }
        let at = usize::try_from(self.below(self.hands.len() as u64)).expect("small");
        // INVARIANT (I14): a retry under the same name is not paid for.
        let held = &self.hands[at];
        if self.clock.now_ms() < held.ask.deadline_ms {
            let again = self.processes[held.process].reserve(held.ask.clone()).await.expect("answered");
            if matches!(again, Reserve::Reserved(_)) {
                return Err(format!("I14: {} pays for a second try", held.ask.attempt_id));
            }
        }
        let hand = self.hands.swap_remove(at);
        let twin = if self.clock.now_ms() < hand.ask.deadline_ms && self.below(2) == 0 {
            let twin = self.processes[1 - hand.process].reserve(hand.ask.clone()).await.expect("answered");
            if let Reserve::Reserved(twin) = twin { Some(twin) } else { None }
        } else {
            None
        };
        let one = &self.tries[hand.at];
        let used = Used { tokens: one.truly.1.unsigned_abs(), usd: UsdNanos(one.truly.0) };
        let settled = self.processes[hand.process].settle(hand.reservation, used).await.expect("answered");
        if (settled == Settled::AlreadyEnded) != (one.fate == Fate::Full) {
            return Err(format!("I15: {settled:?} of a try that is {:?}", one.fate));
        }
        if let Settled::Overshot { usd_over, .. } = settled {
            return Err(format!("I12: a call within its bound cost {usd_over} more than was reserved"));
        }
        if let Some(twin) = twin {
            let _second = self.processes[1 - hand.process].settle(twin, used).await.expect("answered");
        }
        if one.fate == Fate::Held {
            self.tries[hand.at].fate = Fate::Settled;
        }
        Ok(())
    }

    /// The answer is lost: the call may have been billed.
    async fn lose(&mut self) -> Result<(), Broken> {
        let Some(hand) = self.hands.pop() else { return Ok(()) };
        self.sum.lost += 1;
        let _settled = self.processes[hand.process].charge_in_full(hand.reservation).await.expect("answered");
        self.tries[hand.at].fate = Fate::Full;
        Ok(())
    }

    /// A process dies with everything in its hands, and another takes its place.
    fn die(&mut self) {
        let process = usize::try_from(self.below(2)).expect("small");
        self.hands.retain(|hand| hand.process != process);
        self.processes[process] = Budget::new(self.client.clone(), self.table.clone(), self.clock.clone());
    }

    async fn sweep(&mut self) -> Result<(), Broken> {
        let now_ms = self.clock.now_ms();
        let swept = self.processes[0].sweep_orphans(now_ms).await.expect("answered");
        self.sum.swept += u64::from(swept);
        for one in &mut self.tries {
            if one.fate == Fate::Held && now_ms > one.deadline_ms + MARGIN_MS {
                one.fate = Fate::Full;
            }
        }
        Ok(())
    }

    /// Two people save a cap at the same instant; one of them is the last.
    async fn change_cap(&mut self) {
        let (one, other) = (UsdNanos(self.up_to(300) * CENT), UsdNanos(self.up_to(300) * CENT));
        let (first, second) = tokio::join!(
            self.processes[0].change_cap(one, self.zone),
            self.processes[1].change_cap(other, self.zone)
        );
        first.expect("answered");
        second.expect("answered");
        self.sum.caps += 1;
        self.cap = if self.below(2) == 0 { one.0 } else { other.0 };
    }

    // INVARIANT (I13)
    async fn call(&mut self) -> Result<(), Broken> {
        self.names += 1;
        let intent = IntentId::new(format!("i-{}", self.names)).expect("an id");
        let run_id = self.run_id();
        let (first, again) = (
            self.processes[0].take_call(&run_id, &intent).await.expect("answered"),
            self.processes[1].take_call(&run_id, &intent).await.expect("answered"),
        );
        self.calls += u32::from(first == TakeCall::Taken) + u32::from(again == TakeCall::Taken);
        if self.calls > CALLS {
            return Err(format!("I13: {} tool calls of {CALLS}", self.calls));
        }
        if matches!(first, TakeCall::Tripped { .. }) && self.calls < CALLS {
            return Err(format!("I13: refused after {} tool calls of {CALLS}", self.calls));
        }
        Ok(())
    }

    /// Which day is open; a new one begins 20 hours after the one before, at least.
    // INVARIANT (I16)
    async fn note_open(&mut self) -> Result<(), Broken> {
        let Some(note) = self.row("days").await else { return Ok(()) };
        let open = (note["open_date"].as_s().expect("a date").clone(), number(&note, "from_ms"));
        if let Some(before) = &self.open
            && before.0 != open.0
        {
            self.sum.midnights += 1;
            if open.0 <= before.0 || open.1 - before.1 < 20 * HOUR_MS {
                return Err(format!("I16: {open:?} was opened after {before:?}"));
            }
        }
        self.cap_max.entry(open.0.clone()).or_insert(0);
        self.open = Some(open);
        Ok(())
    }

    // INVARIANT (I12, I15, I16)
    async fn check_days(&mut self) -> Result<(), Broken> {
        self.note_open().await?;
        let dates: Vec<String> = self.cap_max.keys().cloned().collect();
        for date in dates {
            let row = self.row(&format!("day#{date}")).await.expect("the day");
            let pend = row["pend"].as_m().expect("a map").values();
            let pending: i64 = pend.map(|held| number(held.as_m().expect("a map"), "usd")).sum();
            let (cap, left, posted) = (number(&row, "cap"), number(&row, "usd_left"), number(&row, "posted"));
            let most = self.cap_max.entry(date.clone()).or_insert(0);
            *most = (*most).max(cap);
            let of_day = || self.tries.iter().filter(|one| one.day == date);
            let truly: i64 = of_day().map(|one| one.truly.0).sum();
            if truly > *most {
                return Err(format!("I12: {date} truly cost {truly}, and its cap was never above {most}"));
            }
            if truly > posted + pending {
                return Err(format!("I12: {date} truly cost {truly}, and its row has {posted} + {pending}"));
            }
            if left + pending + posted != cap {
                return Err(format!("I15: {date}: {left} left + {pending} + {posted} are not {cap}"));
            }
            let ended = of_day().filter(|one| one.fate != Fate::Held).map(|one| one.charged().0).sum::<i64>();
            let held = of_day().filter(|one| one.fate == Fate::Held).map(|one| one.asked.0).sum::<i64>();
            if (posted, pending) != (ended, held) {
                return Err(format!("I15: {date} has {posted} + {pending}, and {ended} + {held} happened"));
            }
        }
        Ok(())
    }

    // INVARIANT (I13)
    async fn check_run(&self) -> Result<(), Broken> {
        let row = self.row(&format!("run#{}", self.run_id())).await.expect("the run");
        let mine = self.tries.iter().filter(|one| one.run == self.run);
        let left = TOKENS - mine.map(|one| one.charged().1).sum::<i64>();
        let stored = number(&row, "tokens_left");
        if stored != left || stored < 0 {
            return Err(format!("I13: {stored} tokens are left in the row, {left} in truth"));
        }
        Ok(())
    }

    /// Everybody is dead and every deadline past: the sweep ends what is open, and what is left is usable.
    async fn end(&mut self) -> Result<(), Broken> {
        self.hands.clear();
        self.clock.advance_ms(60_000 + MARGIN_MS + 1);
        self.sweep().await?;
        self.check_days().await?;
        if let Some(one) = self.tries.iter().find(|one| one.fate == Fate::Held) {
            return Err(format!("I15: never ended: {one:?}"));
        }
        self.open_run().await;
        let ask = Ask { tokens: 1, usd: UsdNanos(1), ..self.ask() };
        let answer = self.processes[0].reserve(ask.clone()).await.expect("answered");
        self.note_open().await?;
        let (date, _) = self.open.clone().expect("a day");
        let row = self.row(&format!("day#{date}")).await.expect("the day");
        let spent: i64 = self.tries.iter().filter(|one| one.day == date).map(|one| one.charged().0).sum();
        let affordable = number(&row, "cap").min(self.cap) - spent >= 1;
        if affordable != matches!(answer, Reserve::Reserved(_)) {
            return Err(format!("the last nano-dollar: affordable is {affordable}, and {answer:?}"));
        }
        Ok(())
    }
}
