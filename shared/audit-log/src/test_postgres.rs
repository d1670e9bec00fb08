//! A private Postgres for the tests of this crate. Must never outlive them, nor listen on a port.
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{
    OnceLock,
    atomic::{AtomicU32, Ordering},
};

struct Cluster {
    folder: PathBuf,
    /// Holds the pipe whose end tells the watcher that the tests are over.
    _watcher: Child,
}

static CLUSTER: OnceLock<Cluster> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// The address of an empty database of its own.
pub(crate) async fn database() -> String {
    let cluster = CLUSTER.get_or_init(start);
    let name = format!("t{}", DATABASES.fetch_add(1, Ordering::SeqCst));
    let admin = connect(&address(&cluster.folder, "postgres", "postgres")).await;
    admin.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    address(&cluster.folder, "postgres", &name)
}

/// The same database as another login.
pub(crate) fn as_user(address: &str, user: &str) -> String {
    address.replace("user=postgres", &format!("user={user}"))
}

/// A bare connection, for what the database's owner or a login could do by hand.
pub(crate) async fn connect(address: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(address, tokio_postgres::NoTls).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test's connection ends with its runtime")]
    tokio::spawn(connection);
    client
}

fn address(folder: &Path, user: &str, database: &str) -> String {
    format!("host={} user={user} dbname={database}", folder.display())
}

fn start() -> Cluster {
    let folder = std::env::temp_dir().join(format!("audit-log-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let owner = postgres_user();
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::chown(&folder, Some(uid), Some(gid)).unwrap();
    }
    let run = |script: String| {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).current_dir(&folder).stdout(Stdio::null());
        if let Some((uid, gid)) = owner {
            command.uid(uid).gid(gid);
        }
        command
    };
    let (bin, at) = (binaries(), folder.display());
    let init = format!("{bin}/initdb -D {at}/data -U postgres -A trust -E UTF8 --locale=C --no-sync");
    assert!(run(init).status().unwrap().success(), "initdb failed");
    let start = format!(
        "{bin}/pg_ctl -D {at}/data -l {at}/log -w start \
         -o \"-c listen_addresses='' -c unix_socket_directories={at} -c fsync=off -c max_connections=200\""
    );
    assert!(run(start).status().unwrap().success(), "the server did not start");
    let stop = format!("cat; {bin}/pg_ctl -D {at}/data -m immediate stop; rm -rf {at}");
    let watcher = run(stop).stdin(Stdio::piped()).stderr(Stdio::null()).process_group(0).spawn().unwrap();
    Cluster { folder, _watcher: watcher }
}

/// The newest server binaries on this machine.
fn binaries() -> String {
    let mut found: Vec<(u32, String)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path().join("bin");
            let version = path.parent()?.file_name()?.to_str()?.parse().ok()?;
            path.join("initdb").exists().then(|| (version, path.display().to_string()))
        })
        .collect();
    found.sort();
    found.pop().map_or_else(|| "/usr/local/bin".to_owned(), |(_, path)| path)
}

/// Servers refuse to run as root: then the user `postgres` runs this one.
fn postgres_user() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    if std::fs::metadata("/proc/self").map_or(1, |me| me.uid()) != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:")).expect("no user `postgres`");
    let ids: Vec<u32> = line.split(':').skip(2).take(2).map(|id| id.parse().unwrap()).collect();
    Some((ids[0], ids[1]))
}
