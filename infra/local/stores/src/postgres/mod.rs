//! The Postgres of a local run: given, the machine's own programs, the embedded one, or installed. Must never
//! run a second engine beside data that another one wrote.

mod binaries;
mod cluster;
#[cfg(test)]
mod tests;

use crate::{
    data_dir::DataDir,
    error::{Result, StoresError, file},
    process::{OwnedChild, Signal, Watcher},
};
use binaries::{Binaries, Found, Plan};
use cluster::Place;
use oliphaunt::{AsyncOliphauntServer, DatabaseStorage, ServerListen};
use std::{
    fmt::{self, Write as _},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tokio_postgres::NoTls;

/// How long a server may take to recover and answer.
const READY_SECONDS: u64 = 60;
/// How often a server that ends at once is started again: after a hard kill its last children may need a
/// moment.
const START_TRIES: u32 = 6;

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresKind {
    /// Somebody else's, by URL.
    Given,
    /// A private cluster, run by the machine's own programs.
    Server {
        /// The folder of the programs.
        programs: PathBuf,
        /// Their major version.
        major: u32,
    },
    /// The Postgres that this program carries.
    Embedded,
}

/// A running Postgres. Ends on drop.
pub struct LocalPostgres {
    url: String,
    kind: PostgresKind,
    child: Option<OwnedChild>,
    embedded: Option<(AsyncOliphauntServer, Option<Watcher>)>,
    // Last, so that the server is gone when it drops.
    _socket: Option<SocketFolder>,
}

/// The socket's folder, removed on drop if nothing is left in it.
struct SocketFolder(PathBuf);

impl Drop for SocketFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

impl fmt::Debug for LocalPostgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL of a given server may hold a password.
        f.debug_struct("LocalPostgres").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Starts a Postgres, or uses `given` (what `DATABASE_URL` says). As root on a Debian-like machine without
/// one, it installs the package and says so on standard error.
///
/// # Errors
/// None can be had (the text ends in the one command to run), or the one that was chosen does not start.
pub async fn start(data: &DataDir, given: Option<String>) -> Result<LocalPostgres> {
    if let Some(url) = given {
        return Ok(LocalPostgres {
            url,
            kind: PostgresKind::Given,
            child: None,
            embedded: None,
            _socket: None,
        });
    }
    let mut place = Place::of(data)?;
    let pid_file = data.pid_file("postgres");
    let looked = place.clone();
    let mut plan = blocking(move || Ok(binaries::plan(&look(&looked)))).await?;
    if plan == Plan::Install {
        blocking(install).await?;
        // The package brings the user that the child runs as.
        place = Place::of(data)?;
        let looked = place.clone();
        plan = blocking(move || Ok(binaries::plan(&Found { apt: false, ..look(&looked) }))).await?;
    }
    match plan {
        Plan::Given(url) => {
            Ok(LocalPostgres { url, kind: PostgresKind::Given, child: None, embedded: None, _socket: None })
        }
        Plan::Run(binaries) => run(place, binaries, pid_file).await,
        Plan::Embed => embed(&place).await,
        Plan::Install => {
            Err(StoresError::NoPostgres { wanted: "the package was installed but is not there".to_owned() })
        }
        Plan::Nothing(wanted) => Err(StoresError::NoPostgres { wanted }),
    }
}

fn look(place: &Place) -> Found {
    let version = fs::read_to_string(place.cluster().join("PG_VERSION")).ok();
    Found {
        given: None,
        cluster: version.and_then(|version| version.trim().parse().ok()),
        embedded: place.embedded().exists(),
        binaries: binaries::look(),
        root: place.user.is_some(),
        can_embed: binaries::can_embed(),
        apt: binaries::has_apt(),
    }
}

/// Installs the machine's own package. The first try may fail for want of fresh lists.
fn install() -> Result<()> {
    let apt = |arguments: &[&str]| {
        eprintln!("postgres: none here; running `apt-get {}`", arguments.join(" "));
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        // Its chatter goes where ours goes, not into the output that somebody may read by program.
        command.stdout(std::io::stderr());
        command.status().map_err(|source| StoresError::Run { program: "apt-get".to_owned(), source })
    };
    let wanted = ["install", "-y", "--no-install-recommends", "postgresql"];
    if apt(&wanted)?.success() {
        return Ok(());
    }
    apt(&["update"])?;
    let status = apt(&wanted)?;
    if status.success() {
        return Ok(());
    }
    Err(StoresError::Failed { program: "apt-get install -y postgresql".to_owned(), said: status.to_string() })
}

async fn run(place: Place, binaries: Binaries, pid_file: PathBuf) -> Result<LocalPostgres> {
    let url = url_of(&place.socket());
    let kind = PostgresKind::Server { programs: binaries.folder.clone(), major: binaries.major };
    let (making, with, making_pid) = (place.clone(), binaries.clone(), pid_file.clone());
    blocking(move || {
        making.create()?;
        cluster::make(&making, &with, making_pid)
    })
    .await?;
    for attempt in 1..=START_TRIES {
        let mut child = cluster::start(&place, &binaries, pid_file.clone())?;
        if is_ready(&mut child, &url, &place.log()).await? {
            return Ok(LocalPostgres {
                url,
                kind,
                child: Some(child),
                embedded: None,
                _socket: Some(SocketFolder(place.socket())),
            });
        }
        drop(child);
        tokio::time::sleep(Duration::from_millis(100) * attempt).await;
    }
    let program = binaries.folder.join("postgres").display().to_string();
    Err(StoresError::Failed { program, said: format!("it ended at once; see `{}`", place.log().display()) })
}

/// Waits until the server takes a connection. `false`: it has ended.
async fn is_ready(child: &mut OwnedChild, url: &str, log: &Path) -> Result<bool> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(READY_SECONDS) {
        if child.has_ended() {
            return Ok(false);
        }
        let tried = tokio::time::timeout(Duration::from_secs(5), tokio_postgres::connect(url, NoTls)).await;
        if matches!(tried, Ok(Ok(_))) {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err(StoresError::Silent { program: "postgres".to_owned(), seconds: READY_SECONDS, log: log.to_owned() })
}

async fn embed(place: &Place) -> Result<LocalPostgres> {
    place.create()?;
    let said = |doing| move |source| StoresError::EmbeddedPostgres { doing, source };
    let server = AsyncOliphauntServer::builder()
        .storage(DatabaseStorage::Directory(place.embedded()))
        .listen(ServerListen::unix(place.socket()))
        .startup_gucs([
            ("fsync", "on"),
            ("shared_buffers", "16MB"),
            ("max_connections", "40"),
            ("max_wal_size", "128MB"),
            // It logs to our own standard error.
            ("log_min_messages", "fatal"),
        ])
        .start()
        .await
        .map_err(said("start"))?;
    let watcher = match cluster::locked_by(&embedded_cluster(place)) {
        Some(pid) => Some(Watcher::over(pid, Signal::Interrupt)?),
        None => None,
    };
    let url = url_of(&place.socket());
    let socket = SocketFolder(place.socket());
    Ok(LocalPostgres {
        url,
        kind: PostgresKind::Embedded,
        child: None,
        embedded: Some((server, watcher)),
        _socket: Some(socket),
    })
}

/// Where the embedded Postgres keeps its cluster below its root.
fn embedded_cluster(place: &Place) -> PathBuf {
    place.embedded().join("pgdata")
}

/// Ends what a hard kill left running in this data folder.
pub(crate) fn end_stale(data: &DataDir) -> Result<()> {
    let place = Place::of(data)?;
    cluster::end_stale(&place.cluster())?;
    cluster::end_stale(&embedded_cluster(&place))
}

/// Removes what lies outside: the cluster of a data folder that only root can reach, a socket's short folder.
pub(crate) fn remove_outside(data: &DataDir) -> Result<()> {
    let place = Place::of(data)?;
    for folder in [cluster::outside(data.path()), place.socket()] {
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(file("remove", &folder))?;
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(StoresError::Cancelled)?
}

/// The URL of a server behind a socket in `folder`.
fn url_of(folder: &Path) -> String {
    let mut url = "postgresql:///postgres?user=postgres&sslmode=disable&host=".to_owned();
    for byte in folder.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            url.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url
}

/// The same server, another database. `name` needs no quoting.
fn url_for(url: &str, name: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        // The `key=value` form, where the last word counts.
        return format!("{url} dbname={name}");
    };
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, format!("?{query}")),
        None => (rest, String::new()),
    };
    let host = place.split_once('/').map_or(place, |(host, _)| host);
    format!("{scheme}://{host}/{name}{query}")
}

impl LocalPostgres {
    /// Where it answers. The URL of a given server may hold a password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Who answers.
    #[must_use]
    pub const fn kind(&self) -> &PostgresKind {
        &self.kind
    }

    /// The server's process number, when it is a child of ours.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.child.as_ref().map(OwnedChild::pid)
    }

    /// One line for a person.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.kind {
            PostgresKind::Given => "postgres: the one in DATABASE_URL".to_owned(),
            PostgresKind::Server { programs, major } => {
                format!("postgres: version {major} in {}, private cluster", programs.display())
            }
            PostgresKind::Embedded => "postgres: the embedded one, private cluster".to_owned(),
        }
    }

    /// Creates an empty database and returns its URL.
    ///
    /// # Errors
    /// The name needs quoting, exists already, or the server refuses.
    pub async fn create_database(&self, name: &str) -> Result<String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty() || name.len() > 63 || !name.chars().all(plain) {
            return Err(StoresError::DatabaseName { name: name.to_owned() });
        }
        let said = |doing| move |source| StoresError::Postgres { doing, source };
        let (client, connection) =
            tokio_postgres::connect(&self.url, NoTls).await.map_err(said("take a connection"))?;
        let statement = format!("CREATE DATABASE \"{name}\"");
        let asked = async {
            let made = client.batch_execute(&statement).await;
            drop(client);
            made
        };
        // The connection is driven here, beside the statement, so nothing outlives this call.
        let (made, _) = tokio::join!(asked, connection);
        made.map_err(said("create a database"))?;
        Ok(url_for(&self.url, name))
    }

    /// Ends it and waits until it is gone.
    ///
    /// # Errors
    /// The embedded server did not end cleanly.
    pub async fn shutdown(mut self) -> Result<()> {
        if let Some((server, watcher)) = self.embedded.take() {
            let closed = server.close().await;
            drop(watcher);
            closed.map_err(|source| StoresError::EmbeddedPostgres { doing: "stop", source })?;
        }
        blocking(move || {
            drop(self);
            Ok(())
        })
        .await
    }
}
