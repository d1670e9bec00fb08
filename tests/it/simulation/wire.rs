//! Every request of a simulated world, held until the schedule lets it go. Must never let one through by
//! itself, but for reads of the CRM.
use super::flags::{self, Command};
use super::log::{self, Server};
use crate::simulation::chance::Chance;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// What somebody asks for.
#[derive(Debug, Clone)]
pub enum Call {
    Table {
        operation: String,
        body: String,
    },
    Flags {
        connection: u64,
        pipeline: Vec<Command>,
    },
    Crm(Crm),
    Model {
        body: String,
    },
    /// The audit log; what it is about, for the trace.
    Log {
        connection: u64,
        bytes: Vec<u8>,
        about: String,
    },
}

/// One request to the CRM.
#[derive(Debug, Clone)]
pub struct Crm {
    pub method: String,
    pub path: String,
    pub intent: Option<String>,
    pub body: String,
    /// The request as it came, to be passed on.
    pub bytes: Vec<u8>,
}

/// What comes back.
#[derive(Debug)]
pub enum Answer {
    Table(u16, String),
    Bytes(Vec<u8>),
}

/// One request on its way. Whoever asked may be gone: then nobody hears the answer.
#[derive(Debug)]
pub struct Held {
    pub id: u64,
    pub env: usize,
    pub call: Call,
    pub answer: oneshot::Sender<Answer>,
}

/// The wires of one world.
#[derive(Debug)]
pub struct Wires {
    pub held: Vec<Held>,
    /// Counts whatever happens on a wire: as long as it moves, somebody is still at work.
    pub activity: u64,
    /// Answers on their way that nothing holds.
    pub busy: usize,
    pub crm: Option<SocketAddr>,
    /// How often a read of the CRM fails, in a thousand.
    pub bad_reads: u32,
    /// May hot configuration be read?
    pub config_answers: bool,
    /// Caps, zone and prices, in a life of money.
    pub purse: Option<super::script::Purse>,
    /// Whoever accepts connections.
    doors: Vec<tokio::task::AbortHandle>,
    pub reads: u64,
    pub chance: Chance,
    /// Connections to the real server of the audit log. They outlive the client: what she sent may arrive.
    pub servers: HashMap<u64, Server>,
    next: u64,
}

#[derive(Debug, Clone)]
pub struct Net(Arc<Mutex<Wires>>);

impl Net {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Wires {
            held: Vec::new(),
            activity: 0,
            busy: 0,
            crm: None,
            bad_reads: 0,
            config_answers: true,
            purse: None,
            doors: Vec::new(),
            reads: 0,
            chance: Chance::new(0),
            servers: HashMap::new(),
            next: 0,
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, Wires> {
        self.0.lock().unwrap()
    }

    fn hold(&self, env: usize, call: Call) -> oneshot::Receiver<Answer> {
        let (answer, heard) = oneshot::channel();
        let mut wires = self.lock();
        wires.activity += 1;
        wires.next += 1;
        let id = wires.next;
        wires.held.push(Held { id, env, call, answer });
        heard
    }

    /// No more connections: the ports are the machine's again.
    pub fn shut(&self) {
        let mut wires = self.lock();
        wires.doors.drain(..).for_each(|door| door.abort());
        wires.servers.clear();
    }

    fn touch(&self) {
        self.lock().activity += 1;
    }

    /// A listener for the CRM and the model, and one for the flags, of one environment: their ports.
    pub async fn listen(&self, env: usize) -> (SocketAddr, SocketAddr) {
        let http = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let flags = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let ports = (http.local_addr().unwrap(), flags.local_addr().unwrap());
        let net = self.clone();
        let to_vendors = super::spawn(async move {
            while let Ok((stream, _)) = http.accept().await {
                let net = net.clone();
                drop(super::spawn(async move { drop(net.serve_http(env, stream).await) }));
            }
        });
        let net = self.clone();
        let to_flags = super::spawn(async move {
            let mut connection = u64::try_from(env).unwrap() << 32;
            while let Ok((stream, _)) = flags.accept().await {
                connection += 1;
                let (net, connection) = (net.clone(), connection);
                drop(super::spawn(async move { drop(net.serve_flags(env, connection, stream).await) }));
            }
        });
        self.lock().doors.extend([to_vendors.abort_handle(), to_flags.abort_handle()]);
        ports
    }

    async fn serve_flags(&self, env: usize, connection: u64, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut bytes = Vec::new();
        loop {
            self.touch();
            let (pipeline, used) = flags::parse(&bytes);
            if pipeline.is_empty() {
                if stream.read_buf(&mut bytes).await? == 0 {
                    return Ok(());
                }
                continue;
            }
            bytes.drain(..used);
            let heard = self.hold(env, Call::Flags { connection, pipeline });
            let Some(Answer::Bytes(answer)) = until_heard(heard, &mut stream, &mut bytes).await? else {
                return Ok(());
            };
            stream.write_all(&answer).await?;
        }
    }

    /// A listener for the audit log, of one environment: its port.
    pub async fn listen_for_log(&self, env: usize, server: &tokio_postgres::Config) -> u16 {
        let door = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = door.local_addr().unwrap().port();
        let (net, server) = (self.clone(), server.clone());
        let to_log = super::spawn(async move {
            let mut connection = u64::try_from(env).unwrap() << 32;
            while let Ok((stream, _)) = door.accept().await {
                connection += 1;
                net.lock().servers.insert(connection, Server::dial(&server));
                let net = net.clone();
                drop(super::spawn(async move { drop(net.serve_log(env, connection, stream).await) }));
            }
        });
        self.lock().doors.push(to_log.abort_handle());
        port
    }

    /// Every request of a connection is held, but for the greeting and what nobody waits for.
    async fn serve_log(&self, env: usize, connection: u64, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut bytes, mut first) = (Vec::new(), true);
        loop {
            self.touch();
            let Some((length, about)) = log::request(&bytes, first) else {
                if stream.read_buf(&mut bytes).await? == 0 {
                    self.hang_up(connection);
                    return Ok(());
                }
                continue;
            };
            let request: Vec<u8> = bytes.drain(..length).collect();
            if !first && request[0] == b'X' {
                self.hang_up(connection);
                return Ok(());
            }
            let answer = if first || about.is_empty() {
                let answer = self.exchange(connection, |server| server.exchange(&request));
                let Some(answer) = answer else { return Ok(()) };
                answer
            } else {
                let heard = self.hold(env, Call::Log { connection, bytes: request, about });
                let Some(Answer::Bytes(answer)) = until_heard(heard, &mut stream, &mut bytes).await? else {
                    return Ok(());
                };
                answer
            };
            first = false;
            stream.write_all(&answer).await?;
        }
    }

    /// Nothing more is sent on that connection.
    pub fn hang_up(&self, connection: u64) {
        self.lock().servers.remove(&connection);
    }

    /// Has the real server of the audit log do something. Nobody's time goes on meanwhile. `None`: the life
    /// is over.
    pub fn exchange<T>(&self, connection: u64, what: impl FnOnce(&mut Server) -> T) -> Option<T> {
        self.lock().servers.get_mut(&connection).map(what)
    }

    async fn serve_http(&self, env: usize, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut bytes = Vec::new();
        loop {
            self.touch();
            let Some((head, whole)) = read_request(&mut stream, &mut bytes).await? else { return Ok(()) };
            let body = String::from_utf8_lossy(&whole[head.len()..]).into_owned();
            let mut words = head.split(' ');
            let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap_or("/").to_owned());
            // A port that was somebody else's a moment ago may still be asked by her clients.
            if header(&head, "authorization")
                .or_else(|| header(&head, "x-api-key"))
                .is_none_or(|key| !known(&key))
            {
                return Ok(());
            }
            let answer = if path == "/v1/messages" {
                let heard = self.hold(env, Call::Model { body });
                until_heard(heard, &mut stream, &mut bytes).await?
            } else if method == "GET" {
                self.read_crm(whole).await
            } else {
                let intent = header(&head, "x-holdfast-intent");
                let crm = Crm { method, path, intent, body, bytes: whole };
                let heard = self.hold(env, Call::Crm(crm));
                until_heard(heard, &mut stream, &mut bytes).await?
            };
            let Some(Answer::Bytes(answer)) = answer else { return Ok(()) };
            stream.write_all(&answer).await?;
            self.touch();
        }
    }

    /// A read of the CRM goes through at once, or fails.
    async fn read_crm(&self, request: Vec<u8>) -> Option<Answer> {
        let (crm, fails) = {
            let mut wires = self.lock();
            wires.reads += 1;
            let often = wires.bad_reads;
            (wires.crm?, wires.chance.of_1000(often))
        };
        if fails {
            let busy =
                r#"{"status":"error","message":"too many","category":"RATE_LIMITS","policyName":"SECONDLY"}"#;
            return self.lock().chance.of_1000(500).then(|| http(429, busy));
        }
        self.lock().busy += 1;
        let answer = forward(crm, &request).await;
        let mut wires = self.lock();
        wires.busy -= 1;
        wires.activity += 1;
        answer.ok().map(Answer::Bytes)
    }

    /// Passes a write on to the CRM in the background and gives its answer to whoever still listens, if it
    /// shall be heard.
    pub fn apply_crm(&self, held: Held, heard: bool, then: impl FnOnce(u16) + Send + 'static) {
        let Call::Crm(crm) = held.call else { panic!("a write to the CRM") };
        let net = self.clone();
        let address = {
            let mut wires = net.lock();
            wires.busy += 1;
            wires.crm.expect("a CRM")
        };
        drop(super::spawn(async move {
            let answer = forward(address, &crm.bytes).await.expect("the CRM answers");
            let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
            then(status);
            if heard {
                drop(held.answer.send(Answer::Bytes(answer)));
            }
            let mut wires = net.lock();
            wires.busy -= 1;
            wires.activity += 1;
        }));
    }

    /// An AWS client's transport for one environment.
    pub fn aws(&self, env: usize) -> Aws {
        Aws { net: self.clone(), env }
    }
}

/// Waits for the answer; `None` when it never comes or the client has left.
async fn until_heard(
    heard: oneshot::Receiver<Answer>,
    stream: &mut TcpStream,
    bytes: &mut Vec<u8>,
) -> std::io::Result<Option<Answer>> {
    tokio::pin!(heard);
    loop {
        tokio::select! {
            answer = &mut heard => return Ok(answer.ok()),
            read = stream.read_buf(bytes) => {
                if read? == 0 {
                    return Ok(None);
                }
            }
        }
    }
}

/// One request: the head with its empty line, and all of it.
async fn read_request(
    stream: &mut TcpStream,
    bytes: &mut Vec<u8>,
) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = header(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0_usize);
    while bytes.len() < end + length {
        if stream.read_buf(bytes).await? == 0 {
            return Ok(None);
        }
    }
    let rest = bytes.split_off(end + length);
    Ok(Some((head, std::mem::replace(bytes, rest))))
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// The same request to the stand-in, on a connection of its own.
async fn forward(to: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let line = request.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
    let mut stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let whole = [&request[..line], b"connection: close\r\n".as_slice(), &request[line..]].concat();
    stream.write_all(&whole).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// A plain HTTP answer.
pub fn http(status: u16, body: &str) -> Answer {
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nrequest-id: req_1\r\nretry-after: 1\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    Answer::Bytes([head.as_bytes(), body.as_bytes()].concat())
}

/// The transport of the AWS clients: no socket, the schedule answers.
#[derive(Debug, Clone)]
pub struct Aws {
    net: Net,
    env: usize,
}

impl HttpConnector for Aws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default().to_owned();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        if target.starts_with("AmazonSSM") {
            let (answers, purse) = {
                let wires = self.net.lock();
                (wires.config_answers, wires.purse.clone())
            };
            return HttpConnectorFuture::ready(if answers {
                Ok(response(200, super::script::hot_configuration(purse.as_ref())))
            } else {
                Err(ConnectorError::io("the parameters do not answer".into()))
            });
        }
        let heard = self.net.hold(self.env, Call::Table { operation, body });
        HttpConnectorFuture::new(async move {
            match heard.await {
                Ok(Answer::Table(status, body)) => Ok(response(status, body)),
                Ok(Answer::Bytes(_)) | Err(_) => Err(ConnectorError::io("the connection broke".into())),
            }
        })
    }
}

impl HttpClient for Aws {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

fn response(status: u16, body: String) -> HttpResponse {
    let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
    response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
    response
}

/// Is it a key of this world's clients?
fn known(key: &str) -> bool {
    key == standins::anthropic::API_KEY || key.ends_with(&standins::hubspot::Settings::default().token)
}
