//! The parameter store of a local run: the few actions we use, on loopback, in one file. Must never answer a
//! write before the file is whole on disk, nor show a secret to a caller that did not ask to decrypt it.

mod parameters;
#[cfg(test)]
mod tests;

use crate::{
    background::{Background, Stop, listen},
    data_dir::DataDir,
    error::Result,
};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use parameters::{Parameters, Refusal};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    net::TcpListener,
    sync::{Arc, Mutex, PoisonError},
};

/// Most bytes of a request.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Most names of one `GetParameters` and most results of one page, as in AWS.
const PAGE_MAX: usize = 10;

/// A running parameter store. Ends on drop.
#[derive(Debug)]
pub struct LocalSsm {
    endpoint: String,
    server: Option<Background>,
}

/// Starts the parameter store on a loopback port (0: any free one), kept in `parameters.json` of the data
/// folder.
///
/// # Errors
/// The port is taken, or the file is not ours.
pub fn start(data: &DataDir, port: u16) -> Result<LocalSsm> {
    let parameters = Parameters::open(&data.path().join("parameters.json"))?;
    let (listener, port) = listen(port)?;
    let server = Background::start("ssm", move |stop| serve(listener, parameters, stop))?;
    Ok(LocalSsm { endpoint: format!("http://127.0.0.1:{port}"), server: Some(server) })
}

/// Uses a parameter store that runs already.
#[must_use]
pub const fn given(endpoint: String) -> LocalSsm {
    LocalSsm { endpoint, server: None }
}

impl LocalSsm {
    /// Where it answers.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// One line for a person.
    #[must_use]
    pub fn describe(&self) -> String {
        match self.server {
            Some(_) => format!("ssm: embedded, {}", self.endpoint),
            None => format!("ssm: {} (given)", self.endpoint),
        }
    }

    /// Ends it and waits until its thread is gone.
    pub async fn shutdown(self) {
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

type Shared = Arc<Mutex<Parameters>>;

async fn serve(listener: TcpListener, parameters: Parameters, stop: Stop) {
    let router = Router::new()
        .route("/", post(handle))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::new(Mutex::new(parameters)));
    let served = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => axum::serve(listener, router).with_graceful_shutdown(stop.stopped()).await,
        Err(problem) => Err(problem),
    };
    if let Err(problem) = served {
        tracing::error!(%problem, "the local parameter store has ended");
    }
}

async fn handle(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let action = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let mut parameters = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let (status, said) = match answer(&mut parameters, action, &body) {
        Ok(said) => (StatusCode::OK, said),
        Err(refusal) => {
            let status =
                if refusal.ours { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::BAD_REQUEST };
            (status, json!({ "__type": refusal.code, "message": refusal.message }))
        }
    };
    (status, [(CONTENT_TYPE, "application/x-amz-json-1.1")], said.to_string()).into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Get {
    name: String,
    #[serde(default)]
    with_decryption: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetMany {
    names: Vec<String>,
    #[serde(default)]
    with_decryption: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetByPath {
    path: String,
    #[serde(default)]
    recursive: bool,
    #[serde(default)]
    with_decryption: bool,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Put {
    name: String,
    value: String,
    r#type: Option<String>,
    #[serde(default)]
    overwrite: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Delete {
    name: String,
}

fn answer(parameters: &mut Parameters, action: &str, body: &[u8]) -> std::result::Result<Value, Refusal> {
    match action {
        "AmazonSSM.GetParameter" => {
            let asked: Get = read(body)?;
            let found = parameters.get(&asked.name, asked.with_decryption);
            found.map(|parameter| json!({ "Parameter": parameter })).ok_or_else(Refusal::not_found)
        }
        "AmazonSSM.GetParameters" => get_many(parameters, &read(body)?),
        "AmazonSSM.GetParametersByPath" => get_by_path(parameters, &read(body)?),
        "AmazonSSM.PutParameter" => {
            let asked: Put = read(body)?;
            let version =
                parameters.put(&asked.name, &asked.value, asked.r#type.as_deref(), asked.overwrite)?;
            Ok(json!({ "Version": version, "Tier": "Standard" }))
        }
        "AmazonSSM.DeleteParameter" => {
            let asked: Delete = read(body)?;
            parameters.delete(&asked.name).map(|()| json!({}))
        }
        _ => Err(Refusal::asked("UnknownOperationException", "the local parameter store does not do this")),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> std::result::Result<T, Refusal> {
    // What the parser says may quote the value, which may be a secret.
    serde_json::from_slice(body)
        .map_err(|_| Refusal::asked("SerializationException", "not a request of this action"))
}

fn get_many(parameters: &Parameters, asked: &GetMany) -> std::result::Result<Value, Refusal> {
    if asked.names.is_empty() || asked.names.len() > PAGE_MAX {
        return Err(Refusal::validation("names must hold between 1 and 10 members"));
    }
    let found: Vec<_> =
        asked.names.iter().filter_map(|name| parameters.get(name, asked.with_decryption)).collect();
    let missing: Vec<_> = asked.names.iter().filter(|name| parameters.get(name, false).is_none()).collect();
    Ok(json!({ "Parameters": found, "InvalidParameters": missing }))
}

fn get_by_path(parameters: &Parameters, asked: &GetByPath) -> std::result::Result<Value, Refusal> {
    let size = asked.max_results.unwrap_or(PAGE_MAX);
    if !(1..=PAGE_MAX).contains(&size) {
        return Err(Refusal::validation("maxResults must be between 1 and 10"));
    }
    if !asked.path.starts_with('/') {
        return Err(Refusal::validation("the parameter path must begin with a slash"));
    }
    let mut names = parameters.names_below(&asked.path, asked.recursive, asked.next_token.as_deref());
    let page: Vec<&str> = names.by_ref().take(size).collect();
    let next = names.next().and(page.last().copied());
    let found: Vec<_> = page.iter().filter_map(|name| parameters.get(name, asked.with_decryption)).collect();
    let mut said = json!({ "Parameters": found });
    if let (Some(next), Some(said)) = (next, said.as_object_mut()) {
        // The token is the last name of the page; the next page begins after it.
        said.insert("NextToken".to_owned(), json!(next));
    }
    Ok(said)
}
