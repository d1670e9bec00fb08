//! Real Redis servers of one test, and the two logins that an install gives to its functions. Must never
//! leave a server behind.
use crate::child;
use crate::scene::{Scene, typed};
use crate::support::not_run;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use stores::redis::RedisKind;
use stores::{DataDir, LocalRedis};

/// What the step's login may do.
pub const STEP_RULES: &str = "%R~agent:armed ~agent:halted:* -@all +mget +get +exists +ping +setnx";
/// What the login of the halt function and the console may do.
pub const HALT_RULES: &str = "~agent:* -@all +mget +get +exists +ping +setnx +set +del +wait +watch +unwatch \
                              +multi +exec +discard +info";

/// A real server of this test's own, ended with it.
pub struct RealRedis {
    pub redis: LocalRedis,
    data: DataDir,
    folder: PathBuf,
}

impl RealRedis {
    pub async fn start(test: &str) -> Option<Self> {
        let folder =
            std::env::temp_dir().join(format!("holdfast-it-redis-{}", uuid::Uuid::new_v4().simple()));
        let data = DataDir::open_fresh(&folder).expect("a folder for the server");
        let redis = stores::redis::start(&data, 0).await.expect("a server");
        let real = Self { redis, data, folder };
        if *real.redis.kind() == RedisKind::StandIn {
            not_run(test, "there is no valkey-server or redis-server on PATH");
            return None;
        }
        Some(real)
    }

    /// A product whose flags lie in this server.
    pub async fn scene(&self) -> Scene {
        let url = self.redis.url().to_owned();
        Scene::with(|settings| drop(settings.insert("REDIS_URL".to_owned(), url))).await
    }

    pub async fn typed<T: redis::FromRedisValue>(&self, command: &[&str]) -> redis::RedisResult<T> {
        typed(self.redis.url(), command).await
    }

    /// Its address for a user.
    pub fn url_of(&self, user: &str) -> String {
        self.redis.url().replace("redis://", &format!("redis://{user}:secret@"))
    }

    pub async fn user(&self, name: &str, rules: &str) {
        let rules: Vec<&str> = rules.split(' ').collect();
        let command = [&["ACL", "SETUSER", name, "reset", "on", ">secret"], rules.as_slice()].concat();
        self.typed::<()>(&command).await.expect("a user");
    }

    pub fn signal(&self, signal: &str) {
        child::signal(self.redis.process_id().expect("a child"), signal);
    }
}

impl RealRedis {
    /// Returns when nothing answers any more.
    pub async fn gone(&self) {
        until_refused(self.redis.url()).await;
    }

    /// A new server over what the last one left on disk, at an address of its own.
    pub async fn start_again(&mut self) {
        let url = self.redis.url().to_owned();
        drop(std::mem::replace(&mut self.redis, stores::redis::given(url)));
        self.redis = stores::redis::start(&self.data, 0).await.expect("a server");
    }
}

async fn until_refused(url: &str) {
    let address = url.trim_start_matches("redis://").trim_end_matches('/');
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A server in cluster mode that holds every slot.
pub struct Cluster {
    pub url: String,
    child: std::process::Child,
    folder: PathBuf,
}

impl Cluster {
    pub async fn start(test: &str) -> Option<Self> {
        let works = |name: &&str| Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok();
        let Some(program) = ["valkey-server", "redis-server"].into_iter().find(works) else {
            not_run(test, "there is no valkey-server or redis-server on PATH");
            return None;
        };
        let folder =
            std::env::temp_dir().join(format!("holdfast-it-cluster-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&folder).expect("a folder for the server");
        // Another process may take a port between the look and the start: then the server ends, and others
        // are tried.
        for _ in 0..5 {
            let (port, bus) = (free_port(), free_port());
            let mut child = Command::new(program)
                .current_dir(&folder)
                .args(["--port", &port, "--cluster-port", &bus, "--bind", "127.0.0.1", "--save", ""])
                .args(["--cluster-enabled", "yes", "--maxmemory-policy", "noeviction"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .expect("a server");
            let url = format!("redis://127.0.0.1:{port}/");
            while matches!(child.try_wait(), Ok(None)) {
                if typed::<()>(&url, &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await.is_ok() {
                    let cluster = Self { url, child, folder };
                    cluster.until_whole().await;
                    return Some(cluster);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        panic!("{program} does not start in cluster mode");
    }

    async fn until_whole(&self) {
        loop {
            let said: String = typed(&self.url, &["CLUSTER", "INFO"]).await.expect("an answer");
            if said.contains("cluster_state:ok") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port().to_string()
}

impl Drop for RealRedis {
    fn drop(&mut self) {
        if self.redis.process_id().is_some() {
            // A server that is still paused would not hear that it shall end.
            self.signal("-CONT");
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
