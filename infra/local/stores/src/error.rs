//! What can go wrong while the embedded stores start or stop. Must never carry a password or a whole URL.

use std::{io, path::PathBuf};

/// A store could not be started, used or stopped. The text says what to do next where there is something to
/// do.
#[derive(Debug, thiserror::Error)]
pub enum StoresError {
    /// A file or folder of the data folder could not be read or written.
    #[error("cannot {doing} `{path}`", path = .path.display())]
    File {
        /// What was tried, as a verb phrase.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the machine said.
        #[source]
        source: io::Error,
    },
    /// Another process has the data folder open.
    #[error(
        "`{path}` is in use by another process: stop that one, or choose another folder",
        path = .path.display()
    )]
    InUse {
        /// The data folder.
        path: PathBuf,
    },
    /// The folder holds files, and nothing says that they are ours.
    #[error(
        "`{path}` holds files but is no data folder of ours: choose an empty or new folder",
        path = .path.display()
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
    /// A program could not be run at all.
    #[error("cannot run `{program}`")]
    Run {
        /// The program.
        program: String,
        /// What the machine said.
        #[source]
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("`{program}` failed: {said}")]
    Failed {
        /// The program.
        program: String,
        /// Its exit status, or the end of what it printed.
        said: String,
    },
    /// A program did not answer in time.
    #[error("`{program}` did not answer within {seconds} s; see `{log}`", log = .log.display())]
    Silent {
        /// The program.
        program: String,
        /// How long we waited, in seconds.
        seconds: u64,
        /// Its log file.
        log: PathBuf,
    },
    /// A process of an earlier run is still there and does not end.
    #[error("process {pid} of an earlier run does not end: end it by hand, then start again")]
    Stale {
        /// The process.
        pid: u32,
    },
    /// A loopback port could not be taken.
    #[error("cannot listen on 127.0.0.1:{port}")]
    Listen {
        /// The port asked for; 0 is any.
        port: u16,
        /// What the machine said.
        #[source]
        source: io::Error,
    },
    /// A thread for a server could not be started.
    #[error("cannot start the `{server}` server")]
    Thread {
        /// The server.
        server: &'static str,
        /// What the machine said.
        #[source]
        source: io::Error,
    },
    /// The stand-in's log is damaged before its last record.
    #[error(
        "`{path}` is damaged at byte {at}: start with an empty folder, then halt and arm again",
        path = .path.display()
    )]
    Damaged {
        /// The log.
        path: PathBuf,
        /// Where the first bad record begins.
        at: usize,
    },
    /// No Postgres can be had on this machine.
    #[error("no Postgres here: {wanted}")]
    NoPostgres {
        /// Why, and the one command to run.
        wanted: String,
    },
    /// The embedded Postgres refused to start or stop.
    #[error("cannot {doing} the embedded Postgres")]
    EmbeddedPostgres {
        /// What was tried, as a verb.
        doing: &'static str,
        /// What it said.
        #[source]
        source: oliphaunt::Error,
    },
    /// Postgres refused a connection or a statement.
    #[error("Postgres did not {doing}")]
    Postgres {
        /// What was tried, as a verb phrase.
        doing: &'static str,
        /// What the client said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A database name that we do not quote.
    #[error("`{name}` is no database name of ours: lower-case letters, digits and `_`, at most 63")]
    DatabaseName {
        /// The name.
        name: String,
    },
    /// The DynamoDB server could not open its file.
    #[error("cannot open the tables in `{path}`", path = .path.display())]
    Tables {
        /// The SQLite file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: dynoxide::DynoxideError,
    },
    /// DynamoDB refused to create or describe a table.
    #[error("DynamoDB did not {doing} `{table}`")]
    Table {
        /// What was tried, as a verb.
        doing: &'static str,
        /// The table.
        table: String,
        /// What it said.
        #[source]
        source: Box<aws_sdk_dynamodb::Error>,
    },
    /// The parameter file is not what we wrote.
    #[error("`{path}` is not a parameter file of ours", path = .path.display())]
    Parameters {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A blocking part of a start was cancelled, which only happens while the program ends.
    #[error("the start was cancelled")]
    Cancelled(#[source] tokio::task::JoinError),
}

/// Short for results of this crate.
pub type Result<T> = std::result::Result<T, StoresError>;

/// Turns an I/O error into one that names what was tried and where.
pub(crate) fn file(doing: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> StoresError {
    let path = path.to_owned();
    move |source| StoresError::File { doing, path, source }
}
