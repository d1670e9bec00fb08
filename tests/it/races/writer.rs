//! A process that writes until it is stopped: the interlock's check, the gate's permit and flags, then one
//! line to the sink in the place of the CRM. Must never write but through the gate.
use super::{Install, Tally, customer, line, send};
use async_trait::async_trait;
use gate::{Act, Applied, Context, PermitTerms, Plan, ReadBack, Refusal, Sent, Trail, TrailError};
use interlock::{Interlock, Permit, Standing};
use serde_json::Value;
use std::sync::Arc;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use types::{Clock, DealId, IntentId, Reason, RunId, Stages, Target};

/// How long an invocation may take: longer than any race.
const INVOCATION_MS: i64 = 60_000;
/// A writer that nobody stops gives up after so many writes: the page spoke long ago.
const WRITES_MAX: usize = 200;

type Wire = Mutex<BufReader<TcpStream>>;

/// Writes for each of these customers at once, until the parent is gone.
pub async fn run(install: &Install, sink: &str, customers: &[String]) {
    let interlock = Arc::new(install.interlock());
    let mut writers = Vec::new();
    for name in customers {
        let stream = TcpStream::connect(sink).await.expect("the sink");
        stream.set_nodelay(true).expect("no delay");
        let wire = Mutex::new(BufReader::new(stream));
        let (interlock, name) = (Arc::clone(&interlock), name.clone());
        writers.push(crate::door::spawn(async move { write_on(&interlock, wire, &name).await }));
    }
    for writer in writers {
        writer.await.expect("a writer");
    }
}

async fn write_on(interlock: &Interlock, wire: Wire, name: &str) {
    let sink = Sink(wire);
    sink.say(&format!("customer {name}")).await;
    while sink.hear().await.as_deref() == Some("go") {
        let tally = one_race(interlock, &sink, name).await;
        sink.say(&format!("stopped {}", serde_json::to_string(&tally).expect("JSON"))).await;
    }
}

/// Writes until a switch says that this scope is halted.
async fn one_race(interlock: &Interlock, sink: &Sink, name: &str) -> Tally {
    let mut tally = Tally::default();
    let customer = customer(name);
    while tally.writes < WRITES_MAX {
        let go = match interlock.check(None, Some(&customer)).await {
            Standing::Go(go) => go,
            Standing::Halted { reason, .. } => {
                tally.refused(&format!("step: {}", reason.code()));
                tally.stopped = true;
                break;
            }
            Standing::OldEpoch => unreachable!("these runs are not bound"),
            Standing::Parked(reason) => {
                tally.refused(&format!("step: {}", reason.code()));
                continue;
            }
        };
        sink.ask("ask").await;
        let context = context(name);
        let plan = plan(name);
        let terms = PermitTerms {
            run_id: &context.run_id,
            invocation_deadline_ms: Clock::system().now_ms() + INVOCATION_MS,
            request_ms_max: 10_000,
        };
        match gate::apply(sink, &context, &plan, &go, interlock, terms, &mut NoTrail).await {
            Ok(Applied::Sent(_)) => tally.writes += 1,
            Ok(Applied::NoPermit(reason)) => {
                tally.refused(&format!("permit: {}", reason.code()));
                if matches!(reason, Reason::HaltedGlobal | Reason::HaltedCustomer) {
                    tally.stopped = true;
                    break;
                }
            }
            Err(_) => tally.refused("permit: no answer"),
        }
    }
    tally
}

/// The connection to the parent, in the place of the CRM.
struct Sink(Wire);

impl Sink {
    async fn say(&self, text: &str) {
        send(self.0.lock().await.get_mut(), text).await;
    }

    async fn hear(&self) -> Option<String> {
        line(&mut *self.0.lock().await).await
    }

    /// Says it and waits until the parent has noted it.
    async fn ask(&self, text: &str) {
        let mut wire = self.0.lock().await;
        send(wire.get_mut(), text).await;
        assert_eq!(line(&mut *wire).await.as_deref(), Some("noted"), "the parent lives");
    }
}

#[async_trait]
impl Act for Sink {
    async fn plan(&self, _context: &Context, _arguments: &Value) -> Result<Plan, Refusal> {
        unreachable!("the plan is there")
    }

    async fn apply(&self, _context: &Context, _plan: &Plan, permit: &Permit) -> Sent {
        self.ask(&format!("write {}", permit.permit_id())).await;
        Sent::Applied { after: None, tell: String::new() }
    }

    async fn read_back(&self, _context: &Context, _plan: &Plan) -> ReadBack {
        ReadBack::Unreadable
    }
}

/// These races are about permits: rows are another test's.
struct NoTrail;

#[async_trait]
impl Trail for NoTrail {
    async fn planned(&mut self, _plan: &Plan) -> Result<(), TrailError> {
        Ok(())
    }

    async fn open(&mut self, _plan: &Plan, _permit: &Permit) -> Result<(), TrailError> {
        Ok(())
    }

    async fn closed(&mut self, _plan: &Plan, _applied: &Applied) -> Result<(), TrailError> {
        Ok(())
    }
}

fn context(name: &str) -> Context {
    Context {
        run_id: RunId::new("r-00000000000000000000").expect("an id"),
        deal_id: DealId::new("4411").expect("an id"),
        customer_id: customer(name),
        customer_name: name.to_owned(),
        contact_ids: Vec::new(),
        intent_id: IntentId::new("i-00000000000000000000").expect("an id"),
        stages: Arc::new(Stages::default()),
        zone: "UTC".to_owned(),
        now: Clock::system().now(),
        own_writes: Vec::new(),
        run_url: None,
    }
}

fn plan(name: &str) -> Plan {
    Plan {
        verb: super::TOOL.to_owned(),
        target: Target::new("deal", name),
        before: None,
        after: None,
        request: None,
        because: None,
        what: "append a note".to_owned(),
        subjects: Vec::new(),
        warnings: Vec::new(),
    }
}
