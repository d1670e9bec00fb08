//! Connections, one per role, opened when needed. Must never run a statement under a role with more rights.
use crate::error::{Error, Fault};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::{Mutex, OnceCell};
use tokio_postgres::{Client, Config, NoTls, Row, Statement, config::Host, config::SslMode, types::ToSql};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Under whose rights a statement runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Who the address names; migrations only.
    Owner,
    /// May append.
    Writer,
    /// May read.
    Reader,
    /// May erase a subject.
    Eraser,
    /// May take out what is too old.
    Retainer,
    /// May say what she expected.
    Judge,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Writer => "writer",
            Self::Reader => "reader",
            Self::Eraser => "eraser",
            Self::Retainer => "retainer",
            Self::Judge => "judge",
        }
    }
}

/// One live connection.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) append: OnceCell<Statement>,
}

/// The audit log in Postgres. Cheap to share; every method takes `&self`.
pub struct AuditLog {
    config: Config,
    sessions: Mutex<BTreeMap<Role, Arc<Session>>>,
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuditLog")
    }
}

impl AuditLog {
    /// Reads the address and sees that the database answers.
    ///
    /// # Errors
    /// [`Error::Address`], [`Error::Unencrypted`], [`Error::Connect`].
    pub async fn connect(database_url: &str) -> Result<Self, Error> {
        let log = Self::lazy(database_url)?;
        log.session(Role::Owner).await?;
        Ok(log)
    }

    /// The same without asking the database: a function starts although Postgres is away, and its calls then
    /// fail.
    ///
    /// # Errors
    /// [`Error::Address`], [`Error::Unencrypted`].
    pub fn lazy(database_url: &str) -> Result<Self, Error> {
        let mut config: Config = database_url.parse().map_err(|error| Error::Address(Fault::from(error)))?;
        config.connect_timeout(CONNECT_TIMEOUT).application_name("holdfast-audit");
        // FAIL-CLOSED: personal data crosses a network in the clear only where the operator wrote so.
        if config.get_ssl_mode() != SslMode::Disable && !config.get_hosts().iter().all(on_this_machine) {
            return Err(Error::Unencrypted);
        }
        Ok(Self { config, sessions: Mutex::default() })
    }

    /// The live connection of this role, opened anew if the last one is gone.
    pub(crate) async fn session(&self, role: Role) -> Result<Arc<Session>, Error> {
        let mut sessions = self.sessions.lock().await;
        if let Some(session) = sessions.get(&role).filter(|session| !session.client.is_closed()) {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(Session { client: self.dial(role).await?, append: OnceCell::new() });
        sessions.insert(role, Arc::clone(&session));
        Ok(session)
    }

    /// Opens a connection. This is the one place that would hand over a TLS connector instead of [`NoTls`].
    async fn dial(&self, role: Role) -> Result<Client, Error> {
        let (client, connection) =
            self.config.connect(NoTls).await.map_err(|error| Error::Connect(error.into()))?;
        #[expect(
            clippy::disallowed_methods,
            reason = "moves bytes for a waiting caller; frozen, it holds nothing"
        )]
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(error = %Fault::from(error), "the connection to the audit database ended");
            }
        });
        if role != Role::Owner {
            client
                .query_one("SELECT set_config('role', audit.role_name($1), false)", &[&role.name()])
                .await
                .map_err(|error| Error::TakeRole { role: role.name(), source: error.into() })?;
        }
        Ok(client)
    }

    /// Runs a read, once more on a new connection if the old one turned out to be dead.
    pub(crate) async fn read(
        &self,
        what: &'static str,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let session = self.session(Role::Reader).await?;
        let answer = session.client.query(sql, params).await.map_err(Fault::from);
        let answer = match answer {
            Err(fault) if self.forget_dead(Role::Reader, &session, &fault).await => {
                let again = self.session(Role::Reader).await?;
                again.client.query(sql, params).await.map_err(Fault::from)
            }
            answer => answer,
        };
        answer.map_err(|source| Error::Read { what, source })
    }

    /// After a fault of the connection itself the next call opens a new one. Says whether it was one.
    pub(crate) async fn forget_dead(&self, role: Role, dead: &Arc<Session>, fault: &Fault) -> bool {
        if !fault.is_about_the_connection() {
            return false;
        }
        let mut sessions = self.sessions.lock().await;
        if sessions.get(&role).is_some_and(|session| Arc::ptr_eq(session, dead)) {
            sessions.remove(&role);
        }
        true
    }
}

fn on_this_machine(host: &Host) -> bool {
    match host {
        #[cfg(unix)]
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_readable_line_off_the_machine_must_be_asked_for() {
        for local in
            ["postgres://u@localhost/d", "postgres://u@127.0.0.1/d", "host=/run/pg user=u", "host=::1 user=u"]
        {
            assert!(AuditLog::lazy(local).is_ok(), "{local}");
        }
        for remote in [
            "postgres://u@db.example/d",
            "postgres://u@10.0.0.4/d",
            "postgres://u@db.example/d?sslmode=require",
        ] {
            assert!(matches!(AuditLog::lazy(remote), Err(Error::Unencrypted)), "{remote}");
        }
        assert!(AuditLog::lazy("postgres://u@10.0.0.4/d?sslmode=disable").is_ok());
    }

    #[test]
    fn a_bad_address_is_not_repeated() {
        let error = AuditLog::lazy("postgres://u:hunter2@localhost:x/d").unwrap_err();
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }
}
