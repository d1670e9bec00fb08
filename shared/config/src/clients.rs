//! AWS clients over one ring-based HTTP client. Must never wait without a limit.
use crate::{Settings, settings::is_local_endpoint};
use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use std::time::Duration;

/// One attempt, connection included.
const ATTEMPT_MAX: Duration = Duration::from_millis(1_200);
/// One call with its retries: the control path must have an answer, or a doubt, within this time.
const OPERATION_MAX: Duration = Duration::from_secs(3);

/// The AWS clients of this process. Building them opens no connection and fetches no credentials.
#[derive(Debug, Clone)]
pub struct Clients {
    shared: SdkConfig,
    settings: Settings,
}

impl Clients {
    /// Clients as the settings say: endpoint overrides apply, and a loopback endpoint gets made-up
    /// credentials unless the environment has some.
    pub async fn new(settings: &Settings) -> Self {
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_millis(800))
            .operation_attempt_timeout(ATTEMPT_MAX)
            .operation_timeout(OPERATION_MAX)
            .build();
        let retries = RetryConfig::standard()
            .with_max_attempts(3)
            .with_initial_backoff(Duration::from_millis(50))
            .with_max_backoff(Duration::from_millis(500));
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .timeout_config(timeouts)
            .retry_config(retries);
        let overridden = [&settings.dynamodb_endpoint, &settings.ssm_endpoint, &settings.sfn_endpoint];
        let is_local = overridden.iter().any(|endpoint| is_local_endpoint(endpoint.as_deref()));
        if let Some(region) = settings.aws_region.clone().or(is_local.then(|| "eu-west-1".to_owned())) {
            loader = loader.region(Region::new(region));
        }
        Self { shared: loader.load().await, settings: settings.clone() }
    }

    /// DynamoDB.
    #[must_use]
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.for_endpoint(self.settings.dynamodb_endpoint.as_deref()))
    }

    /// Parameter Store.
    #[must_use]
    pub fn ssm(&self) -> aws_sdk_ssm::Client {
        aws_sdk_ssm::Client::new(&self.for_endpoint(self.settings.ssm_endpoint.as_deref()))
    }

    /// Step Functions.
    #[must_use]
    pub fn sfn(&self) -> aws_sdk_sfn::Client {
        aws_sdk_sfn::Client::new(&self.for_endpoint(self.settings.sfn_endpoint.as_deref()))
    }

    fn for_endpoint(&self, endpoint: Option<&str>) -> SdkConfig {
        let mut config = self.shared.clone().into_builder();
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint);
        }
        if is_local_endpoint(endpoint) && !self.settings.has_aws_credentials {
            let made_up = Credentials::new("local", "local", None, None, "local-endpoint");
            config = config.credentials_provider(SharedCredentialsProvider::new(made_up));
        }
        config.build()
    }
}
