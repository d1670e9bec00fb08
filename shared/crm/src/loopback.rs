//! Small servers on loopback that the tests of this crate talk to. Must never be built outside tests.
use crate::{HubSpot, HubSpotConfig, Secret};
use axum::{body::Body, extract::Request, http::Response, response::IntoResponse};
use serde_json::Value;
use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(crate) const TOKEN: &str = "pat-eu1-canary";

/// One request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

/// What a server answers.
pub(crate) enum Reply {
    Now(Response<Body>),
    Never,
}

pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    Reply::Now(response.body(body.into()).expect("a response"))
}

pub(crate) fn json(value: &Value) -> Reply {
    reply(200, &[("content-type", "application/json")], value.to_string())
}

pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic while held").clone()
    }
}

#[expect(clippy::disallowed_methods, reason = "a test server ends with its test's runtime")]
fn serve(future: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(future);
}

/// A server that records each request and answers as told.
pub(crate) async fn server(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (record, answer) = (Arc::clone(&seen), Arc::new(answer));
    let app = axum::Router::new().fallback(move |request: Request| {
        let (record, answer) = (Arc::clone(&record), Arc::clone(&answer));
        async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body").to_vec();
            let target = parts.uri.path_and_query().expect("a path").to_string();
            let one = Seen { method: parts.method.to_string(), target, headers: parts.headers, body };
            record.lock().expect("no panic while held").push(one.clone());
            match answer(&one) {
                Reply::Now(response) => response.into_response(),
                Reply::Never => std::future::pending().await,
            }
        }
    });
    serve(async move { axum::serve(listener, app).await.expect("served") });
    Server { url, seen }
}

/// A server that reads each request whole, writes these bytes and closes. Counts the requests.
pub(crate) async fn raw_server(bytes: &'static [u8]) -> (String, Arc<Mutex<u32>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let count = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&count);
    serve(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_request(&mut stream).await;
            *counter.lock().expect("no panic while held") += 1;
            drop(stream.write_all(bytes).await);
            drop(stream.shutdown().await);
        }
    });
    (url, count)
}

async fn read_request(stream: &mut TcpStream) {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some(head) = text.find("\r\n\r\n") {
            let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            let length: usize = length.and_then(|digits| digits.parse().ok()).unwrap_or(0);
            if bytes.len() >= head + 4 + length {
                return;
            }
        }
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return,
            Ok(read) => bytes.extend_from_slice(&part[..read]),
        }
    }
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

pub(crate) fn config(url: &str) -> HubSpotConfig {
    // A second test in the same process finds it installed.
    drop(rustls::crypto::ring::default_provider().install_default());
    HubSpotConfig {
        base_url: url.to_owned(),
        api_version: "2026-09".to_owned(),
        token: Secret::new(TOKEN),
        connect_timeout: Duration::from_secs(10),
        request_timeout: Duration::from_secs(20),
    }
}

pub(crate) fn hubspot(url: &str) -> HubSpot {
    HubSpot::new(&config(url)).expect("good settings")
}
