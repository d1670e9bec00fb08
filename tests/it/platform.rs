//! What Lambda does around one function's process: the Runtime API, the deadline in its header, the kill.
//! Must never let a process outlive its test.
use crate::child::signal;
use crate::door::{read_request, spawn};
use crate::scene::{Scene, repository};
use serde_json::Value;
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, LazyLock, Mutex};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// What an invocation came to: the function's answer, or its error.
pub type Answer = Result<Value, Value>;

/// The binary `step`, as cargo builds it beside this test binary.
static STEP: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::current_exe().expect("this binary");
    let folder = folder.parent().and_then(std::path::Path::parent).expect("cargo's folder").to_owned();
    let mut build = std::process::Command::new(env!("CARGO"));
    build.args(["build", "--locked", "--quiet", "--bin", "step"]).current_dir(repository());
    if folder.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().expect("cargo").success(), "the step does not build");
    folder.join("step")
});

struct Order {
    id: String,
    payload: Value,
    deadline_ms: i64,
}

struct Inside {
    orders: tokio::sync::Mutex<mpsc::UnboundedReceiver<Order>>,
    answers: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
}

/// One process of the step function, and the platform that invokes it.
pub struct Function {
    child: Child,
    orders: mpsc::UnboundedSender<Order>,
    inside: Arc<Inside>,
    task: JoinHandle<()>,
}

impl Function {
    /// A cold start, with the settings of that product.
    pub async fn start(scene: &Scene) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (orders, receiver) = mpsc::unbounded_channel();
        let inside =
            Arc::new(Inside { orders: tokio::sync::Mutex::new(receiver), answers: Mutex::default() });
        let served = Arc::clone(&inside);
        let task = spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inside = Arc::clone(&served);
                // A function that is gone hears no answer.
                drop(spawn(async move { drop(serve(stream, &inside).await) }));
            }
        });
        let program = tokio::task::spawn_blocking(|| STEP.clone()).await.expect("the step");
        let child = Command::new(program)
            .env_clear()
            .envs(&scene.variables)
            .env("STATE_MACHINE_ARN", "arn:aws:states:eu-west-1:000000000000:stateMachine:none")
            .env("AWS_ENDPOINT_URL_SFN", "http://127.0.0.1:9")
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .env("AWS_LAMBDA_FUNCTION_NAME", "step")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "step")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "step")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the step function");
        Self { child, orders, inside, task }
    }

    /// Hands it one invocation, which the platform ends at `deadline_ms` (since 1970).
    pub fn invoke(&self, payload: Value, deadline_ms: i64) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        let id = uuid::Uuid::new_v4().to_string();
        self.inside.answers.lock().unwrap().insert(id.clone(), answer);
        self.orders.send(Order { id, payload, deadline_ms }).expect("the platform lives");
        answered
    }

    /// As the platform ends an invocation: at once, with no word to the process.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }

    /// As the platform pauses a process.
    pub fn freeze(&self) {
        signal(self.child.id().expect("it lives"), "-STOP");
    }

    /// As the platform wakes it.
    pub fn thaw(&self) {
        signal(self.child.id().expect("it lives"), "-CONT");
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request of the Runtime API per connection.
async fn serve(mut stream: TcpStream, inside: &Inside) -> std::io::Result<()> {
    let Some((head, body)) = read_request(&mut stream).await? else { return Ok(()) };
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let parts: Vec<&str> = path.trim_start_matches("/2018-06-01/runtime/").split('/').collect();
    let (status, headers, text) = match (method, parts.as_slice()) {
        ("GET", ["invocation", "next"]) => {
            // It waits here for as long as there is nothing to do.
            let order = inside.orders.lock().await.recv().await;
            let Some(order) = order else { return Ok(()) };
            let headers = format!(
                "lambda-runtime-aws-request-id: {}\r\nlambda-runtime-deadline-ms: {}\r\n\
                 lambda-runtime-invoked-function-arn: arn:aws:lambda:eu-west-1:000000000000:function:step\r\n\
                 lambda-runtime-trace-id: Root=1-00000000-000000000000000000000000;Sampled=0\r\n",
                order.id, order.deadline_ms
            );
            ("200 OK", headers, order.payload.to_string())
        }
        ("POST", ["invocation", id, what]) => {
            let said = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let answer = if *what == "response" { Ok(said) } else { Err(said) };
            if let Some(waiting) = inside.answers.lock().unwrap().remove(*id) {
                // Nobody waits for the answer of an invocation that was given up.
                let _ = waiting.send(answer);
            }
            ("202 Accepted", String::new(), String::new())
        }
        _ => ("404 Not Found", String::new(), String::new()),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\
         {headers}\r\n{text}",
        text.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
