//! The Lambda around the console. Must never hold logic.
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    config::logging::init();
    config::install_tls();
    let deps = Arc::new(console::Deps::from_env().await?);
    run(service_fn(move |event: LambdaEvent<Value>| {
        let deps = Arc::clone(&deps);
        async move { Ok::<_, Error>(console::handle(&deps, event.payload).await?) }
    }))
    .await
}
