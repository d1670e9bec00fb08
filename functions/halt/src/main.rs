//! The Lambda around the halt handler. Must never hold logic.
use halt::{Deps, handle};
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    config::logging::init();
    config::install_tls();
    let deps = Arc::new(Box::pin(Deps::from_env()).await?);
    lambda_runtime::run(lambda_runtime::service_fn(
        move |event: lambda_runtime::LambdaEvent<serde_json::Value>| {
            let deps = Arc::clone(&deps);
            async move { Box::pin(handle(&deps, event.payload)).await }
        },
    ))
    .await
}
