//! The DynamoDB of a local run: an emulator over one SQLite file, on loopback, and the four tables. Must
//! never be written to but through the same HTTP interface that AWS has.

use crate::{
    background::{Background, listen},
    data_dir::DataDir,
    error::{Result, StoresError},
};
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig},
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
        ProjectionType, ScalarAttributeType, StreamSpecification, StreamViewType, TimeToLiveSpecification,
    },
};
use dynoxide::Database;
use std::{sync::mpsc, time::Duration};

/// How often rows past their time are removed. AWS promises days; a minute keeps a long local run small.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// A running DynamoDB. Ends on drop.
pub struct LocalDynamo {
    endpoint: String,
    tables: Option<Tables>,
}

/// The parts that are ours when nothing was given. Fields drop in order: no request, no sweep, then the file.
struct Tables {
    _server: Background,
    _sweeper: Option<Sweeper>,
    database: Database,
}

impl std::fmt::Debug for LocalDynamo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalDynamo").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Whether rows end by their `expires_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expiry {
    /// By this machine's clock, as in AWS.
    #[default]
    ByTheClock,
    /// Never: for tests whose own clock stands at a day of the past.
    Never,
}

/// Starts DynamoDB on a loopback port (0: any free one), its rows in `dynamo/tables.sqlite` of the data
/// folder.
///
/// # Errors
/// The port is taken, or the file cannot be opened.
pub async fn start(data: &DataDir, port: u16, expiry: Expiry) -> Result<LocalDynamo> {
    let path = data.folder("dynamo")?.join("tables.sqlite");
    let open = move || {
        let database = Database::new(&path.to_string_lossy());
        // SQLite's `synchronous = NORMAL`: a killed process loses nothing. A power cut can lose the last
        // writes, and then the flags, which are on disk before they answer, are of another epoch: closed
        // until a person looks.
        let opened = database.and_then(|database| database.disable_bulk_loading().map(|()| database));
        opened.map_err(|source| StoresError::Tables { path, source })
    };
    let database = tokio::task::spawn_blocking(open).await.map_err(StoresError::Cancelled)??;
    let (listener, port) = listen(port)?;
    let served = database.clone();
    let server = Background::start("dynamodb", move |stop| async move {
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(problem) => return tracing::error!(%problem, "the local DynamoDB cannot listen"),
        };
        if let Err(problem) = dynoxide::server::serve_with_shutdown(listener, served, stop.stopped()).await {
            tracing::error!(problem, "the local DynamoDB has ended");
        }
    })?;
    let sweeper = match expiry {
        Expiry::ByTheClock => Some(Sweeper::start(database.clone())?),
        Expiry::Never => None,
    };
    let tables = Tables { _server: server, _sweeper: sweeper, database };
    Ok(LocalDynamo { endpoint: format!("http://127.0.0.1:{port}"), tables: Some(tables) })
}

/// Uses a DynamoDB that runs already.
#[must_use]
pub const fn given(endpoint: String) -> LocalDynamo {
    LocalDynamo { endpoint, tables: None }
}

impl LocalDynamo {
    /// Where it answers.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// One line for a person.
    #[must_use]
    pub fn describe(&self) -> String {
        match self.tables {
            Some(_) => format!("dynamodb: embedded, {}", self.endpoint),
            None => format!("dynamodb: {} (given)", self.endpoint),
        }
    }

    /// Removes the rows past their time now, as the minute's sweep does. Blocks. Returns how many there were;
    /// 0 when the server was given.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn sweep_expired(&self) -> Result<usize> {
        let Some(tables) = &self.tables else { return Ok(0) };
        tables
            .database
            .sweep_ttl()
            .map_err(|source| StoresError::Tables { path: "tables.sqlite".into(), source })
    }

    /// Ends it and waits until its file is closed.
    pub async fn shutdown(self) {
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

/// Removes rows past their time, on a thread of its own: a sweep blocks between its pages.
struct Sweeper {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Sweeper {
    fn start(database: Database) -> Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let run = move || {
            while stopped.recv_timeout(SWEEP_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                if let Err(problem) = database.sweep_ttl() {
                    tracing::warn!(%problem, "rows past their time were not removed");
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("dynamodb sweep".to_owned())
            .spawn(run)
            .map_err(|source| StoresError::Thread { server: "dynamodb sweep", source })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A client for a local endpoint: fixed credentials that open nothing, no environment, no retries, short
/// deadlines.
#[must_use]
pub fn client(endpoint: &str) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(10))
        .operation_timeout(Duration::from_secs(10))
        .build();
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("local", "local", None, None, "local"))
        // Loopback speaks plain HTTP, so no root certificates are read from the machine.
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .build();
    Client::from_conf(config)
}

/// Creates the four tables `<prefix>control`, `<prefix>budget`, `<prefix>runs` and `<prefix>outbox`; those
/// that are there stay as they are.
///
/// # Errors
/// DynamoDB refused.
pub async fn create_tables(client: &Client, prefix: &str) -> Result<()> {
    let (string, number) = (ScalarAttributeType::S, ScalarAttributeType::N);
    let pk: Keys<'_> = &[("pk", &string)];
    for name in ["control", "budget"] {
        create(client, &format!("{prefix}{name}"), Shape { keys: pk, index: None, stream: None }).await?;
    }
    let runs = format!("{prefix}runs");
    let index = Some(("queue", [("queue", &string), ("at", &number)]));
    create(client, &runs, Shape { keys: &[("pk", &string), ("sk", &string)], index, stream: None }).await?;
    expire(client, &runs).await?;
    let index = Some(("unacknowledged", [("unack", &string), ("at", &number)]));
    let outbox = Shape { keys: pk, index, stream: Some(StreamViewType::NewImage) };
    create(client, &format!("{prefix}outbox"), outbox).await
}

type Key<'a> = (&'a str, &'a ScalarAttributeType);
type Keys<'a> = &'a [Key<'a>];

/// What sets one table apart from another.
struct Shape<'a> {
    keys: Keys<'a>,
    index: Option<(&'a str, [Key<'a>; 2])>,
    stream: Option<StreamViewType>,
}

async fn create(client: &Client, table: &str, shape: Shape<'_>) -> Result<()> {
    let mut request = client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(schema(shape.keys, table)?));
    for (name, kind) in shape.keys.iter().chain(shape.index.iter().flat_map(|(_, keys)| keys)) {
        let attribute = AttributeDefinition::builder().attribute_name(*name).attribute_type((*kind).clone());
        request = request.attribute_definitions(attribute.build().map_err(refused("describe", table))?);
    }
    if let Some((name, keys)) = &shape.index {
        // Both indexes are sparse, a row is in one only while it waits: a whole copy costs little.
        let projection = Projection::builder().projection_type(ProjectionType::All).build();
        let index = GlobalSecondaryIndex::builder()
            .index_name(*name)
            .set_key_schema(Some(schema(keys, table)?))
            .projection(projection)
            .build();
        request = request.global_secondary_indexes(index.map_err(refused("describe", table))?);
    }
    if let Some(view) = shape.stream {
        let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(view).build();
        request = request.stream_specification(stream.map_err(refused("describe", table))?);
    }
    match request.send().await {
        Ok(_) => Ok(()),
        Err(problem)
            if problem.as_service_error().is_some_and(CreateTableError::is_resource_in_use_exception) =>
        {
            Ok(())
        }
        Err(problem) => Err(refused("create", table)(problem)),
    }
}

fn schema(keys: Keys<'_>, table: &str) -> Result<Vec<KeySchemaElement>> {
    let kinds = [KeyType::Hash, KeyType::Range];
    let element = |((name, _), kind): (&Key<'_>, KeyType)| {
        KeySchemaElement::builder()
            .attribute_name(*name)
            .key_type(kind)
            .build()
            .map_err(refused("describe", table))
    };
    keys.iter().zip(kinds).map(element).collect()
}

/// Turns on the expiry of rows by `expires_at` (seconds since 1970), unless it is on.
async fn expire(client: &Client, table: &str) -> Result<()> {
    let now =
        client.describe_time_to_live().table_name(table).send().await.map_err(refused("describe", table))?;
    let named = now.time_to_live_description().and_then(|said| said.attribute_name());
    if named == Some("expires_at") {
        return Ok(());
    }
    let wanted = TimeToLiveSpecification::builder().enabled(true).attribute_name("expires_at").build();
    let wanted = wanted.map_err(refused("describe", table))?;
    let request = client.update_time_to_live().table_name(table).time_to_live_specification(wanted);
    request.send().await.map(|_| ()).map_err(refused("expire rows of", table))
}

fn refused<E: Into<aws_sdk_dynamodb::Error>>(
    doing: &'static str,
    table: &str,
) -> impl FnOnce(E) -> StoresError {
    let table = table.to_owned();
    move |source| StoresError::Table { doing, table, source: Box::new(source.into()) }
}

#[cfg(test)]
#[path = "dynamo_tests.rs"]
mod tests;
