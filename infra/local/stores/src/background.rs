//! One thread with a runtime of its own for each server we answer ourselves. Must never run on the caller's
//! runtime: a test's runtime ends with the test, and a file sync of one store must not delay another.

use crate::error::{Result, StoresError};
use std::{future::Future, net::TcpListener, thread::JoinHandle, time::Duration};
use tokio::sync::watch;

/// How long requests under way may finish after the stop.
const GRACE: Duration = Duration::from_secs(1);

/// Resolves when the server shall stop, or when its owner is gone.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Waits for the stop.
    pub(crate) async fn stopped(mut self) {
        // An error means that the owner is gone, which is a stop too.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// A running server. Ends on drop.
#[derive(Debug)]
pub(crate) struct Background {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Runs `serve` on a thread of its own until it returns or is stopped.
    pub(crate) fn start<F, Fut>(server: &'static str, serve: F) -> Result<Self>
    where
        F: FnOnce(Stop) -> Fut + Send + 'static,
        Fut: Future<Output = ()>,
    {
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| StoresError::Thread { server, source })?;
        let run = move || {
            runtime.block_on(async move {
                let late = Stop(stopped.clone());
                tokio::select! {
                    () = serve(Stop(stopped)) => {}
                    () = async { late.stopped().await; tokio::time::sleep(GRACE).await } => {}
                }
            });
        };
        let thread = std::thread::Builder::new()
            .name(server.to_owned())
            .spawn(run)
            .map_err(|source| StoresError::Thread { server, source })?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Stops the server and waits until its thread has ended (at most about a second). Blocks.
    pub(crate) fn end(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a local server ended in a panic");
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.end();
    }
}

/// Takes a loopback port; 0 is any free one. Returns the listener, ready for a runtime, and its port.
pub(crate) fn listen(port: u16) -> Result<(TcpListener, u16)> {
    let take = || {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        Ok((listener, port))
    };
    take().map_err(|source| StoresError::Listen { port, source })
}
