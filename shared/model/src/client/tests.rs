//! The client against small servers on loopback. Must never use the network.
use super::*;
use crate::{Settlement, Stop};
use axum::extract::State;
use axum::http::{HeaderMap as SeenHeaders, StatusCode, Uri};
use axum::response::{IntoResponse, Response as Reply};
use axum::{Router, body::Bytes};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const KEY: &str = "sk-canary-7f3a";
const OK: &str = r#"{"id":"m","model":"claude-haiku-5-5","content":[{"type":"text","text":"Done."}],
    "stop_reason":"end_turn","usage":{"input_tokens":5,"output_tokens":2}}"#;

type Seen = Arc<Mutex<Vec<(String, SeenHeaders, Vec<u8>)>>>;
type Script = Arc<dyn Fn() -> Reply + Send + Sync>;

async fn record(
    State((seen, script)): State<(Seen, Script)>,
    uri: Uri,
    headers: SeenHeaders,
    body: Bytes,
) -> Reply {
    seen.lock().unwrap().push((uri.path().to_owned(), headers, body.to_vec()));
    script()
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

fn detach(task: impl Future<Output = ()> + Send + 'static) {
    #[expect(clippy::disallowed_methods, reason = "a server of this test; its runtime ends it")]
    tokio::spawn(task);
}

/// A server that answers by script and records what it was sent.
async fn server(script: impl Fn() -> Reply + Send + Sync + 'static) -> (Messages, Seen) {
    let (listener, url) = listen().await;
    let seen = Seen::default();
    let router = Router::new().fallback(record).with_state((seen.clone(), Arc::new(script) as Script));
    detach(async move { axum::serve(listener, router).await.unwrap() });
    (messages(&url), seen)
}

/// A server that takes the whole request, writes `reply` as it is and closes the connection.
async fn raw_server(reply: &'static [u8]) -> (Messages, Arc<AtomicUsize>) {
    let (listener, url) = listen().await;
    let requests = Arc::new(AtomicUsize::new(0));
    let count = requests.clone();
    detach(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut received = Vec::new();
            while !received.ends_with(b"\"max_tokens\":1024}") {
                if stream.read_buf(&mut received).await.unwrap() == 0 {
                    break;
                }
            }
            count.fetch_add(1, Ordering::SeqCst);
            stream.write_all(reply).await.unwrap();
        }
    });
    (messages(&url), requests)
}

fn messages(url: &str) -> Messages {
    // A second install in the same process is refused, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Messages::new(url, ApiKey::new(KEY), VERSION, Timeouts::default()).unwrap()
}

fn body() -> Body {
    Body::assemble(br#"{"model":"m","messages":["#, &[crate::user_text("Hi.").unwrap()], 1_024)
}

async fn clear() -> Watch {
    Watch::Clear
}

async fn once(messages: &Messages) -> Turn {
    fn sendable<F: Future + Send>(future: F) -> F {
        future
    }
    sendable(messages.attempt(&body(), 2_048, clear)).await
}

fn reply(status: u16, text: &'static str) -> Reply {
    (StatusCode::from_u16(status).unwrap(), text).into_response()
}

#[tokio::test]
async fn the_exact_bytes_go_out_once_with_version_and_key() {
    let (messages, seen) = server(|| ([("request-id", "req_9")], OK).into_response()).await;
    let turn = once(&messages).await;
    let Turn::Answer(answer) = &turn else { panic!("{turn:?}") };
    assert_eq!((answer.text.as_str(), answer.stop), ("Done.", Stop::EndTurn));
    assert_eq!(answer.receipt.request_id.as_deref(), Some("req_9"));
    assert!(matches!(turn.settlement(), Settlement::Exact(usage) if usage.total() == 7));
    let seen = seen.lock().unwrap();
    let [(path, headers, sent)] = seen.as_slice() else { panic!("one request, not {}", seen.len()) };
    assert_eq!((path.as_str(), sent.as_slice()), ("/v1/messages", body().bytes()));
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    assert_eq!(header("anthropic-version"), Some("2026-10-21"));
    assert_eq!(header("x-api-key"), Some(KEY));
    assert_eq!(header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn an_error_is_one_request_and_says_how_to_settle() {
    let table: [(u16, Settlement); 5] = [
        (400, Settlement::Nothing),
        (429, Settlement::Nothing),
        (500, Settlement::InFull),
        (503, Settlement::InFull),
        (302, Settlement::InFull),
    ];
    for (status, settlement) in table {
        let moved = move || {
            (StatusCode::from_u16(status).unwrap(), [("location", "/elsewhere")], "{}").into_response()
        };
        let (messages, seen) = server(moved).await;
        let turn = once(&messages).await;
        assert_eq!(turn.settlement(), settlement, "{status}: {turn:?}");
        assert_eq!(matches!(turn, Turn::Retry { .. }), status == 429 || status >= 500, "{turn:?}");
        assert_eq!(seen.lock().unwrap().len(), 1, "{status} must not be retried or followed");
    }
}

#[tokio::test]
async fn a_lost_answer_is_charged_in_full_and_not_sent_again() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"id\":";
    for reply in [&b""[..], &b"HTTP/1.1 2"[..], &cut[..]] {
        let (messages, requests) = raw_server(reply).await;
        let turn = once(&messages).await;
        assert_eq!(turn.settlement(), Settlement::InFull, "{turn:?}");
        assert!(matches!(&turn, Turn::Retry { kind, .. } if kind == "connection"), "{turn:?}");
        assert_eq!(requests.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_connection_that_never_stood_is_not_charged() {
    // Port 1 is the one that nothing listens on.
    let turn = once(&messages("http://127.0.0.1:1")).await;
    assert!(matches!(&turn, Turn::Retry { kind, .. } if kind == "connect"), "{turn:?}");
    assert_eq!(turn.settlement(), Settlement::Nothing);
}

#[tokio::test]
async fn an_answer_that_is_too_long_or_never_comes_is_charged_in_full() {
    let padded = |bytes: usize| format!("{OK}{}", " ".repeat(bytes - OK.len()));
    let (messages, _) = server(move || padded(ANSWER_BYTES_MAX).into_response()).await;
    assert!(matches!(once(&messages).await, Turn::Answer(_)), "1 MB is still read");
    let (messages, _) = server(move || padded(ANSWER_BYTES_MAX + 1).into_response()).await;
    let turn = once(&messages).await;
    assert!(matches!(&turn, Turn::Rejected { kind, .. } if kind == "unreadable_answer"), "{turn:?}");
    assert_eq!(turn.settlement(), Settlement::InFull);

    let (_listener, url) = listen().await;
    let total = Duration::from_millis(50);
    let hanging =
        Messages::new(&url, ApiKey::new(KEY), VERSION, Timeouts { total, ..Timeouts::default() }).unwrap();
    let turn = once(&hanging).await;
    assert!(matches!(&turn, Turn::Retry { kind, .. } if kind == "timeout"), "{turn:?}");
    assert_eq!(turn.settlement(), Settlement::InFull);
}

/// A client whose server never answers (the listener only queues), looking often.
fn unanswered(url: &str) -> Messages {
    let pace = Pace { every: Duration::from_millis(1), unreadable_max: Duration::from_millis(30) };
    Messages { pace, ..messages(url) }
}

#[tokio::test]
async fn a_halt_drops_the_request_that_is_under_way() {
    let (listener, url) = listen().await;
    let arrived = AtomicUsize::new(0);
    let watch = || async { if arrived.load(Ordering::SeqCst) == 0 { Watch::Clear } else { Watch::Halted } };
    // Takes the request, never answers, and ends when the client has closed the connection.
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut received = Vec::new();
        while stream.read_buf(&mut received).await.unwrap() > 0 {
            if received.ends_with(b"\"max_tokens\":1024}") {
                arrived.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    let client = unanswered(&url);
    let (turn, ()) = tokio::join!(async { client.attempt(&body(), 2_048, watch).await }, server);
    assert_eq!(turn, Turn::Halted);
    assert_eq!(turn.settlement(), Settlement::InFull);
}

#[tokio::test]
async fn a_halt_that_is_there_before_the_first_byte_sends_nothing() {
    let (messages, seen) = server(|| reply(200, OK)).await;
    let turn = messages.attempt(&body(), 2_048, || async { Watch::Halted }).await;
    assert_eq!(turn, Turn::Halted);
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_switch_that_cannot_be_read_for_too_long_halts() {
    let (_listener, url) = listen().await;
    let unreadable = unanswered(&url).attempt(&body(), 2_048, || async { Watch::Unreadable }).await;
    assert_eq!(unreadable, Turn::Halted);
    let silent = unanswered(&url).attempt(&body(), 2_048, std::future::pending).await;
    assert_eq!(silent, Turn::Halted, "a look that never returns is no look");
}

#[test]
fn only_an_unbroken_silence_of_the_switch_halts() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut patience = Patience { readable_at: start, max: PACE.unreadable_max };
    assert!(!patience.stops(Watch::Unreadable, at(2_999)));
    assert!(!patience.stops(Watch::Clear, at(2_999)), "read again: the count starts anew");
    assert!(!patience.stops(Watch::Unreadable, at(5_998)));
    assert_eq!(patience.left(at(5_998)), Duration::from_millis(1));
    assert!(patience.stops(Watch::Unreadable, at(5_999)));
    assert!(patience.stops(Watch::Halted, start), "a flag stops at once");
}

#[tokio::test]
async fn a_reservation_that_does_not_cover_the_body_sends_nothing() {
    let (messages, seen) = server(|| reply(200, OK)).await;
    let turn = messages.attempt(&body(), 1_024, clear).await;
    assert!(matches!(&turn, Turn::Rejected { status: None, .. }), "{turn:?}");
    assert_eq!(turn.settlement(), Settlement::Nothing);
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_key_is_in_no_debug_text_and_in_no_message() {
    let echo = r#"{"type":"error","error":{"type":"sk-canary-7f3a","message":"bad key sk-canary-7f3a"}}"#;
    let (messages, _) = server(move || reply(401, echo)).await;
    let turn = once(&messages).await;
    for shown in [format!("{turn:?}"), format!("{messages:?}"), format!("{:?}", ApiKey::new(KEY))] {
        assert!(!shown.contains("canary"), "{shown}");
    }
    let bad = Messages::new("https://x.example", ApiKey::new("sk-canary\n"), VERSION, Timeouts::default());
    assert!(bad.is_err_and(|error| !format!("{error} {error:?}").contains("canary")));
}

#[test]
fn the_key_only_goes_to_https_or_loopback() {
    let url = |base: &str| messages_url(base).map(|url| url.to_string());
    assert_eq!(url("https://api.anthropic.com").as_deref(), Some("https://api.anthropic.com/v1/messages"));
    assert_eq!(url("https://proxy.example/a/").as_deref(), Some("https://proxy.example/a/v1/messages"));
    assert_eq!(url("http://127.0.0.1:9/").as_deref(), Some("http://127.0.0.1:9/v1/messages"));
    for bad in [
        "http://api.anthropic.com",
        "http://127.0.0.1.evil.example",
        "ftp://x",
        "x",
        "https://u:p@x.example",
        "https://x.example/?k=v",
    ] {
        assert_eq!(url(bad), None, "{bad}");
    }
}
