//! The Lambda around the intake handler. Must never hold logic.
use intake::{Deps, handle};
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    config::logging::init();
    let deps = Arc::new(Deps::from_env().await?);
    lambda_runtime::run(lambda_runtime::service_fn(
        move |event: lambda_runtime::LambdaEvent<serde_json::Value>| {
            let deps = Arc::clone(&deps);
            async move { Ok::<_, lambda_runtime::Error>(handle(&deps, event.payload).await?) }
        },
    ))
    .await
}
