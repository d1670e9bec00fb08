//! The stand-ins for HubSpot and Slack that the tests of this crate talk to, and a run to talk about. Must
//! never be built outside tests.
use crate::Ports;
use gate::{Context, Kind, Plan, Refusal, Tool};
use serde_json::Value;
use standins::{Running, hubspot::Settings, slack::WEBHOOK_PATH};
use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::Poll,
    time::Duration,
};
use types::{CustomerId, DealId, IntentId, RunId, StageRule, Stages};

/// Our own app at the stand-in.
pub(crate) const APP_ID: u64 = 7_906_213;

/// 2026-11-23T08:00:00Z, which is nine in the morning in Amsterdam.
pub(crate) const NOW_MS: i64 = 1_795_420_800_000;

pub(crate) struct Loopback {
    pub(crate) hubspot: Running<standins::HubSpot>,
    pub(crate) slack: Running<standins::Slack>,
    pub(crate) ports: Ports,
    now_ms: Arc<AtomicI64>,
}

impl Loopback {
    pub(crate) async fn start() -> Self {
        // A second test in the same process finds it installed.
        drop(rustls::crypto::ring::default_provider().install_default());
        let now_ms = Arc::new(AtomicI64::new(NOW_MS));
        let read = Arc::clone(&now_ms);
        let clock: standins::Clock = Arc::new(move || read.load(Ordering::SeqCst));
        let settings = Settings { app_id: APP_ID, ..Settings::default() };
        let hubspot = standins::HubSpot::new(settings, clock.clone()).start().await.expect("a port");
        let slack = standins::Slack::new(clock).start().await.expect("a port");
        let ports = Ports::new(&client(&hubspot.url), Some(APP_ID), Some(channel(&slack.url)));
        Self { hubspot, slack, ports, now_ms }
    }

    pub(crate) fn advance_ms(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// No request but reads was made.
    // INVARIANT (I19): planning and reading never write.
    pub(crate) fn assert_only_reads(&self) {
        let methods: Vec<String> = self.hubspot.requests().into_iter().map(|seen| seen.method).collect();
        assert!(!methods.is_empty() && methods.iter().all(|method| method == "GET"), "{methods:?}");
        assert!(self.hubspot.forbidden_calls().is_empty());
    }
}

fn client(url: &str) -> crm::HubSpot {
    crm::HubSpot::new(&crm::HubSpotConfig {
        base_url: url.to_owned(),
        api_version: "2026-09".to_owned(),
        token: crm::Secret::new(&Settings::default().token),
        connect_timeout: Duration::from_secs(10),
        request_timeout: Duration::from_secs(20),
    })
    .expect("good settings")
}

fn channel(url: &str) -> notify::Slack {
    let url = notify::WebhookUrl::new(&format!("{url}{WEBHOOK_PATH}")).expect("a loopback address");
    notify::Slack::new(url, Duration::from_secs(20)).expect("a client")
}

/// Ports that lead nowhere: for what must be settled without a request.
pub(crate) fn dead_ports() -> Ports {
    drop(rustls::crypto::ring::default_provider().install_default());
    Ports::new(&client("http://127.0.0.1:1"), Some(APP_ID), None)
}

pub(crate) fn rule(stage_id: &str, label: &str, pipeline_id: &str, agent_may_move_here: bool) -> StageRule {
    StageRule {
        stage_id: stage_id.to_owned(),
        label: label.to_owned(),
        pipeline_id: pipeline_id.to_owned(),
        agent_may_move_here,
        closed: false,
    }
}

/// A run about that deal.
pub(crate) fn context(deal_id: &str) -> Context {
    Context {
        run_id: RunId::new("r-7f3a").expect("an id"),
        deal_id: DealId::new(deal_id).expect("an id"),
        customer_id: CustomerId::new("1234").expect("an id"),
        customer_name: "Van Dijk Logistics".to_owned(),
        contact_ids: vec!["704411".to_owned()],
        intent_id: IntentId::new("i-0123456789abcdef0123").expect("an id"),
        stages: Arc::new(Stages(vec![
            rule("negotiation", "Negotiation", "default", true),
            rule("contractsent", "Proposal sent", "default", true),
            rule("1093387201", "On hold", "default", true),
            rule("closedlost", "Closed Lost", "default", true),
            rule("closedwon", "Closed Won", "default", false),
            rule("oldlost", "Lost", "51440012", true),
        ])),
        zone: "Europe/Amsterdam".to_owned(),
        now: types::Timestamp::from_millisecond(NOW_MS).expect("a time"),
        own_writes: Vec::new(),
        run_url: Some("https://console.example/runs/r-7f3a".to_owned()),
    }
}

/// Plans with whatever kind of tool it is.
pub(crate) async fn plan(tool: &Tool, context: &Context, arguments: &Value) -> Result<Plan, Refusal> {
    match &tool.kind {
        Kind::Read(read) => read.read(context, arguments).await.map(|answer| answer.plan),
        Kind::Act(_, act) => act.plan(context, arguments).await,
        Kind::Draft(draft) => draft.plan(context, arguments).await,
        Kind::Ask(ask) => ask.plan(context, arguments).await,
    }
}

/// The same, where the tool is refused before it asks anything of anybody: one poll must settle it.
pub(crate) async fn refused_at_once(tool: &Tool, context: &Context, arguments: &Value) -> Refusal {
    let mut planned = pin!(plan(tool, context, arguments));
    let polled = std::future::poll_fn(|cx| Poll::Ready(planned.as_mut().poll(cx))).await;
    match polled {
        Poll::Ready(Err(refusal)) => refusal,
        Poll::Ready(Ok(plan)) => panic!("not refused: {plan:?}"),
        Poll::Pending => panic!("a request was made for {arguments}"),
    }
}
