//! The Redis of a local run: a real server when the machine has one, else a small stand-in of ours. Must
//! never answer a write before it is on disk: a lost flag is a lost halt.

mod keyspace;
mod resp;
mod server;
#[cfg(test)]
mod tests;

use crate::{
    background::{Background, listen},
    data_dir::DataDir,
    error::{Result, StoresError, file},
    process::{OwnedChild, Signal, on_path, output_of},
};
use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long a real server may take to read its log.
const READY_SECONDS: u64 = 20;
/// How often another port is tried when the one we found was taken meanwhile.
const PORT_TRIES: usize = 5;

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisKind {
    /// Somebody else's, by URL.
    Given,
    /// A `valkey-server` of ours.
    Valkey(PathBuf),
    /// A `redis-server` of ours.
    Redis(PathBuf),
    /// The stand-in in this crate.
    StandIn,
}

/// A running Redis. Ends on drop.
pub struct LocalRedis {
    url: String,
    kind: RedisKind,
    /// What a person should know besides.
    note: &'static str,
    child: Option<OwnedChild>,
    /// Held for its drop, which ends the stand-in.
    _server: Option<Background>,
}

impl fmt::Debug for LocalRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL of a given server may hold a password.
        f.debug_struct("LocalRedis").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Starts a Redis on a loopback port (0: any free one): `valkey-server` or `redis-server` from PATH, else the
/// stand-in.
///
/// # Errors
/// A server that is there but does not start is an error, not a reason for the stand-in: its data would be
/// missing.
pub async fn start(data: &DataDir, port: u16) -> Result<LocalRedis> {
    for (name, kind) in
        [("valkey-server", RedisKind::Valkey as fn(PathBuf) -> RedisKind), ("redis-server", RedisKind::Redis)]
    {
        let works = |binary: &PathBuf| output_of(binary, &["--version"]).is_some();
        if let Some(binary) = on_path(name).into_iter().find(works) {
            return start_server(data, kind(binary.clone()), &binary, port).await;
        }
    }
    start_stand_in(data, port)
}

/// Uses a Redis that runs already.
#[must_use]
pub fn given(url: String) -> LocalRedis {
    LocalRedis { url, kind: RedisKind::Given, note: "", child: None, _server: None }
}

/// Starts the stand-in, whatever the machine has.
///
/// # Errors
/// The port is taken, or the log cannot be read.
pub fn start_stand_in(data: &DataDir, port: u16) -> Result<LocalRedis> {
    let folder = data.folder("redis")?;
    let log = folder.join("flags.log");
    let note = if folder.join("appendonlydir").exists() && !log.exists() {
        "; it starts empty, the flags so far are in the log of a real server that is gone"
    } else {
        ""
    };
    let keys = keyspace::Keyspace::open(&log)?;
    let (listener, port) = listen(port)?;
    let server = Background::start("redis stand-in", move |stop| server::serve(listener, keys, stop))?;
    let url = format!("redis://127.0.0.1:{port}/");
    Ok(LocalRedis { url, kind: RedisKind::StandIn, note, child: None, _server: Some(server) })
}

async fn start_server(data: &DataDir, kind: RedisKind, binary: &Path, port: u16) -> Result<LocalRedis> {
    let folder = data.folder("redis")?;
    let log = folder.join("server.log");
    let tries = if port == 0 { PORT_TRIES } else { 1 };
    for _ in 0..tries {
        // A child cannot be handed a listener, so another process may take the port first: look, and try
        // again.
        let chosen = if port == 0 { listen(0)?.1 } else { port };
        let pid_file = data.pid_file("redis");
        let mut child = OwnedChild::start(
            &mut server_command(binary, &folder, chosen, &log)?,
            Signal::Terminate,
            pid_file,
        )?;
        if is_ready(&mut child, binary, chosen, &log).await? {
            let url = format!("redis://127.0.0.1:{chosen}/");
            return Ok(LocalRedis { url, kind, note: "", child: Some(child), _server: None });
        }
    }
    let program = binary.display().to_string();
    Err(StoresError::Failed { program, said: format!("it ended at once; see `{}`", log.display()) })
}

fn server_command(binary: &Path, folder: &Path, port: u16, log: &Path) -> Result<Command> {
    let output = fs::File::options().create(true).append(true).open(log).map_err(file("open", log))?;
    let errors = output.try_clone().map_err(file("open", log))?;
    let mut command = Command::new(binary);
    command.current_dir(folder).stdout(Stdio::from(output)).stderr(Stdio::from(errors));
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--protected-mode", "yes"]);
    command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
    command.args(["--maxmemory-policy", "noeviction", "--daemonize", "no", "--dir", "."]);
    // Everything else would be room for megabytes of clients that never come.
    command.args(["--maxclients", "512", "--databases", "1"]);
    Ok(command)
}

/// Waits until the child answers on the port. `false`: it has ended, as it does when the port is taken.
async fn is_ready(child: &mut OwnedChild, binary: &Path, port: u16, log: &Path) -> Result<bool> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(READY_SECONDS) {
        if child.has_ended() {
            return Ok(false);
        }
        let asked = tokio::time::timeout(Duration::from_secs(1), answering_process(port));
        if let Ok(Some(pid)) = asked.await
            && pid == child.pid()
        {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let program = binary.display().to_string();
    Err(StoresError::Silent { program, seconds: READY_SECONDS, log: log.to_owned() })
}

/// The process that answers on the port and has read its log: whoever else took the port has another number.
async fn answering_process(port: u16) -> Option<u32> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(b"*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n").await.ok()?;
    let mut said = Vec::new();
    loop {
        if stream.read_buf(&mut said).await.ok()? == 0 || said.len() > 64 * 1024 {
            return None;
        }
        let text = String::from_utf8_lossy(&said);
        if !"+PONG".starts_with(text.get(..5).unwrap_or(&text)) {
            return None;
        }
        let line = text.split_once("process_id:").and_then(|(_, rest)| rest.split_once('\r'));
        if let Some((pid, _)) = line {
            return pid.parse().ok();
        }
    }
}

impl LocalRedis {
    /// Where it answers. The URL of a given server may hold a password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Who answers.
    #[must_use]
    pub const fn kind(&self) -> &RedisKind {
        &self.kind
    }

    /// The child's process number, when a real server of ours answers.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.child.as_ref().map(OwnedChild::pid)
    }

    /// One line for a person.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.kind {
            RedisKind::Given => "redis: the one in REDIS_URL".to_owned(),
            RedisKind::Valkey(binary) | RedisKind::Redis(binary) => format!("redis: {}", binary.display()),
            RedisKind::StandIn => {
                format!("redis: local stand-in (no valkey-server or redis-server on PATH){}", self.note)
            }
        }
    }

    /// Ends it and waits until it is gone.
    pub async fn shutdown(self) {
        // Ending blocks; a cancelled join means that the program ends, and then the watcher does the same.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}
