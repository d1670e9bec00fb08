//! Plain HTTP on loopback for one stand-in, with connections that can be cut. Must never listen beyond
//! loopback.
use crate::Error;
use crate::faults::{Fault, Faults};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// The longest body that is read: Anthropic's limit, and more than the others take.
pub(crate) const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// One request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Bytes,
    /// The body was longer than `BODY_BYTES_MAX` and was not kept.
    pub(crate) oversize: bool,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Path and query, as sent.
    pub(crate) fn target(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }

    pub(crate) fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(status: u16, value: &serde_json::Value) -> Self {
        let body = value.to_string().into_bytes();
        Self { status, headers: Vec::new(), content_type: "application/json;charset=utf-8", body }
    }

    pub(crate) fn plain(status: u16, content_type: &'static str, text: &str) -> Self {
        Self { status, headers: Vec::new(), content_type, body: text.as_bytes().to_vec() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert("content-type", HeaderValue::from_static(self.content_type));
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// What each stand-in brings to the common server loop.
pub(crate) trait Vendor: Clone + Send + Sync + 'static {
    /// For errors.
    const NAME: &'static str;
    fn faults(&self) -> &Faults;
    /// Notes the request in the log and says where.
    fn arrived(&self, request: &Received) -> usize;
    /// Checks, applies and answers.
    fn answer(&self, request: Received, place: usize) -> impl Future<Output = Reply> + Send;
    fn too_many(&self, policy: &str) -> Reply;
    fn broken(&self, status: u16) -> Reply;
    /// The answer has been made; `None` where the connection was cut instead.
    fn answered(&self, place: usize, status: Option<u16>);
}

/// A stand-in that serves, and the handle to look into it. It stops to accept when this is dropped.
#[derive(Debug)]
pub struct Running<V> {
    /// The handle for tests; may be cloned and outlive the server.
    pub handle: V,
    /// `http://127.0.0.1:<port>`, without a slash at the end.
    pub url: String,
    task: tokio::task::JoinHandle<()>,
}

impl<V> Deref for Running<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.handle
    }
}

impl<V> Drop for Running<V> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves on a loopback port that the system picks.
pub(crate) async fn run<V: Vendor>(vendor: V) -> Result<Running<V>, Error> {
    let listen = |source| Error::Listen { vendor: V::NAME, source };
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.map_err(listen)?;
    run_on(vendor, listener)
}

/// Serves on a listener that the caller bound.
pub(crate) fn run_on<V: Vendor>(vendor: V, listener: TcpListener) -> Result<Running<V>, Error> {
    let listen = |source| Error::Listen { vendor: V::NAME, source };
    let address = listener.local_addr().map_err(listen)?;
    if !address.ip().is_loopback() {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "the address is not loopback");
        return Err(listen(source));
    }
    let app = Router::new().fallback(handle::<V>).with_state(vendor.clone());
    let service = app.into_make_service_with_connect_info::<Cut>();
    let serving = async move {
        // The loop ends only when this task is aborted; accept errors are retried inside.
        drop(axum::serve(Cuttable(listener), service).await);
    };
    #[expect(clippy::disallowed_methods, reason = "a local server, not a Lambda function")]
    let task = tokio::spawn(serving);
    Ok(Running { handle: vendor, url: format!("http://{address}"), task })
}

async fn handle<V: Vendor>(
    State(vendor): State<V>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    let received = receive(request).await;
    let place = vendor.arrived(&received);
    let fault = vendor.faults().take(&received);
    let reply = meet(&vendor, fault, received, place).await;
    vendor.answered(place, reply.as_ref().map(|reply| reply.status));
    reply
        .unwrap_or_else(|| {
            cut.0.store(true, Ordering::SeqCst);
            Reply::plain(500, "text/plain", "")
        })
        .into_response()
}

/// The answer, or `None` where the connection is to be cut.
async fn meet<V: Vendor>(vendor: &V, fault: Option<Fault>, request: Received, place: usize) -> Option<Reply> {
    let Some(fault) = fault else {
        return Some(vendor.answer(request, place).await);
    };
    match fault {
        Fault::Status429 { policy } => Some(vendor.too_many(&policy)),
        Fault::Status(status) => Some(vendor.broken(status)),
        Fault::Reset => None,
        Fault::ApplyThenReset => {
            drop(vendor.answer(request, place).await);
            None
        }
        Fault::ApplyThenDelay(ms) => {
            let reply = vendor.answer(request, place).await;
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Some(reply)
        }
        Fault::Delay(ms) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Some(vendor.answer(request, place).await)
        }
        Fault::Redirect(to) => Some(Reply::plain(307, "text/html", "").with("location", to)),
        Fault::Html502 => {
            let page = "<html>\n<head><title>502 Bad Gateway</title></head>\n<body></body>\n</html>\n";
            Some(Reply::plain(502, "text/html", page))
        }
        Fault::Garbage => Some(Reply::plain(200, "application/json", "{\"id\": \"half an ans")),
        Fault::LateApply => {
            vendor.faults().put_late(request, place);
            None
        }
    }
}

/// Applies what `Fault::LateApply` kept back; the clients are long gone. Answers how many there were.
pub(crate) async fn apply_late<V: Vendor>(vendor: &V) -> usize {
    let late = vendor.faults().take_late();
    let count = late.len();
    for (request, place) in late {
        drop(vendor.answer(request, place).await);
    }
    count
}

async fn receive(request: Request) -> Received {
    let (parts, body) = request.into_parts();
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers
            .entry(name.as_str().to_owned())
            .and_modify(|all| *all = format!("{all}, {value}"))
            .or_insert(value);
    }
    let (body, oversize) = match axum::body::to_bytes(body, BODY_BYTES_MAX).await {
        Ok(body) => (body, false),
        Err(_) => (Bytes::new(), true),
    };
    Received {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers,
        body,
        oversize,
    }
}

/// Set to true, the connection ends with a reset at the next byte of the answer.
#[derive(Debug, Clone)]
struct Cut(Arc<AtomicBool>);

impl Connected<IncomingStream<'_, Cuttable>> for Cut {
    fn connect_info(stream: IncomingStream<'_, Cuttable>) -> Self {
        stream.io().cut.clone()
    }
}

struct Cuttable(TcpListener);

impl Listener for Cuttable {
    type Io = CutStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (CutStream, SocketAddr) {
        let (stream, address) = <TcpListener as Listener>::accept(&mut self.0).await;
        (CutStream { stream, cut: Cut(Arc::new(AtomicBool::new(false))) }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

struct CutStream {
    stream: TcpStream,
    cut: Cut,
}

impl AsyncRead for CutStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for CutStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.cut.0.load(Ordering::SeqCst) {
            // Without lingering, closing sends a reset rather than an orderly end.
            self.stream.set_zero_linger()?;
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionReset)));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
