//! The embedded stores of the local run and of the tests: Redis, Postgres, DynamoDB and the parameter store,
//! each behind its real wire protocol. Must never be linked into a function: what AWS runs is given its
//! stores by URL.

mod background;
mod data_dir;
pub mod dynamo;
mod error;
pub mod postgres;
mod process;
pub mod redis;
pub mod ssm;
mod stack;

pub use data_dir::DataDir;
pub use dynamo::LocalDynamo;
pub use error::{Result, StoresError};
pub use postgres::{LocalPostgres, PostgresKind};
pub use redis::{LocalRedis, RedisKind};
pub use ssm::LocalSsm;
pub use stack::{Stack, StackOptions};
