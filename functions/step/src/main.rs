//! The Lambda around the step handler. Must never hold logic.
use std::sync::Arc;
use step::{Deps, Invocation, handle};
use types::InvocationId;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    config::logging::init();
    config::install_tls();
    let deps = Arc::new(Deps::from_env().await?);
    lambda_runtime::run(lambda_runtime::service_fn(
        move |event: lambda_runtime::LambdaEvent<serde_json::Value>| {
            let deps = Arc::clone(&deps);
            async move {
                let invocation = Invocation {
                    id: InvocationId::new(event.context.request_id.clone())?,
                    deadline_ms: i64::try_from(event.context.deadline)?,
                };
                Ok::<_, lambda_runtime::Error>(handle(&deps, event.payload, &invocation).await?)
            }
        },
    ))
    .await
}
