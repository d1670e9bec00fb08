//! Hot configuration, cached five seconds, last good one kept 15 minutes. Must never default to live.
use crate::{
    ConfigError, Settings,
    shape::{PART_BYTES_MAX, Part, read_caps, read_prices, read_stages, read_zone},
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::Mutex;
use types::{Caps, Clock, Prices, Stages};

/// How long a loaded configuration is used before SSM is asked again.
const CACHED_MS: i64 = 5_000;
/// How long the last good configuration stands in for one that cannot be read, milliseconds.
pub const LAST_GOOD_MS_MAX: i64 = 15 * 60 * 1_000;
/// How far back the clock may step before a remembered time is not believed.
const SKEW_MS_MAX: i64 = 5 * 60 * 1_000;
/// Four parameters are ours; more pages than this below our path are not.
const PAGES_MAX: usize = 10;

/// Everything that may change while the agent runs, except the tools' modes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hot {
    /// `stages:3 caps:1 prices:0 zone:1`: the SSM version of each part, 0 for a part that was never set.
    pub version: String,
    /// The stages that the agent may use; none by default.
    pub stages: Stages,
    /// The caps.
    pub caps: Caps,
    /// The prices.
    pub prices: Prices,
    /// The ops lead's time zone (IANA).
    pub zone: String,
    versions: BTreeMap<Part, i64>,
}

impl Hot {
    fn version_of(&self, part: Part) -> i64 {
        self.versions.get(&part).copied().unwrap_or(0)
    }

    /// SSM version of the stages, 0 when they were never set: what [`HotConfig::put_stages`] expects.
    #[must_use]
    pub fn stages_version(&self) -> i64 {
        self.version_of(Part::Stages)
    }

    /// SSM version of the caps, 0 when they were never set.
    #[must_use]
    pub fn caps_version(&self) -> i64 {
        self.version_of(Part::Caps)
    }

    /// SSM version of the prices, 0 when they were never set.
    #[must_use]
    pub fn prices_version(&self) -> i64 {
        self.version_of(Part::Prices)
    }

    /// SSM version of the zone, 0 when it was never set.
    #[must_use]
    pub fn zone_version(&self) -> i64 {
        self.version_of(Part::Zone)
    }

    /// Parses what SSM holds; a part that is not there has its default.
    fn parse(raw: &Raw) -> Result<Self, ConfigError> {
        let text = |part: Part| match raw.get(&part) {
            Some((_, text)) if text.len() > PART_BYTES_MAX => Err(part.malformed()),
            Some((_, text)) => Ok(Some(text.as_str())),
            None => Ok(None),
        };
        let versions: BTreeMap<_, _> = raw.iter().map(|(part, (version, _))| (*part, *version)).collect();
        let shown = Part::ALL.map(|part| format!("{}:{}", part.name(), versions.get(&part).unwrap_or(&0)));
        Ok(Self {
            version: shown.join(" "),
            stages: text(Part::Stages)?.map(read_stages).transpose()?.unwrap_or_default(),
            caps: text(Part::Caps)?.map(read_caps).transpose()?.unwrap_or_default(),
            prices: text(Part::Prices)?.map(read_prices).transpose()?.unwrap_or_default(),
            zone: text(Part::Zone)?.map(read_zone).transpose()?.unwrap_or_else(|| "UTC".to_owned()),
            versions,
        })
    }
}

impl Default for Hot {
    fn default() -> Self {
        Self {
            version: Part::ALL.map(|part| format!("{}:0", part.name())).join(" "),
            stages: Stages::default(),
            caps: Caps::default(),
            prices: Prices::default(),
            zone: "UTC".to_owned(),
            versions: BTreeMap::new(),
        }
    }
}

/// How far a configuration can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Read within the last five seconds.
    Fresh,
    /// SSM is silent or holds something malformed; this one was read at `since_ms` and still counts.
    LastGood {
        /// When it was read, milliseconds since the epoch.
        since_ms: i64,
    },
    /// Too old, or never read. Callers treat every tool as dry and make no model call.
    Unusable,
}

/// A configuration and how far it can be relied on.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration; when unusable, only for showing.
    pub hot: Arc<Hot>,
    /// May it be acted on?
    pub freshness: Freshness,
}

/// What SSM holds: per part its version and text.
pub(crate) type Raw = BTreeMap<Part, (i64, String)>;

#[derive(Debug, Default)]
struct Kept {
    /// The last good one and when it was read.
    good: Option<(i64, Arc<Hot>)>,
    /// The last try, and whether it was good.
    tried: Option<(i64, bool)>,
}

/// The hot configuration of this process.
#[derive(Debug)]
pub struct HotConfig {
    pub(crate) ssm: aws_sdk_ssm::Client,
    pub(crate) path: String,
    clock: Clock,
    kept: Mutex<Kept>,
}

impl HotConfig {
    /// Configuration below the settings' SSM path; nothing is read yet.
    #[must_use]
    pub fn new(settings: &Settings, ssm: aws_sdk_ssm::Client, clock: Clock) -> Self {
        Self { ssm, path: settings.parameter_path(), clock, kept: Mutex::default() }
    }

    /// The configuration in force. Asks SSM at most every five seconds, successful or not.
    pub async fn get(&self) -> Loaded {
        self.get_with(|| self.read()).await
    }

    /// Forgets the cache (not the last good one), so that the next `get` reads what was just saved.
    pub async fn forget(&self) {
        self.kept.lock().await.tried = None;
    }

    /// [`HotConfig::get`] with the reading handed in: the seam for tests.
    async fn get_with<F: Future<Output = Result<Raw, ConfigError>>>(
        &self,
        read: impl FnOnce() -> F,
    ) -> Loaded {
        // The lock is held while reading, so that a burst makes one request.
        let mut kept = self.kept.lock().await;
        let now_ms = self.clock.now_ms();
        let cached = kept.tried.filter(|(at_ms, _)| (0..CACHED_MS).contains(&now_ms.saturating_sub(*at_ms)));
        if let Some((_, was_good)) = cached {
            return loaded(&kept, now_ms, was_good);
        }
        let parsed = read().await.and_then(|raw| {
            let hot = Hot::parse(&raw)?;
            still_complete(kept.good.as_ref().map(|(_, hot)| hot.as_ref()), &raw)?;
            Ok(hot)
        });
        let is_good = parsed.is_ok();
        match parsed {
            Ok(hot) => kept.good = Some((now_ms, Arc::new(hot))),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::error!(%error, cause, "hot configuration refused; the last good one stands in");
            }
        }
        kept.tried = Some((now_ms, is_good));
        loaded(&kept, now_ms, is_good)
    }

    /// One request: every parameter directly below our path. Names that are not ours are left alone.
    async fn read(&self) -> Result<Raw, ConfigError> {
        let mut raw = Raw::new();
        let mut token = None;
        for _ in 0..PAGES_MAX {
            let request =
                self.ssm.get_parameters_by_path().path(&self.path).max_results(10).set_next_token(token);
            let page = request
                .send()
                .await
                .map_err(|error| ConfigError::ReadHot { path: self.path.clone(), cause: error.into() })?;
            for parameter in page.parameters.unwrap_or_default() {
                let name = parameter.name.unwrap_or_default();
                let part =
                    Part::ALL.into_iter().find(|part| name.strip_prefix(&self.path) == Some(part.name()));
                if let (Some(part), Some(text)) = (part, parameter.value) {
                    raw.insert(part, (parameter.version, text));
                }
            }
            token = page.next_token;
            if token.is_none() {
                return Ok(raw);
            }
        }
        let cause = crate::Cause("too many parameters below this path".to_owned());
        Err(ConfigError::ReadHot { path: self.path.clone(), cause })
    }
}

/// A part that we have seen and that is gone was deleted or wiped.
// FAIL-CLOSED: its default could be a looser limit than the one that was set, so it counts as malformed.
fn still_complete(before: Option<&Hot>, raw: &Raw) -> Result<(), ConfigError> {
    let gone = before.and_then(|hot| hot.versions.keys().find(|part| !raw.contains_key(part)));
    gone.map_or(Ok(()), |part| Err(part.malformed()))
}

fn loaded(kept: &Kept, now_ms: i64, was_good: bool) -> Loaded {
    let Some((since_ms, hot)) = &kept.good else {
        // FAIL-CLOSED: nothing was ever read, and a default must not be acted on.
        return Loaded { hot: Arc::default(), freshness: Freshness::Unusable };
    };
    let is_recent = (-SKEW_MS_MAX..LAST_GOOD_MS_MAX).contains(&now_ms.saturating_sub(*since_ms));
    let freshness = match (was_good, is_recent) {
        (true, _) => Freshness::Fresh,
        (false, true) => Freshness::LastGood { since_ms: *since_ms },
        // FAIL-CLOSED: a configuration this old may have been tightened since.
        (false, false) => Freshness::Unusable,
    };
    Loaded { hot: hot.clone(), freshness }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn part(part: Part, version: i64, text: &str) -> (Part, (i64, String)) {
        (part, (version, text.to_owned()))
    }

    type Answer = fn(&str) -> Result<Raw, ConfigError>;

    struct Rig {
        config: HotConfig,
        clock: Clock,
        reads: Cell<u32>,
    }

    impl Rig {
        fn new() -> Self {
            let clock = Clock::manual(1_800_000_000_000);
            let ssm = aws_sdk_ssm::Client::from_conf(
                aws_sdk_ssm::Config::builder()
                    .behavior_version(aws_config::BehaviorVersion::latest())
                    .build(),
            );
            let config =
                HotConfig { ssm, path: "/holdfast/".into(), clock: clock.clone(), kept: Mutex::default() };
            Self { config, clock, reads: Cell::new(0) }
        }

        async fn get(&self, answer: Result<Raw, ConfigError>) -> Loaded {
            let read = || async {
                self.reads.set(self.reads.get() + 1);
                answer
            };
            self.config.get_with(read).await
        }
    }

    fn silent() -> Result<Raw, ConfigError> {
        Err(ConfigError::ReadHot {
            path: "/holdfast/".into(),
            cause: crate::Cause("no answer in time".into()),
        })
    }

    fn caps(usd: &str) -> String {
        format!("{{\"tokens_per_run\":1000,\"tool_calls_per_run\":3,\"usd_per_day\":\"{usd}\"}}")
    }

    #[tokio::test]
    async fn nothing_set_is_the_defaults_and_no_stage() {
        let rig = Rig::new();
        let loaded = rig.get(Ok(Raw::new())).await;
        assert_eq!(loaded.freshness, Freshness::Fresh);
        assert_eq!(*loaded.hot, Hot::default());
        assert_eq!(loaded.hot.version, "stages:0 caps:0 prices:0 zone:0");
        assert!(loaded.hot.stages.0.is_empty() && loaded.hot.zone == "UTC");
    }

    #[tokio::test]
    async fn what_is_set_is_read_with_its_versions_at_most_every_five_seconds() {
        let rig = Rig::new();
        let raw = || Raw::from([part(Part::Caps, 3, &caps("5.00")), part(Part::Zone, 2, "Europe/Amsterdam")]);
        let loaded = rig.get(Ok(raw())).await;
        assert_eq!(loaded.hot.version, "stages:0 caps:3 prices:0 zone:2");
        assert_eq!((loaded.hot.caps_version(), loaded.hot.stages_version()), (3, 0));
        assert_eq!(loaded.hot.caps.usd_per_day, types::UsdNanos::from_cents(500));
        rig.clock.advance_ms(CACHED_MS - 1);
        rig.get(silent()).await;
        assert_eq!(rig.reads.get(), 1);
        rig.clock.advance_ms(1);
        rig.get(Ok(raw())).await;
        assert_eq!(rig.reads.get(), 2);
        rig.config.forget().await;
        rig.get(Ok(raw())).await;
        assert_eq!(rig.reads.get(), 3);
        rig.clock.advance_ms(-60_000);
        rig.get(Ok(raw())).await;
        assert_eq!(rig.reads.get(), 4, "a clock that stepped back does not keep the cache alive");
    }

    #[tokio::test]
    async fn the_last_good_one_stands_in_for_fifteen_minutes_and_no_longer() {
        let long = "x".repeat(PART_BYTES_MAX + 1);
        let broken: [Answer; 4] = [
            |_| silent(),
            |_| Ok(Raw::from([part(Part::Caps, 4, "{\"usd_per_day\":")])),
            |long| Ok(Raw::from([part(Part::Caps, 3, &caps("5.00")), part(Part::Zone, 9, long)])),
            |_| Ok(Raw::new()), // the caps were deleted: their default is looser than what was set
        ];
        for read in broken {
            let rig = Rig::new();
            let since_ms = rig.clock.now_ms();
            let good = rig.get(Ok(Raw::from([part(Part::Caps, 3, &caps("5.00"))]))).await;
            rig.clock.advance_ms(LAST_GOOD_MS_MAX - 1);
            let loaded = rig.get(read(&long)).await;
            assert_eq!(loaded.freshness, Freshness::LastGood { since_ms });
            assert_eq!(loaded.hot, good.hot);
            rig.clock.advance_ms(1);
            assert_eq!(
                rig.get(read(&long)).await.freshness,
                Freshness::Unusable,
                "within the cache's life too"
            );
            rig.clock.advance_ms(CACHED_MS);
            assert_eq!(rig.get(read(&long)).await.freshness, Freshness::Unusable);
            rig.clock.advance_ms(CACHED_MS);
            let again = rig.get(Ok(Raw::from([part(Part::Caps, 5, &caps("6.00"))]))).await;
            assert_eq!(again.freshness, Freshness::Fresh, "good again as soon as it can be read");
        }
    }

    #[tokio::test]
    async fn a_process_that_never_read_it_has_nothing_to_act_on() {
        let rig = Rig::new();
        assert_eq!(rig.get(silent()).await.freshness, Freshness::Unusable);
        rig.clock.advance_ms(CACHED_MS);
        let malformed = Ok(Raw::from([part(Part::Stages, 1, "null")]));
        assert_eq!(rig.get(malformed).await.freshness, Freshness::Unusable);
    }
}
