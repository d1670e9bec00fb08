//! The step function as its binary runs it: on a thread of its own whose runtime has no other, so that no
//! stand-in shares it. Must never be given work while it has some.
use crate::scene::Scene;
use config::{Clients, Settings};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use step::{Deps, Invocation, StepInput, StepOutput};
use tokio::sync::{mpsc, oneshot};
use types::Clock;

type Asked = (StepInput, Invocation, oneshot::Sender<(StepOutput, Duration)>);

/// One warm process of the step function.
pub struct Function {
    asks: mpsc::Sender<Asked>,
}

impl Function {
    /// Over the same stores and stand-ins as this scene's.
    pub fn of(scene: &Scene) -> Self {
        let (variables, clock) = (scene.variables.clone(), scene.clock.clone());
        let (asks, asked) = mpsc::channel(1);
        std::thread::Builder::new()
            .name("step".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(serve(&variables, clock, asked));
            })
            .expect("a thread");
        Self { asks }
    }

    /// One step, and how long it took.
    pub async fn step(&self, scene: &mut Scene, input: &mut StepInput) -> (StepOutput, Duration) {
        let (answer, answered) = oneshot::channel();
        self.asks.send((input.clone(), scene.invocation(), answer)).await.expect("the function runs");
        let (output, took) = answered.await.expect("the step ends");
        *input =
            StepInput { run_id: output.run_id.clone(), n: output.n, customer_id: output.customer_id.clone() };
        (output, took)
    }
}

async fn serve(variables: &BTreeMap<String, String>, clock: Clock, mut asked: mpsc::Receiver<Asked>) {
    let settings = Settings::from_map(|name| variables.get(name).cloned()).expect("settings");
    let clients = Clients::new(&settings).await;
    let (starts, _) = mpsc::unbounded_channel();
    let starter = starter::Starter::Local(starts);
    let deps = Deps::new(&settings, &clients, clock, starter).await.expect("the function");
    while let Some((input, invocation, answer)) = asked.recv().await {
        let payload = serde_json::to_value(&input).expect("JSON");
        let began = Instant::now();
        let output = step::handle(&deps, payload, &invocation).await.expect("a step");
        let took = began.elapsed();
        // Whoever does not wait any more has ended the benchmark.
        let _ended = answer.send((serde_json::from_value(output).expect("a step's answer"), took));
    }
}
