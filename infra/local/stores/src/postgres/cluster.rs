//! A private Postgres cluster: made, started, and cleaned up after a hard kill. Must never listen on a port,
//! run as root, or remove the lock of a server that still runs.

use super::binaries::Binaries;
use crate::{
    data_dir::{DataDir, set_mode},
    error::{Result, StoresError, file},
    process::{self, OwnedChild, Signal, output_of},
};
use std::{
    fs::{self, File},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Longest socket folder: the kernel's bound is 104 bytes on macOS, and `/.s.PGSQL.5432` and a zero follow.
const SOCKET_FOLDER_BYTES_MAX: usize = 86;

/// Where a cluster lives and who runs it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Holds everything of Postgres, closed to others.
    pub(super) base: PathBuf,
    /// The user and group of the child, when we are root.
    pub(super) user: Option<(u32, u32)>,
}

impl Place {
    /// The place of this data folder. Creates nothing.
    pub(super) fn of(data: &DataDir) -> Result<Self> {
        let inside = data.path().join("postgres");
        if !data.is_root()? {
            return Ok(Self { base: inside, user: None });
        }
        let base = if can_pass(data.path()) { inside } else { outside(data.path()) };
        Ok(Self { base, user: Some(unprivileged()) })
    }

    /// The cluster that the system's server programs use.
    pub(super) fn cluster(&self) -> PathBuf {
        self.base.join("cluster")
    }

    /// The root folder of the embedded Postgres.
    pub(super) fn embedded(&self) -> PathBuf {
        self.base.join("embedded")
    }

    /// The server's log.
    pub(super) fn log(&self) -> PathBuf {
        self.base.join("server.log")
    }

    /// The folder of the socket: inside, or a short one when the path would be too long for the kernel.
    pub(super) fn socket(&self) -> PathBuf {
        let inside = self.base.join("socket");
        if inside.as_os_str().len() <= SOCKET_FOLDER_BYTES_MAX {
            inside
        } else {
            PathBuf::from(format!("/tmp/holdfast-{:016x}", hash(&self.base)))
        }
    }

    /// Creates base and socket folder, the child's own and closed to others.
    pub(super) fn create(&self) -> Result<()> {
        for folder in [self.base.clone(), self.socket()] {
            match fs::create_dir(&folder) {
                Ok(()) => {
                    if let Some((uid, gid)) = self.user {
                        chown(&folder, Some(uid), Some(gid)).map_err(file("hand over", &folder))?;
                    }
                }
                Err(problem) if problem.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(problem) => return Err(file("create", &folder)(problem)),
            }
            // FAIL-CLOSED: in a folder that everybody can write to, somebody else may have made it first.
            let meta = fs::symlink_metadata(&folder).map_err(file("open", &folder))?;
            let owner = match self.user {
                Some((uid, _)) => Some(uid),
                None => fs::metadata(self.base.as_path()).ok().map(|base| base.uid()),
            };
            if !meta.is_dir() || Some(meta.uid()) != owner {
                return Err(StoresError::Foreign { path: folder });
            }
            set_mode(&folder, 0o700)?;
        }
        Ok(())
    }

    /// A command of the server, run as the child's user.
    fn command(&self, binaries: &Binaries, program: &str) -> Result<Command> {
        let log = self.log();
        let output = File::options().create(true).append(true).open(&log).map_err(file("open", &log))?;
        let errors = output.try_clone().map_err(file("open", &log))?;
        let mut command = Command::new(binaries.folder.join(program));
        command.current_dir("/").stdin(Stdio::null()).stdout(output).stderr(errors);
        // The child must not be steered by the settings of somebody's own Postgres.
        for name in ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGOPTIONS"] {
            command.env_remove(name);
        }
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        Ok(command)
    }
}

/// Makes the cluster unless it is there. A half-made one of an interrupted start is made anew.
pub(super) fn make(place: &Place, binaries: &Binaries, pid_file: PathBuf) -> Result<()> {
    let cluster = place.cluster();
    if cluster.join("PG_VERSION").exists() {
        return Ok(());
    }
    let unfinished = place.base.join("cluster.unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(file("remove", &unfinished))?;
    }
    let mut command = place.command(binaries, "initdb")?;
    // The socket lies in a folder that only its owner enters, so the socket itself trusts.
    command
        .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"])
        // Its own sync goes file by file, a thousand of them; one of the whole file system follows below.
        .args(["--no-sync", "-D"])
        .arg(&unfinished);
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = OwnedChild::start(&mut command, Signal::Interrupt, pid_file)?;
    let status = child.wait().map_err(|source| StoresError::Run { program: program.clone(), source })?;
    if !status.success() {
        return Err(StoresError::Failed {
            program,
            said: format!("{status}; see `{}`", place.log().display()),
        });
    }
    sync(&unfinished)?;
    fs::rename(&unfinished, &cluster).map_err(file("finish", &cluster))
}

/// Puts what lies in `folder` on disk: its whole file system, or all of them where `sync` knows no `-f`.
fn sync(folder: &Path) -> Result<()> {
    let run = |command: &mut Command| {
        let status = command.stdin(Stdio::null()).stderr(Stdio::null()).status();
        status.map_err(|source| StoresError::Run { program: "sync".to_owned(), source })
    };
    if run(Command::new("sync").arg("-f").arg(folder))?.success() {
        return Ok(());
    }
    let status = run(&mut Command::new("sync"))?;
    if status.success() {
        Ok(())
    } else {
        Err(StoresError::Failed { program: "sync".to_owned(), said: status.to_string() })
    }
}

/// Starts the server on the cluster.
pub(super) fn start(place: &Place, binaries: &Binaries, pid_file: PathBuf) -> Result<OwnedChild> {
    let mut command = place.command(binaries, "postgres")?;
    command.arg("-D").arg(place.cluster());
    // WHY NOT: a loopback port. Any user of the machine could connect, and it could be taken when we come
    // back.
    let socket = place.socket().to_string_lossy().replace('"', "\"\"");
    let settings = [
        "listen_addresses=".to_owned(),
        "port=5432".to_owned(),
        format!("unix_socket_directories=\"{socket}\""),
        "fsync=on".to_owned(),
        "shared_buffers=16MB".to_owned(),
        "max_connections=40".to_owned(),
        "max_wal_size=128MB".to_owned(),
        "jit=off".to_owned(),
        "logging_collector=off".to_owned(),
        "log_min_messages=warning".to_owned(),
    ];
    for setting in settings {
        command.arg("-c").arg(setting);
    }
    OwnedChild::start(&mut command, Signal::Interrupt, pid_file)
}

/// The process that a cluster's lock file names, if the file is there.
pub(super) fn locked_by(cluster: &Path) -> Option<u32> {
    let lock = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
    lock.lines().next()?.trim().parse().ok()
}

/// Ends a server of an earlier run that still works in `cluster`; removes its lock when the number belongs to
/// somebody else by now (Postgres would refuse to start). A lock of a process that is gone is left to
/// Postgres.
pub(super) fn end_stale(cluster: &Path) -> Result<()> {
    let Some(pid) = locked_by(cluster) else { return Ok(()) };
    let Some(known) = process::identity(pid) else { return Ok(()) };
    if process::works_in(pid, cluster) {
        return process::end_stranger(pid, &known, Signal::Interrupt);
    }
    let lock = cluster.join("postmaster.pid");
    fs::remove_file(&lock).map_err(file("remove", &lock))
}

/// The user that Postgres runs as when we are root.
fn unprivileged() -> (u32, u32) {
    let id = |flag: &str| output_of(Path::new("id"), &[flag, "postgres"]).and_then(|said| said.parse().ok());
    match (id("-u"), id("-g")) {
        (Some(uid), Some(gid)) => (uid, gid),
        _ => (65534, 65534),
    }
}

/// Whether every folder on the way lets any user pass.
fn can_pass(path: &Path) -> bool {
    path.ancestors()
        .all(|folder| fs::metadata(folder).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0))
}

/// The place for the cluster of a data folder that only root can reach.
pub(super) fn outside(data: &Path) -> PathBuf {
    PathBuf::from(format!("/var/lib/holdfast-{:016x}", hash(data)))
}

/// FNV-1a of a path: a short name that stays the same from run to run.
fn hash(path: &Path) -> u64 {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
