//! All stores at once. Must never start a store beside one that was given.

use crate::{
    data_dir::DataDir, dynamo, dynamo::LocalDynamo, error::Result, postgres, postgres::LocalPostgres, redis,
    redis::LocalRedis, ssm, ssm::LocalSsm,
};

/// What is given from outside, and which ports to take. The default starts everything on any free port.
#[derive(Clone, Default)]
pub struct StackOptions {
    /// `REDIS_URL`.
    pub redis_url: Option<String>,
    /// `DATABASE_URL`.
    pub database_url: Option<String>,
    /// `AWS_ENDPOINT_URL_DYNAMODB`.
    pub dynamo_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_SSM`.
    pub ssm_endpoint: Option<String>,
    /// Loopback port for Redis; 0 is any.
    pub redis_port: u16,
    /// Loopback port for DynamoDB; 0 is any.
    pub dynamo_port: u16,
    /// Loopback port for the parameter store; 0 is any.
    pub ssm_port: u16,
    /// Whether rows of DynamoDB end by their `expires_at`.
    pub expiry: dynamo::Expiry,
}

/// Every store, running. Share it by reference: one for all tests of a process, each with its own table
/// prefix and database. Ends on drop; if the process ends without a drop, however hard, the children end with
/// it.
#[derive(Debug)]
pub struct Stack {
    /// The flags.
    pub redis: LocalRedis,
    /// The audit log.
    pub postgres: LocalPostgres,
    /// The tables.
    pub dynamo: LocalDynamo,
    /// The parameters.
    pub ssm: LocalSsm,
    // Last, so that the folder stays locked until everything in it has ended.
    data: DataDir,
}

impl Stack {
    /// Starts all stores in parallel and tells `log` one line for each as it is there.
    ///
    /// # Errors
    /// The first store that does not start; the others are ended again.
    pub async fn start(
        data: DataDir,
        options: StackOptions,
        log: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Self> {
        let redis = async {
            let started = match options.redis_url {
                Some(url) => redis::given(url),
                None => redis::start(&data, options.redis_port).await?,
            };
            log(&started.describe());
            Ok(started)
        };
        let postgres = async {
            let started = postgres::start(&data, options.database_url).await?;
            log(&started.describe());
            Ok(started)
        };
        let dynamo = async {
            let started = match options.dynamo_endpoint {
                Some(endpoint) => dynamo::given(endpoint),
                None => dynamo::start(&data, options.dynamo_port, options.expiry).await?,
            };
            log(&started.describe());
            Ok(started)
        };
        let ssm = async {
            let started = match options.ssm_endpoint {
                Some(endpoint) => ssm::given(endpoint),
                None => ssm::start(&data, options.ssm_port)?,
            };
            log(&started.describe());
            Ok(started)
        };
        let (redis, postgres, dynamo, ssm) = tokio::try_join!(redis, postgres, dynamo, ssm)?;
        Ok(Self { redis, postgres, dynamo, ssm, data })
    }

    /// The data folder.
    #[must_use]
    pub const fn data(&self) -> &DataDir {
        &self.data
    }

    /// Ends all stores in parallel and gives the folder back. Returns once every child is gone.
    ///
    /// # Errors
    /// A store did not end cleanly; the others have ended.
    pub async fn shutdown(self) -> Result<()> {
        let Self { redis, postgres, dynamo, ssm, data } = self;
        let ((), ended, (), ()) =
            tokio::join!(redis.shutdown(), postgres.shutdown(), dynamo.shutdown(), ssm.shutdown());
        drop(data);
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::tests::scratch;
    use std::sync::Mutex;

    #[tokio::test]
    async fn all_start_at_once_say_so_and_give_the_folder_back() {
        const fn shareable<T: Send + Sync>() {}
        shareable::<Stack>();
        let path = scratch("stack");
        let said = Mutex::new(Vec::new());
        let log = |line: &str| said.lock().unwrap().push(line.to_owned());
        let stack = Stack::start(DataDir::open(&path).unwrap(), StackOptions::default(), &log).await.unwrap();
        assert!(DataDir::open(&path).is_err());
        stack.shutdown().await.unwrap();
        DataDir::open(&path).unwrap();
        let mut stores: Vec<_> =
            said.lock().unwrap().iter().map(|line| line.split(':').next().unwrap().to_owned()).collect();
        stores.sort();
        assert_eq!(stores, ["dynamodb", "postgres", "redis", "ssm"]);
    }

    #[tokio::test]
    async fn given_stores_are_used_and_nothing_is_started() {
        let path = scratch("given");
        let options = StackOptions {
            redis_url: Some("redis://:secret@flags:6379/".to_owned()),
            database_url: Some("postgres://u:secret@db/app".to_owned()),
            dynamo_endpoint: Some("http://127.0.0.1:1".to_owned()),
            ssm_endpoint: Some("http://127.0.0.1:2".to_owned()),
            ..StackOptions::default()
        };
        let said = Mutex::new(String::new());
        let log = |line: &str| said.lock().unwrap().push_str(line);
        let stack = Stack::start(DataDir::open(&path).unwrap(), options, &log).await.unwrap();
        assert_eq!(stack.redis.url(), "redis://:secret@flags:6379/");
        assert!(!said.lock().unwrap().contains("secret"));
        assert!(!format!("{stack:?}").contains("secret"));
        for name in ["redis", "postgres", "dynamo", "parameters.json"] {
            assert!(!path.join(name).exists(), "{name}");
        }
    }
}
