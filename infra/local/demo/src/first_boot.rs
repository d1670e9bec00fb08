//! The first boot of a local install: tables, schema, people, the ops lead's list, and the arming that the
//! demo alone may do by itself. Must never arm what a person or a cap halted.
use crate::House;
use interlock::{ModesAfter, People, Person, PersonKey, RearmAsk, Rearmed, Role};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use types::{Actor, Generation, PersonId, Scope, StageRule, Stages, UsdNanos};
use web::{LinkKind, LinkSigner, Pin, PinHash};

/// Where the stand-in's company is at home.
const ZONE: &str = "Europe/Amsterdam";
/// Who put the control item of a demo, and armed it.
const DEMO: &str = "demo";

/// The secrets of a local install, in a file that only its owner can read. A demo install: the PIN is kept in
/// plain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LocalSecrets {
    /// Signs page links.
    pub link_signing_key: String,
    /// The demo person's PIN.
    pub pin: String,
    /// The path of her halt page; made at the first boot.
    pub halt_path: Option<String>,
    /// HubSpot's client secret, shared with the stand-in.
    pub hubspot_client_secret: String,
    /// Signs checkpoints of the audit log; empty in a folder that is older than they are.
    #[serde(default)]
    pub checkpoint_key: String,
}

/// Why the first boot failed.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The secrets file.
    #[error("the secrets of this folder cannot be read or written")]
    Secrets(#[from] std::io::Error),
    /// The secrets file holds something else.
    #[error("the secrets of this folder are not readable: start with `--fresh`")]
    Unreadable(#[from] serde_json::Error),
    /// Keys and PINs.
    #[error(transparent)]
    Web(#[from] web::WebError),
    /// The control item.
    #[error(transparent)]
    Interlock(#[from] interlock::InterlockError),
    /// The audit schema.
    #[error(transparent)]
    AuditLog(#[from] audit_log::Error),
    /// The hot configuration.
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    /// The stages of the CRM.
    #[error(transparent)]
    Crm(#[from] crm::CrmError),
    /// The demo's own id.
    #[error(transparent)]
    Id(#[from] types::IdError),
}

impl LocalSecrets {
    /// Reads the folder's secrets, or makes them.
    ///
    /// # Errors
    /// [`BootError`] when the file cannot be read or written.
    pub fn of(folder: &Path) -> Result<Self, BootError> {
        let path = folder.join("secrets.json");
        match std::fs::read(&path) {
            Ok(bytes) => {
                let mut secrets: Self = serde_json::from_slice(&bytes)?;
                if secrets.checkpoint_key.is_empty() {
                    secrets.checkpoint_key = LinkSigner::generate()?.secret_hex();
                    secrets.save(folder)?;
                }
                Ok(secrets)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let random = uuid::Uuid::new_v4().as_u128();
                let secrets = Self {
                    link_signing_key: LinkSigner::generate()?.secret_hex(),
                    pin: format!("{:06}", random % 1_000_000),
                    halt_path: None,
                    hubspot_client_secret: uuid::Uuid::new_v4().to_string(),
                    checkpoint_key: LinkSigner::generate()?.secret_hex(),
                };
                secrets.save(folder)?;
                Ok(secrets)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes them whole or not at all.
    ///
    /// # Errors
    /// [`BootError`] when the file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), BootError> {
        let new = folder.join("secrets.json.new");
        let mut file =
            std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        std::fs::rename(new, folder.join("secrets.json"))?;
        Ok(())
    }
}

/// Brings a local install to where it can run: schema, control item, person, stages. Idempotent. True the
/// first time.
///
/// # Errors
/// [`BootError`]; nothing is armed then.
pub async fn first_boot(house: &House, secrets: &mut LocalSecrets, folder: &Path) -> Result<bool, BootError> {
    audit::handle(&house.audit, serde_json::json!({"migrate": "audit"})).await.map_err(unwrap_audit)?;
    let actor = Actor::System(DEMO.to_owned());
    let first_time = house.halt.interlock.init(&actor).await?;
    let person_id = PersonId::new(DEMO)?;
    let signer = LinkSigner::from_secret_hex(&secrets.link_signing_key)?;
    let people = house.halt.interlock.people().await?;
    if !people.people.contains_key(&person_id) {
        let link = signer.sign(LinkKind::Person, &person_id, house.clock.now())?;
        secrets.halt_path = Some(link.path());
        secrets.save(folder)?;
        let next = with_person(people, &person_id, link.link.key_id.as_str(), secrets, house.clock.now_ms())?;
        house.halt.interlock.put_people(&next).await?;
    }
    if house.step.hot.get().await.hot.stages_version() == 0 {
        let stages = stages_of_crm(house).await?;
        house.step.hot.put_stages(&stages, 0).await?;
    }
    if house.step.hot.get().await.hot.zone_version() == 0 {
        house.step.hot.put_zone(ZONE, 0).await?;
    }
    arm(house, &actor).await?;
    Ok(first_time)
}

/// The demo arms by itself, if it put the item itself and nobody has armed or halted it since.
async fn arm(house: &House, actor: &Actor) -> Result<(), BootError> {
    let interlock = &house.halt.interlock;
    let control = interlock.control().await?;
    let untouched = control
        .halted_by
        .as_ref()
        .is_some_and(|halted| halted.reason == "not_yet_armed" && halted.by == actor.to_string());
    if !untouched {
        return Ok(());
    }
    let seq = interlock.switch().read(&[]).await.map(|flags| flags.seq_global).unwrap_or_default();
    let ask = RearmAsk {
        scope: Scope::Global,
        epoch_shown: control.epoch,
        generation_shown: Generation::default(),
        seq_shown: seq,
        actor: actor.clone(),
        because: "first boot of a demo".to_owned(),
        source: DEMO.to_owned(),
        modes: ModesAfter::DryRun,
    };
    let rearmed = interlock.rearm(&ask).await?;
    if !matches!(rearmed, Rearmed::Done { .. }) {
        tracing::warn!(?rearmed, "the demo could not arm itself: resume on the halt page");
    }
    Ok(())
}

fn with_person(
    people: People,
    person_id: &PersonId,
    key_id: &str,
    secrets: &LocalSecrets,
    now_ms: i64,
) -> Result<People, BootError> {
    let pin = Pin::parse(&secrets.pin).map(|pin| PinHash::of(&pin)).transpose()?;
    let key = PersonKey {
        kind: "phone".to_owned(),
        added_ms: now_ms,
        added_by: Actor::System(DEMO.to_owned()).to_string(),
        revoked_ms: None,
    };
    let person = Person {
        name: "Demo".to_owned(),
        role: Role::Ops,
        pin_hash: pin.map(|hash| hash.as_phc().to_owned()),
        pin_wrong: 0,
        pin_window_ms: 0,
        pin_wrong_total: 0,
        keys: BTreeMap::from([(key_id.to_owned(), key)]),
        revoked_ms: None,
    };
    let mut next = people;
    next.people.insert(person_id.clone(), person);
    Ok(next)
}

/// The CRM's own stages, as an ops lead would tick them on day one: everything but "won".
async fn stages_of_crm(house: &House) -> Result<Stages, BootError> {
    let pipelines = house.step.pipelines.deal_pipelines().await?;
    let mut rules = Vec::new();
    for pipeline in pipelines.iter().take(1) {
        for stage in &pipeline.stages {
            rules.push(StageRule {
                stage_id: stage.id.clone(),
                label: stage.label.clone(),
                pipeline_id: pipeline.id.clone(),
                agent_may_move_here: stage.writable && !is_won(stage),
                closed: stage.closed,
            });
        }
    }
    Ok(Stages(rules))
}

/// HubSpot gives the won stage no mark of its own; its id or label names it.
fn is_won(stage: &crm::Stage) -> bool {
    let names_it = |text: &str| text.to_ascii_lowercase().contains("won");
    stage.closed && (names_it(&stage.id) || names_it(&stage.label))
}

fn unwrap_audit(error: audit::AuditError) -> BootError {
    BootError::Secrets(std::io::Error::other(error))
}

/// The day's spend for the report.
pub async fn spent_today(house: &House) -> Option<(UsdNanos, UsdNanos)> {
    let zone = house.step.hot.get().await.hot.zone.clone();
    let day = house.step.budget.day(&zone).await.ok().flatten()?;
    Some((day.spent.plus(day.pending), day.cap))
}
