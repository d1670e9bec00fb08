//! Halting, re-arming and re-asserting the flags, each on a connection of its own. Must never report more
//! than it knows.
use crate::keys::{self, Scope};
use crate::switch::{Switch, Timeouts, cmd};
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisResult, Value};
use std::time::Duration;

/// How a halt went in the flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagHalt {
    /// The stop is in the primary and in as many replicas as were asked for.
    Confirmed {
        /// Replicas that acknowledged.
        acks: u32,
    },
    /// The stop is in the primary; too few replicas acknowledged it in time.
    TooFewAcks {
        /// Replicas that acknowledged.
        acks: u32,
    },
    /// No confirmation. It may or may not have arrived.
    Failed,
}

/// How a re-arm of the flags went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rearm {
    /// The flags are released.
    Done,
    /// Somebody pressed HALT after the page was read; nothing was changed.
    PressedAgain,
    /// No confirmation.
    Failed,
}

/// How a sweep's re-assertion of one flag went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reassert {
    /// The flag exists now.
    Asserted,
    /// Somebody changed the scope's press counter meanwhile; look again at the next sweep.
    Raced,
    /// The store did not answer or refused.
    Failed,
}

impl Switch {
    /// Halts a scope. One pipeline without `MULTI`: a full Redis refuses `SET`, and `MULTI` would then undo
    /// the `DEL` that takes the permission away. `WAIT` is sent apart, on the same connection, or it would
    /// not block.
    ///
    /// `token` is fresh per press. `try_timeout` bounds the try; `replicas` acknowledgements are waited for.
    pub async fn halt(
        &self,
        scope: &Scope<'_>,
        token: &str,
        replicas: u32,
        try_timeout: Duration,
    ) -> FlagHalt {
        let Ok(mut connection) = self.own(try_timeout).await else {
            return FlagHalt::Failed;
        };
        let mut pipe = redis::pipe();
        if *scope == Scope::Global {
            pipe.cmd("DEL").arg(keys::ARMED);
        }
        pipe.cmd("SET").arg(keys::halted(scope)).arg("1");
        // The press counter goes before it comes anew: a full store refuses the `SET`, and a resume on a page
        // from before this press must not find the counter that it saw.
        pipe.cmd("DEL").arg(keys::halt_seq(scope));
        pipe.cmd("SET").arg(keys::halt_seq(scope)).arg(token);
        let Ok(answers) = each(&pipe, &mut connection).await else {
            return FlagHalt::Failed;
        };
        // One accepted command is a stop: the flag set, or the arming key gone. The press counter alone is
        // none.
        let stops = answers.len().saturating_sub(2);
        if !answers.iter().take(stops).any(Result::is_ok) {
            return FlagHalt::Failed;
        }
        if replicas == 0 {
            return FlagHalt::Confirmed { acks: 0 };
        }
        let mut wait = cmd("WAIT");
        wait.arg(replicas).arg(1_500);
        let acks: u32 = wait.query_async(&mut connection).await.unwrap_or(0);
        if acks >= replicas { FlagHalt::Confirmed { acks } } else { FlagHalt::TooFewAcks { acks } }
    }

    /// Releases a scope, if its press counter still is `seq_shown`. Global: also arms `next_epoch` and sets
    /// again the flags of `halted_customers`. `mark` (`rearm:<ms>`) goes into the press counter, so that a
    /// sweep leaves it alone.
    pub async fn rearm(
        &self,
        scope: &Scope<'_>,
        seq_shown: &str,
        next_epoch: u64,
        halted_customers: &[String],
        mark: &str,
        try_timeout: Duration,
    ) -> Rearm {
        let Ok(mut connection) = self.own(try_timeout).await else {
            return Rearm::Failed;
        };
        let seq_key = keys::halt_seq(scope);
        let Ok(seq) = watch(&mut connection, &seq_key).await else {
            return Rearm::Failed;
        };
        if seq != seq_shown {
            return Rearm::PressedAgain;
        }
        let mut commands = vec![with(cmd("DEL"), &[&keys::halted(scope)])];
        if *scope == Scope::Global {
            commands.push(with(cmd("SET"), &[keys::ARMED, &next_epoch.to_string()]));
        }
        commands.push(with(cmd("SET"), &[&seq_key, mark]));
        for id in halted_customers {
            commands.push(with(cmd("SET"), &[&keys::halted(&Scope::Customer(id)), "1"]));
        }
        match transaction(&mut connection, commands).await {
            Ok(true) => Rearm::Done,
            Ok(false) => Rearm::PressedAgain,
            Err(_) => Rearm::Failed,
        }
    }

    /// Reads the press counter under `WATCH` and hands over the connection, for a sweep that must read the
    /// ledger between. `None` when the store does not answer.
    pub async fn watch(&self, scope: &Scope<'_>, try_timeout: Duration) -> Option<Watched> {
        let mut connection = self.own(try_timeout).await.ok()?;
        let seq = watch(&mut connection, &keys::halt_seq(scope)).await.ok()?;
        Some(Watched { connection, seq })
    }

    async fn own(&self, try_timeout: Duration) -> RedisResult<MultiplexedConnection> {
        self.connect(Timeouts { connect: try_timeout, response: try_timeout }).await
    }
}

/// A connection that watches one press counter.
pub struct Watched {
    connection: MultiplexedConnection,
    seq: String,
}

impl Watched {
    /// The press counter's value when the watch began; empty when there is none.
    #[must_use]
    pub fn seq(&self) -> &str {
        &self.seq
    }

    /// Sets the scope's flag if it is absent, unless the press counter changed since.
    pub async fn assert_halted(mut self, scope: &Scope<'_>) -> Reassert {
        let commands = vec![with(cmd("SETNX"), &[&keys::halted(scope), "1"])];
        match transaction(&mut self.connection, commands).await {
            Ok(true) => Reassert::Asserted,
            Ok(false) => Reassert::Raced,
            Err(_) => Reassert::Failed,
        }
    }
}

fn with(mut command: redis::Cmd, arguments: &[&str]) -> redis::Cmd {
    for argument in arguments {
        command.arg(*argument);
    }
    command
}

async fn watch(connection: &mut MultiplexedConnection, key: &str) -> RedisResult<String> {
    cmd("WATCH").arg(key).query_async::<()>(connection).await?;
    let seq: Option<Vec<u8>> = cmd("GET").arg(key).query_async(connection).await?;
    Ok(String::from_utf8_lossy(&seq.unwrap_or_default()).into_owned())
}

/// The answers of a pipeline, command by command, errors included.
async fn each(
    pipe: &Pipeline,
    connection: &mut MultiplexedConnection,
) -> RedisResult<Vec<RedisResult<Value>>> {
    let mut pipe = pipe.clone();
    pipe.ignore_errors();
    pipe.query_async(connection).await
}

/// `MULTI` .. `EXEC` in one round trip. True when it was executed whole, false when a watched key had
/// changed.
///
/// WHY NOT the client's own transaction: its debug build panics when a server answers `MULTI` with an error.
async fn transaction(connection: &mut MultiplexedConnection, commands: Vec<redis::Cmd>) -> RedisResult<bool> {
    let mut pipe = redis::pipe();
    pipe.cmd("MULTI");
    for command in commands {
        pipe.add_command(command);
    }
    pipe.cmd("EXEC");
    let mut answers = each(&pipe, connection).await?;
    match answers.pop() {
        Some(Ok(Value::Nil)) => Ok(false),
        Some(Ok(Value::Array(results))) if !results.iter().any(|r| matches!(r, Value::ServerError(_))) => {
            Ok(true)
        }
        Some(Ok(_)) | None => Err((redis::ErrorKind::Parse, "EXEC refused a part").into()),
        Some(Err(error)) => Err(error),
    }
}
