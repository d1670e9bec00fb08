//! Starting an execution by name, exactly once. Must never run a step itself.
//!
//! In AWS that is Step Functions Standard, whose names are used once; locally a loop that drives the same
//! handler takes its place. Intake, the step's sweep and the console all start runs, and no function may call
//! another one.

use aws_sdk_sfn::operation::start_execution::StartExecutionError;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use types::RunId;

/// How long a start may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// An execution to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The execution's name: the run id, or `<run id>-2` when a person starts a held run.
    pub name: String,
    /// The run.
    pub run_id: RunId,
    /// The step at which it begins.
    pub n: u32,
}

/// Where executions are started.
#[derive(Debug, Clone)]
pub enum Starter {
    /// Step Functions Standard.
    StepFunctions {
        /// The client.
        client: aws_sdk_sfn::Client,
        /// The state machine.
        state_machine_arn: String,
    },
    /// The local loop, which ignores a name that it has seen.
    Local(UnboundedSender<Start>),
}

/// The execution may or may not have been started.
#[derive(Debug, thiserror::Error)]
#[error("could not start the execution `{name}`")]
pub struct StartError {
    /// Its name.
    pub name: String,
    /// The service's own error; none when it was silent.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Starter {
    /// Starts an execution, or finds that one of this name was started before: both are success.
    ///
    /// # Errors
    /// [`StartError`] when it is not known to be started.
    pub async fn start(&self, start: &Start) -> Result<(), StartError> {
        match self {
            Self::StepFunctions { client, state_machine_arn } => {
                // No timestamp: a repeated start must carry the same bytes.
                let input = serde_json::json!({"run_id": start.run_id, "n": start.n}).to_string();
                let request = client
                    .start_execution()
                    .state_machine_arn(state_machine_arn)
                    .name(&start.name)
                    .input(input)
                    .send();
                let failed = |source| StartError { name: start.name.clone(), source };
                match tokio::time::timeout(TIMEOUT, request).await.map_err(|_| failed(None))? {
                    Ok(_) => Ok(()),
                    Err(error) => {
                        let error = error.into_service_error();
                        if matches!(error, StartExecutionError::ExecutionAlreadyExists(_)) {
                            return Ok(());
                        }
                        Err(failed(Some(Box::new(error))))
                    }
                }
            }
            Self::Local(queue) => queue
                .send(start.clone())
                .map_err(|error| StartError { name: start.name.clone(), source: Some(Box::new(error)) }),
        }
    }
}
