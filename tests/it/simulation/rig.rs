//! The functions of a simulated world, built for one life. Must never share a store with another one.
use super::log::{self, Lent};
use super::wire::Net;
use super::world::Profile;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use kill_switch::{Switch, Timeouts};
use starter::{Start, Starter};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use types::Clock;

/// Execution environments of the step function, of the halt function, and of intake.
pub const STEPS: std::ops::Range<usize> = 0..4;
pub const HALTS: std::ops::Range<usize> = 4..6;
pub const INTAKE: usize = 6;
/// Of the audit function, in a life whose outbox is drained.
pub const AUDITS: std::ops::Range<usize> = 7..9;
/// Table names begin with it.
pub const PREFIX: &str = "sim-";
/// Where HubSpot believes that the webhook is.
pub const TARGET: &str = "http://127.0.0.1:8786/hubspot";
/// HubSpot's client secret.
pub const SECRET: &str = "simulated-client-secret";

pub struct Rig {
    pub net: Net,
    pub clock: Clock,
    pub steps: Vec<Arc<step::Deps>>,
    pub halts: Vec<Arc<halt::Deps>>,
    /// Links of the halt page, of a person and of a ping: they fit every halt function.
    pub links: [String; 2],
    pub intake: Arc<intake::Deps>,
    pub starts: UnboundedReceiver<Start>,
    /// Both are there in a life whose outbox is drained.
    pub audits: Vec<Arc<audit::Deps>>,
    pub log: Option<Lent>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.net.shut();
    }
}

struct Builder {
    signer: web::LinkSigner,
    net: Net,
    clock: Clock,
    starts: UnboundedSender<Start>,
}

impl Rig {
    pub async fn build(profile: &Profile) -> Self {
        config::install_tls();
        let (sender, starts) = unbounded_channel();
        let clock = Clock::manual(profile.begins_ms());
        let signer = web::LinkSigner::generate().expect("a key");
        let builder = Builder { signer, net: Net::new(), clock: clock.clone(), starts: sender };
        let (mut steps, mut halts) = (Vec::new(), Vec::new());
        for env in STEPS {
            steps.push(Arc::new(builder.step(env).await));
        }
        for env in HALTS {
            halts.push(Arc::new(builder.halt(env).await));
        }
        let intake = Arc::new(builder.intake().await);
        let log = profile.trail.map(|_| log::lend());
        let mut audits = Vec::new();
        if let Some(log) = &log {
            for env in AUDITS {
                audits.push(Arc::new(builder.audit(env, log).await));
            }
        }
        let person = types::PersonId::new("demo").expect("an id");
        let links = [web::LinkKind::Person, web::LinkKind::Slack]
            .map(|kind| builder.signer.sign(kind, &person, clock.now()).expect("a link").path());
        Self { net: builder.net, clock, steps, halts, links, intake, starts, audits, log }
    }
}

impl Builder {
    fn settings(&self, http: SocketAddr) -> config::Settings {
        let hubspot = standins::hubspot::Settings::default();
        let values: BTreeMap<&str, String> = BTreeMap::from([
            ("TABLE_PREFIX", PREFIX.to_owned()),
            ("HUBSPOT_BASE_URL", format!("http://{http}")),
            ("HUBSPOT_TOKEN", hubspot.token),
            ("HUBSPOT_APP_ID", hubspot.app_id.to_string()),
            ("HUBSPOT_CLIENT_SECRET", SECRET.to_owned()),
            ("HUBSPOT_TARGET_URL", TARGET.to_owned()),
            ("AWS_REGION", "eu-west-1".to_owned()),
        ]);
        config::Settings::from_map(|name| values.get(name).cloned()).expect("settings")
    }

    /// The clients that the product makes for itself, over the held wires. The second one repeats nothing.
    fn dynamo(&self, env: usize) -> (aws_sdk_dynamodb::Client, aws_sdk_dynamodb::Client) {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(Duration::from_millis(1_200))
            .operation_timeout(Duration::from_secs(3))
            .build();
        let retries = RetryConfig::standard()
            .with_max_attempts(3)
            .with_initial_backoff(Duration::from_millis(50))
            .with_max_backoff(Duration::from_millis(500));
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .endpoint_url("http://tables.invalid")
            .credentials_provider(Credentials::new("local", "local", None, None, "simulation"))
            .http_client(self.net.aws(env))
            .timeout_config(timeouts)
            .retry_config(retries)
            .build();
        let once = config.to_builder().retry_config(RetryConfig::disabled()).build();
        (aws_sdk_dynamodb::Client::from_conf(config), aws_sdk_dynamodb::Client::from_conf(once))
    }

    fn ssm(&self, env: usize) -> aws_sdk_ssm::Client {
        let config = aws_sdk_ssm::Config::builder()
            .behavior_version(aws_sdk_ssm::config::BehaviorVersion::latest())
            .region(aws_sdk_ssm::config::Region::new("eu-west-1"))
            .endpoint_url("http://parameters.invalid")
            .credentials_provider(Credentials::new("local", "local", None, None, "simulation"))
            .http_client(self.net.aws(env))
            .retry_config(RetryConfig::disabled())
            .build();
        aws_sdk_ssm::Client::from_conf(config)
    }

    /// Both switches as that environment reaches them, and its table client.
    fn interlock(&self, env: usize, flags: SocketAddr) -> (interlock::Interlock, aws_sdk_dynamodb::Client) {
        let (client, once) = self.dynamo(env);
        let switch = Switch::new(&format!("redis://{flags}/"), Timeouts::default()).expect("an address");
        let table = format!("{PREFIX}control");
        (interlock::Interlock::new(once, table, Arc::new(switch), self.clock.clone(), 1), client)
    }

    async fn step(&self, env: usize) -> step::Deps {
        let (http, flags) = self.net.listen(env).await;
        let settings = self.settings(http);
        let (interlock, client) = self.interlock(env, flags);
        let hubspot = crm::HubSpot::new(&crm::HubSpotConfig {
            base_url: settings.hubspot_base_url.clone(),
            api_version: settings.hubspot_api_version.clone(),
            token: crm::Secret::new(&standins::hubspot::Settings::default().token),
            connect_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(10),
        })
        .expect("HubSpot's client");
        let model = model::Messages::new(
            &format!("http://{http}"),
            model::ApiKey::new(standins::anthropic::API_KEY),
            model::VERSION,
            model::Timeouts::default(),
        )
        .expect("the model's client");
        let app_id = settings.hubspot_app_id.as_deref().and_then(|id| id.parse().ok());
        step::Deps {
            ledger: ledger::Ledger::new(client.clone(), PREFIX, self.clock.clone()),
            interlock,
            budget: budget::Budget::new(client, settings.table("budget"), self.clock.clone()),
            hot: Arc::new(config::HotConfig::new(&settings, self.ssm(env), self.clock.clone())),
            model,
            model_name: settings.model.clone(),
            tools: tools::Registry::new(&tools::Ports::new(&hubspot, app_id, None)),
            deals: hubspot.deal_reader(),
            emails: hubspot.email_reader(),
            companies: hubspot.company_reader(),
            contacts: hubspot.contact_reader(),
            pipelines: hubspot.pipeline_reader(),
            slack: None,
            starter: Starter::Local(self.starts.clone()),
            // Nobody acknowledges a row here.
            log_lag: step::LogLag::new(u32::MAX),
            clock: self.clock.clone(),
            crm_ms_max: 10_000,
            links: step::Links::default(),
            frozen: Mutex::new(HashMap::new()),
        }
    }

    async fn halt(&self, env: usize) -> halt::Deps {
        let (http, flags) = self.net.listen(env).await;
        let settings = self.settings(http);
        let (interlock, client) = self.interlock(env, flags);
        halt::Deps {
            interlock,
            budget: budget::Budget::new(client.clone(), settings.table("budget"), self.clock.clone()),
            ledger: ledger::Ledger::new(client, PREFIX, self.clock.clone()),
            verifier: self.signer.verifier(),
            secrets: config::Secrets::new(&settings, self.ssm(env), self.clock.clone()),
            hot: config::HotConfig::new(&settings, self.ssm(env), self.clock.clone()),
            zone: Mutex::new(web::Zone::utc()),
            install: halt::Install::default(),
        }
    }

    async fn audit(&self, env: usize, log: &log::Log) -> audit::Deps {
        let port = self.net.listen_for_log(env, &log.config).await;
        audit::Deps {
            ledger: ledger::Ledger::new(self.dynamo(env).0, PREFIX, self.clock.clone()),
            log: audit_log::AuditLog::lazy(&log.address(port)).expect("an address"),
            origin: "sim".to_owned(),
            signer: None,
            checkpoint_keys: Vec::new(),
            retention_days: 365,
        }
    }

    async fn intake(&self) -> intake::Deps {
        let (http, _) = self.net.listen(INTAKE).await;
        let settings = self.settings(http);
        intake::Deps {
            ledger: ledger::Ledger::new(self.dynamo(INTAKE).0, PREFIX, self.clock.clone()),
            starter: Starter::Local(self.starts.clone()),
            secrets: Arc::new(config::Secrets::new(&settings, self.ssm(INTAKE), self.clock.clone())),
            app_id: settings.hubspot_app_id.as_deref().and_then(|id| id.parse().ok()),
            erase_after_ms: Some(60_000),
            clock: self.clock.clone(),
        }
    }
}
