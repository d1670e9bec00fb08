//! Plain HTTP on loopback in front of the function handlers: a request becomes the event that a function URL
//! would make of it. Must never answer for a handler.
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::net::TcpListener;

/// A function's handler over function-URL events.
pub type Handler =
    Arc<dyn Fn(Value) -> Pin<Box<dyn Future<Output = Result<Value, String>> + Send>> + Send + Sync>;

/// What a function URL takes at most.
const BODY_BYTES_MAX: usize = 6 * 1024 * 1024;

/// Serves a handler on a listener until the task is ended.
///
/// # Errors
/// The listener broke.
pub async fn serve(listener: TcpListener, handler: Handler) -> std::io::Result<()> {
    let app = Router::new().fallback(pass).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(handler);
    axum::serve(listener, app).await
}

async fn pass(
    State(handler): State<Handler>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match handler(event_of(&method, &uri, &headers, &body)).await {
        Ok(answer) => response_of(&answer),
        Err(error) => {
            tracing::error!(%error, "a handler failed");
            plain(StatusCode::BAD_GATEWAY, "the function failed; its log says why\n")
        }
    }
}

/// The function-URL event (payload version 2) of a request.
fn event_of(method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Value {
    let mut named: Map<String, Value> = Map::new();
    let mut cookies = Vec::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        if name.as_str() == "cookie" {
            cookies.extend(value.split(';').map(|cookie| Value::from(cookie.trim())));
            continue;
        }
        let joined = match named.get(name.as_str()).and_then(Value::as_str) {
            Some(before) => format!("{before},{value}"),
            None => value,
        };
        named.insert(name.as_str().to_owned(), joined.into());
    }
    let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": uri.path(),
        "rawQueryString": uri.query().unwrap_or_default(), "headers": named, "cookies": cookies,
        "requestContext": {
            "domainName": host, "requestId": uuid::Uuid::new_v4().to_string(), "stage": "$default",
            "http": {"method": method.as_str(), "path": uri.path(), "protocol": "HTTP/1.1"},
        },
        "body": STANDARD.encode(body), "isBase64Encoded": true,
    })
}

fn response_of(answer: &Value) -> Response {
    let status = answer.get("statusCode").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let status = status.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::BAD_GATEWAY);
    let text = answer.get("body").and_then(Value::as_str).unwrap_or_default();
    let encoded = answer.get("isBase64Encoded").and_then(Value::as_bool).unwrap_or(false);
    let bytes = if encoded { STANDARD.decode(text).unwrap_or_default() } else { text.as_bytes().to_vec() };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = answer.get("headers").and_then(Value::as_object);
    for (name, value) in headers.into_iter().flatten() {
        let value = value.as_str().and_then(|text| HeaderValue::from_str(text).ok());
        if let (Ok(name), Some(value)) = (HeaderName::from_bytes(name.as_bytes()), value) {
            response.headers_mut().append(name, value);
        }
    }
    for cookie in answer.get("cookies").and_then(Value::as_array).into_iter().flatten() {
        if let Some(value) = cookie.as_str().and_then(|text| HeaderValue::from_str(text).ok()) {
            response.headers_mut().append("set-cookie", value);
        }
    }
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}
