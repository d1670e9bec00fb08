//! The tables of a simulated world: the embedded store in memory, asked in the same thread. Must never change
//! a request.
use dynoxide::Database;
use serde::{Serialize, de::DeserializeOwned};

/// One store, empty but for the four tables.
pub fn fresh() -> Database {
    Database::memory().expect("a store in memory")
}

/// Runs one request; status and JSON text, as the store would send them.
pub fn ask(db: &Database, operation: &str, body: &str) -> (u16, String) {
    let done = match operation {
        "CreateTable" => run(body, |request| db.create_table(request)),
        "UpdateTimeToLive" => run(body, |request| db.update_time_to_live(request)),
        "DescribeTimeToLive" => run(body, |request| db.describe_time_to_live(request)),
        "GetItem" => run(body, |request| db.get_item(request)),
        "PutItem" => run(body, |request| db.put_item(request)),
        "UpdateItem" => run(body, |request| db.update_item(request)),
        "DeleteItem" => run(body, |request| db.delete_item(request)),
        "Query" => run(body, |request| db.query(request)),
        "Scan" => run(body, |request| db.scan(request)),
        "BatchGetItem" => run(body, |request| db.batch_get_item(request)),
        "BatchWriteItem" => run(body, |request| db.batch_write_item(request)),
        "TransactWriteItems" => run(body, |request| db.transact_write_items(request)),
        other => panic!("the product never asks for {other}"),
    };
    done.unwrap_or_else(|error| (error.status_code(), error.to_json()))
}

fn run<Q: DeserializeOwned, A: Serialize>(
    body: &str,
    ask: impl FnOnce(Q) -> dynoxide::Result<A>,
) -> dynoxide::Result<(u16, String)> {
    let request = serde_json::from_str(body).expect("a request that the store can read");
    let answer = ask(request)?;
    Ok((200, serde_json::to_string(&answer).expect("JSON")))
}

/// Would it change a row?
pub fn is_write(operation: &str) -> bool {
    matches!(operation, "PutItem" | "UpdateItem" | "DeleteItem" | "TransactWriteItems" | "BatchWriteItem")
}
