//! What HubSpot itself says: token, app, stages, time. Must never send anything but reads.
use super::judge::{self, Check};
use crate::install::Install;
use config::{Freshness, Loaded, SecretName};
use crm::{HubSpot, HubSpotConfig};
use std::time::Duration;

const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Scopes, own app, stages, clock.
pub(super) async fn checks(install: &Install, hot: &Loaded) -> Vec<Check> {
    let date = date(&install.settings.hubspot_base_url).await;
    let clock = judge::clock(install.clock.now(), date);
    let hubspot = match client(install).await {
        Ok(hubspot) => hubspot,
        Err(why) => return vec![judge::no_token(&why), clock],
    };
    let (token, pipelines) = (hubspot.token_reader(), hubspot.pipeline_reader());
    let (token, pipelines) = tokio::join!(token.token_info(), pipelines.deal_pipelines());
    let mut checks =
        vec![judge::scopes(&token), judge::own_app(&token, install.settings.hubspot_app_id.as_deref())];
    if hot.freshness != Freshness::Unusable {
        checks.push(judge::stages(&hot.hot.stages, &pipelines));
    }
    checks.push(clock);
    checks
}

async fn client(install: &Install) -> Result<HubSpot, String> {
    let token =
        install.secrets.get(SecretName::HubspotToken).await.map_err(|error| super::text_of(&error))?;
    let config = HubSpotConfig {
        base_url: install.settings.hubspot_base_url.clone(),
        api_version: install.settings.hubspot_api_version.clone(),
        token: crm::Secret::new(token.expose()),
        connect_timeout: CONNECT_WITHIN,
        request_timeout: ANSWER_WITHIN,
    };
    HubSpot::new(&config).map_err(|error| super::text_of(&error))
}

/// The `Date` of any answer of HubSpot's; the request carries no token.
async fn date(base_url: &str) -> Result<String, String> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_WITHIN)
        .timeout(ANSWER_WITHIN)
        .redirect(reqwest::redirect::Policy::none());
    if base_url.starts_with("http://") {
        // Nothing on loopback speaks TLS, so no certificates are loaded.
        builder = builder.tls_certs_only([]);
    }
    let text = |error: reqwest::Error| super::text_of(&error.without_url());
    let answer = builder.build().map_err(text)?.get(base_url).send().await.map_err(text)?;
    let date = answer.headers().get("date").and_then(|value| value.to_str().ok());
    date.map(str::to_owned).ok_or_else(|| "its answer has no `Date`".to_owned())
}
