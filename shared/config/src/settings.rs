//! Settings: environment variables, parsed once, all problems at once. Must never print a value.
use crate::{
    Problem, Secret, SettingsErrors,
    address::{is_https_or_loopback, is_loopback_http},
    secrets::{SecretName, Source},
};
use std::{collections::BTreeMap, ops::RangeInclusive};

/// The least number of days that the personal half of an audit entry is kept: six months, as the European AI
/// Act asks of the logs of those who use such a system.
pub const RETENTION_DAYS_MIN: u32 = 183;

/// The vendor's own address: only there do links to records make sense.
const HUBSPOT: &str = "https://api.hubapi.com";

/// Everything that is fixed for the life of a process. Secrets are kept apart: [`crate::Secrets`].
#[derive(Debug, Clone)]
pub struct Settings {
    /// `HUBSPOT_BASE_URL`, without a slash at its end.
    pub hubspot_base_url: String,
    /// `HUBSPOT_API_VERSION`, the dated part of HubSpot's paths.
    pub hubspot_api_version: String,
    /// `HUBSPOT_APP_ID`: our own app, by which an echo of our own write is known.
    pub hubspot_app_id: Option<String>,
    /// `ANTHROPIC_BASE_URL`, without a slash at its end.
    pub anthropic_base_url: String,
    /// `MODEL`.
    pub model: String,
    /// `TABLE_PREFIX`, in front of every table's name and (without its last dash) of every SSM path.
    pub table_prefix: String,
    /// `ERASE_AFTER_HOURS`: how long HubSpot's request to forget a contact is only visible; `ask` is `None`.
    pub erase_after_hours: Option<u32>,
    /// `REDIS_REPLICAS`: how many replicas must acknowledge a halt.
    pub redis_replicas: u32,
    /// `PUBLIC_HALT_URL`, without a slash at its end.
    pub public_halt_url: Option<String>,
    /// `PUBLIC_CONSOLE_URL`, without a slash at its end.
    pub public_console_url: Option<String>,
    /// `COMPANY_NAME`: what the pages call this install.
    pub company_name: String,
    /// `DEPUTY_NAME`, for the page "If this page fails".
    pub deputy_name: Option<String>,
    /// `DEPUTY_PHONE`, for the same page.
    pub deputy_phone: Option<String>,
    /// `LINK_PUBLIC_KEY`: the Ed25519 key that page links are verified with.
    pub link_public_key: Option<[u8; 32]>,
    /// `CHECKPOINT_PUBLIC_KEY`: the Ed25519 keys that checkpoints of the audit log are verified with; the old
    /// ones stay in the list.
    pub checkpoint_public_keys: Vec<[u8; 32]>,
    /// `AUDIT_RETENTION_DAYS`: how long the personal half of an audit entry is kept, in days.
    pub audit_retention_days: u32,
    /// `AUDIT_LAG_MINUTES_MAX`: how far the audit log may be behind before every tool is dry, in minutes.
    pub audit_lag_minutes_max: u32,
    /// `STATE_MACHINE_ARN`: what starts a run's executions in AWS.
    pub state_machine_arn: Option<String>,
    /// `AWS_REGION`; without it the SDK looks where it always looks.
    pub aws_region: Option<String>,
    /// `AWS_ENDPOINT_URL_DYNAMODB`.
    pub dynamodb_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_SSM`.
    pub ssm_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_SFN`.
    pub sfn_endpoint: Option<String>,
    /// Are there AWS credentials in the environment? Then they are used for a loopback endpoint too.
    pub(crate) has_aws_credentials: bool,
    pub(crate) secrets: BTreeMap<SecretName, Source>,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`SettingsErrors`] with every wrong variable, by name.
    pub fn from_env() -> Result<Self, SettingsErrors> {
        // A value that is not UTF-8 keeps a replacement character, which no setting may contain.
        #[expect(clippy::disallowed_methods, reason = "the one reader of the environment")]
        Self::from_map(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// The same from any lookup. A blank value counts as absent.
    ///
    /// # Errors
    /// [`SettingsErrors`] with every wrong variable, by name.
    pub fn from_map(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsErrors> {
        let mut read = Reader { lookup: &lookup, problems: Vec::new() };
        let settings = Self {
            hubspot_base_url: read.url("HUBSPOT_BASE_URL").unwrap_or_else(|| HUBSPOT.into()),
            hubspot_api_version: read
                .checked("HUBSPOT_API_VERSION", "a dated version such as 2026-09", is_dated_version)
                .unwrap_or_else(|| "2026-09".into()),
            hubspot_app_id: read.checked("HUBSPOT_APP_ID", "digits", is_digits),
            anthropic_base_url: read
                .url("ANTHROPIC_BASE_URL")
                .unwrap_or_else(|| "https://api.anthropic.com".into()),
            model: read
                .checked("MODEL", "a model id such as claude-haiku-5-5", is_name)
                .unwrap_or_else(|| "claude-haiku-5-5".into()),
            table_prefix: read
                .checked("TABLE_PREFIX", "letters, digits, dashes, dots and underscores, at most 64", is_name)
                .unwrap_or_else(|| "holdfast-".into()),
            redis_replicas: read
                .checked("REDIS_REPLICAS", "a whole number from 0 to 5", |t| {
                    matches!(t.parse(), Ok(0_u32..=5))
                })
                .and_then(|text| text.parse().ok())
                .unwrap_or(0),
            erase_after_hours: match read
                .checked("ERASE_AFTER_HOURS", "a whole number from 0 to 600, or `ask`", |t| {
                    t == "ask" || matches!(t.parse(), Ok(0_u32..=600))
                })
                .as_deref()
            {
                None => Some(24),
                Some(text) => text.parse().ok(),
            },
            public_halt_url: read.url("PUBLIC_HALT_URL"),
            public_console_url: read.url("PUBLIC_CONSOLE_URL"),
            company_name: read.line("COMPANY_NAME").unwrap_or_else(|| "CRM agent".into()),
            deputy_name: read.line("DEPUTY_NAME"),
            deputy_phone: read.line("DEPUTY_PHONE"),
            link_public_key: read
                .checked("LINK_PUBLIC_KEY", "64 hex digits", |t| hex_32(t).is_some())
                .and_then(|text| hex_32(&text)),
            checkpoint_public_keys: read
                .checked("CHECKPOINT_PUBLIC_KEY", "64 hex digits, or several separated by commas", |t| {
                    keys(t).is_some()
                })
                .and_then(|text| keys(&text))
                .unwrap_or_default(),
            audit_retention_days: read.number(
                "AUDIT_RETENTION_DAYS",
                "a whole number of days from 183 to 3650",
                RETENTION_DAYS_MIN..=3_650,
                400,
            ),
            audit_lag_minutes_max: read.number(
                "AUDIT_LAG_MINUTES_MAX",
                "a whole number of minutes from 5 to 10080",
                5..=10_080,
                240,
            ),
            state_machine_arn: read
                .checked("STATE_MACHINE_ARN", "the ARN of a state machine", |t| t.starts_with("arn:")),
            aws_region: read.checked("AWS_REGION", "a region such as eu-west-1", is_name),
            dynamodb_endpoint: read.url("AWS_ENDPOINT_URL_DYNAMODB"),
            ssm_endpoint: read.url("AWS_ENDPOINT_URL_SSM"),
            sfn_endpoint: read.url("AWS_ENDPOINT_URL_SFN"),
            has_aws_credentials: read.text("AWS_ACCESS_KEY_ID").is_some(),
            secrets: SecretName::ALL.iter().filter_map(|name| Some((*name, read.secret(*name)?))).collect(),
        };
        if read.problems.is_empty() { Ok(settings) } else { Err(SettingsErrors(read.problems)) }
    }

    /// Where HubSpot shows its records to people; `None` while a stand-in takes its place.
    #[must_use]
    pub fn hubspot_app_url(&self) -> Option<String> {
        (self.hubspot_base_url == HUBSPOT).then(|| "https://app.hubspot.com".to_owned())
    }

    /// The name of this install's audit log, in its checkpoints: `holdfast/<prefix>`.
    #[must_use]
    pub fn audit_origin(&self) -> String {
        format!("holdfast/{}", self.table_prefix.trim_end_matches('-'))
    }

    /// The SSM path of the hot configuration: `/holdfast/`.
    #[must_use]
    pub fn parameter_path(&self) -> String {
        format!("/{}/", self.table_prefix.trim_end_matches('-'))
    }

    /// The name of one table: prefix and `suffix`.
    #[must_use]
    pub fn table(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.table_prefix)
    }

    /// Is this secret set, here or by the name of a parameter? (Whether it can be read is another question.)
    #[must_use]
    pub fn has(&self, name: SecretName) -> bool {
        self.secrets.contains_key(&name)
    }
}

struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn text(&self, variable: &str) -> Option<String> {
        (self.lookup)(variable).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn checked(
        &mut self,
        variable: &'static str,
        must: &'static str,
        is_right: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let text = self.text(variable)?;
        if is_right(&text) {
            return Some(text);
        }
        self.problems.push(Problem { variable, must });
        None
    }

    fn number(
        &mut self,
        variable: &'static str,
        must: &'static str,
        bounds: RangeInclusive<u32>,
        default: u32,
    ) -> u32 {
        let is_right = |text: &str| text.parse().is_ok_and(|number| bounds.contains(&number));
        let text = self.checked(variable, must, is_right);
        text.and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    fn url(&mut self, variable: &'static str) -> Option<String> {
        let url =
            self.checked(variable, "an https address, or http on this machine", is_https_or_loopback)?;
        Some(url.trim_end_matches('/').to_owned())
    }

    fn line(&mut self, variable: &'static str) -> Option<String> {
        self.checked(variable, "one line of at most 80 characters", |text| {
            text.chars().count() <= 80 && !text.chars().any(|c| c.is_control() || c == '\u{fffd}')
        })
    }

    /// A plain variable wins over the name of a parameter, so that a person can point one secret elsewhere.
    fn secret(&mut self, name: SecretName) -> Option<Source> {
        let parameter = self.checked(name.parameter_variable(), "the name of an SSM parameter", |text| {
            text.len() <= 1_011 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_.-".contains(&b))
        });
        let plain = self.checked(name.variable(), name.must(), |text| name.is_right(text));
        plain.map(|text| Source::Plain(Secret::new(text))).or(parameter.map(Source::Parameter))
    }
}

/// Public keys separated by commas.
fn keys(text: &str) -> Option<Vec<[u8; 32]>> {
    text.split(',').map(|key| hex_32(key.trim())).collect()
}

fn is_digits(text: &str) -> bool {
    text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_dated_version(text: &str) -> bool {
    let digits = |text: &str, length: usize| text.len() == length && is_digits(text);
    text.split_once('-').is_some_and(|(year, month)| digits(year, 4) && digits(month, 2))
}

fn is_name(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// 64 hex digits as 32 bytes.
pub(crate) fn hex_32(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let bytes: Vec<u8> =
        digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
}

/// May this endpoint be talked to with made-up credentials?
pub(crate) fn is_local_endpoint(endpoint: Option<&str>) -> bool {
    endpoint.is_some_and(is_loopback_http)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Settings, SettingsErrors> {
        Settings::from_map(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn nothing_set_gives_the_defaults() {
        let settings = parse(&[("MODEL", "  ")]).expect("defaults are right");
        assert_eq!(settings.hubspot_base_url, "https://api.hubapi.com");
        assert_eq!(settings.hubspot_api_version, "2026-09");
        assert_eq!(settings.anthropic_base_url, "https://api.anthropic.com");
        assert_eq!(settings.model, "claude-haiku-5-5");
        assert_eq!((settings.table_prefix.as_str(), settings.redis_replicas), ("holdfast-", 0));
        assert_eq!((settings.company_name.as_str(), settings.erase_after_hours), ("CRM agent", Some(24)));
        let asks = parse(&[("ERASE_AFTER_HOURS", "ask")]).expect("right");
        assert_eq!(asks.erase_after_hours, None);
        assert_eq!((settings.audit_retention_days, settings.audit_lag_minutes_max), (400, 240));
        assert_eq!(settings.audit_origin(), "holdfast/holdfast");
        assert_eq!(
            (settings.parameter_path(), settings.table("runs")),
            ("/holdfast/".into(), "holdfast-runs".into())
        );
        assert!(SecretName::ALL.iter().all(|name| !settings.has(*name)));
    }

    #[test]
    fn every_problem_is_reported_at_once_by_name_and_never_by_value() {
        let wrong = [
            ("HUBSPOT_BASE_URL", "http://canary.example"),
            ("HUBSPOT_API_VERSION", "canary"),
            ("HUBSPOT_APP_ID", "canary"),
            ("ANTHROPIC_BASE_URL", "canary"),
            ("MODEL", "canary canary"),
            ("TABLE_PREFIX", "canary/"),
            ("REDIS_REPLICAS", "6"),
            ("ERASE_AFTER_HOURS", "601"),
            ("PUBLIC_HALT_URL", "http://canary.example"),
            ("PUBLIC_CONSOLE_URL", "ftp://canary"),
            ("COMPANY_NAME", "canary\u{1b}[31m"),
            ("DEPUTY_NAME", "canary\u{fffd}"),
            ("LINK_PUBLIC_KEY", "canary"),
            ("CHECKPOINT_PUBLIC_KEY", "canary,canary"),
            ("AUDIT_RETENTION_DAYS", "182"),
            ("AUDIT_LAG_MINUTES_MAX", "canary"),
            ("AWS_REGION", "canary canary"),
            ("AWS_ENDPOINT_URL_DYNAMODB", "http://canary.example"),
            ("AWS_ENDPOINT_URL_SSM", "canary"),
            ("AWS_ENDPOINT_URL_SFN", "canary"),
            ("HUBSPOT_TOKEN", "canary\ncanary"),
            ("HUBSPOT_CLIENT_SECRET", "canary,canary,canary"),
            ("HUBSPOT_TARGET_URL", "http://canary.example"),
            ("ANTHROPIC_API_KEY", "canary canary"),
            ("SLACK_WEBHOOK_URL", "http://canary.example"),
            ("REDIS_URL", "canary"),
            ("DATABASE_URL", "canary"),
            ("LINK_SIGNING_KEY", "canary"),
            ("CHECKPOINT_KEY", "canary"),
            ("HUBSPOT_TOKEN_PARAMETER", "canary canary"),
        ];
        let errors = parse(&wrong).expect_err("all are wrong");
        let mut named: Vec<_> = errors.0.iter().map(|problem| problem.variable).collect();
        let mut expected: Vec<_> = wrong.iter().map(|(name, _)| *name).collect();
        named.sort_unstable();
        expected.sort_unstable();
        assert_eq!(named, expected);
        assert!(!format!("{errors} {errors:?}").contains("canary"));
    }

    #[test]
    fn no_secret_is_in_the_debug_output() {
        let settings = parse(&[
            ("HUBSPOT_TOKEN", "canary-token"),
            ("HUBSPOT_CLIENT_SECRET", "canary-1,canary-2"),
            ("HUBSPOT_TARGET_URL", "https://canary.example"),
            ("ANTHROPIC_API_KEY", "canary-key"),
            ("SLACK_WEBHOOK_URL", "https://hooks.slack.example/services/canary"),
            ("REDIS_URL", "rediss://:canary@cache:6379"),
            ("DATABASE_URL", "postgres://u:canary@db/x"),
            ("LINK_SIGNING_KEY", &"ca".repeat(32)),
            ("CHECKPOINT_KEY", &"ca".repeat(32)),
            ("AWS_ACCESS_KEY_ID", "canary"),
        ])
        .expect("all are right");
        assert!(SecretName::ALL.iter().all(|name| settings.has(*name)));
        let shown = format!("{settings:?}");
        assert!(!shown.contains("canary") && !shown.contains("caca"), "{shown}");
    }

    #[test]
    fn a_base_url_loses_its_last_slash_and_a_key_is_decoded() {
        let settings = parse(&[
            ("HUBSPOT_BASE_URL", "http://127.0.0.1:9000/"),
            ("LINK_PUBLIC_KEY", &format!("0fA0{}", "00".repeat(30))),
        ])
        .expect("right");
        assert_eq!(settings.hubspot_base_url, "http://127.0.0.1:9000");
        assert_eq!(settings.link_public_key.map(|key| key[..3].to_vec()), Some(vec![0x0f, 0xa0, 0]));
    }
}
