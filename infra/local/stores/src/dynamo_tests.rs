//! What the product asks of DynamoDB, asked of the local one over the real SDK.

use super::*;
use crate::data_dir::tests::{Scratch, scratch};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue as V, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};

fn s(text: &str) -> V {
    V::S(text.to_owned())
}

fn n(number: i64) -> V {
    V::N(number.to_string())
}

async fn started(name: &str) -> (Scratch, DataDir, LocalDynamo, Client) {
    let path = scratch(name);
    let data = DataDir::open(&path).unwrap();
    let dynamo = start(&data, 0, Expiry::ByTheClock).await.unwrap();
    let client = client(dynamo.endpoint());
    create_tables(&client, "t1-").await.unwrap();
    (path, data, dynamo, client)
}

#[tokio::test]
async fn a_refused_update_returns_the_row_it_was_refused_by() {
    let (_path, _data, dynamo, client) = started("dycond").await;
    client
        .put_item()
        .table_name("t1-control")
        .item("pk", s("control"))
        .item("epoch", n(7))
        .item("state", s("halted"))
        .send()
        .await
        .unwrap();
    let update = |epoch: i64| {
        client
            .update_item()
            .table_name("t1-control")
            .key("pk", s("control"))
            .update_expression("SET epoch = epoch + :one")
            .condition_expression("epoch = :seen")
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":seen", n(epoch))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_values(aws_sdk_dynamodb::types::ReturnValue::AllNew)
            .send()
    };
    let refused = update(6).await.unwrap_err().into_service_error();
    let aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException(said) =
        refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!(said.item().unwrap()["state"], s("halted"));
    assert_eq!(update(7).await.unwrap().attributes().unwrap()["epoch"], n(8));
    dynamo.shutdown().await;
}

#[tokio::test]
async fn a_transaction_with_one_failing_condition_writes_nothing_and_names_it() {
    let (_path, _data, _dynamo, client) = started("dytx").await;
    let put = |pk: &str| {
        Put::builder()
            .table_name("t1-budget")
            .item("pk", s(pk))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .unwrap()
    };
    let write = |parts: [&str; 2]| {
        let parts = parts.map(|pk| TransactWriteItem::builder().put(put(pk)).build());
        client.transact_write_items().set_transact_items(Some(parts.to_vec())).send()
    };
    write(["a", "b"]).await.unwrap();
    let refused = write(["c", "b"]).await.unwrap_err().into_service_error();
    let TransactWriteItemsError::TransactionCanceledException(said) = refused else { panic!("{refused:?}") };
    let codes: Vec<_> = said.cancellation_reasons().iter().map(|reason| reason.code().unwrap()).collect();
    assert_eq!(codes, ["None", "ConditionalCheckFailed"]);
    assert_eq!(said.cancellation_reasons()[1].item().unwrap()["pk"], s("b"));
    let c = client.get_item().table_name("t1-budget").key("pk", s("c")).send().await.unwrap();
    assert!(c.item().is_none());
}

#[tokio::test]
async fn the_index_holds_only_rows_that_are_not_acknowledged_in_order() {
    let (_path, _data, _dynamo, client) = started("dygsi").await;
    for (pk, at) in [("x", Some(30)), ("y", Some(10)), ("z", None)] {
        let mut put = client.put_item().table_name("t1-outbox").item("pk", s(pk)).item("body", s("b"));
        if let Some(at) = at {
            put = put.item("unack", s("1")).item("at", n(at));
        }
        put.send().await.unwrap();
    }
    let found = client
        .query()
        .table_name("t1-outbox")
        .index_name("unacknowledged")
        .key_condition_expression("unack = :one AND #at <= :now")
        .expression_attribute_names("#at", "at")
        .expression_attribute_values(":one", s("1"))
        .expression_attribute_values(":now", n(30))
        .send()
        .await
        .unwrap();
    let keys: Vec<_> = found.items().iter().map(|item| item["pk"].clone()).collect();
    assert_eq!(keys, [s("y"), s("x")]);
    assert_eq!(found.items()[0]["body"], s("b"));
    let stream = async |table: &str| {
        let table = client.describe_table().table_name(table).send().await.unwrap().table.unwrap();
        table.stream_specification.and_then(|stream| stream.stream_view_type)
    };
    assert_eq!(stream("t1-outbox").await, Some(StreamViewType::NewImage));
    assert_eq!(stream("t1-runs").await, None);
}

#[tokio::test]
async fn the_queue_of_runs_holds_only_rows_that_wait() {
    let (_path, _data, _dynamo, client) = started("dyqueue").await;
    for (pk, queue) in [("run#1", Some("parked")), ("run#2", None)] {
        let put = client.put_item().table_name("t1-runs").item("pk", s(pk)).item("sk", s("run"));
        let put = put.item("at", n(1));
        match queue {
            Some(queue) => put.item("queue", s(queue)).send().await.unwrap(),
            None => put.send().await.unwrap(),
        };
    }
    let found = client
        .query()
        .table_name("t1-runs")
        .index_name("queue")
        .key_condition_expression("queue = :q")
        .expression_attribute_values(":q", s("parked"))
        .send()
        .await
        .unwrap();
    assert_eq!(found.count(), 1);
    assert_eq!(found.items()[0]["pk"], s("run#1"));
}

#[tokio::test]
async fn tables_are_made_once_and_rows_survive_a_restart() {
    let path = scratch("dykept");
    let data = DataDir::open(&path).unwrap();
    let dynamo = start(&data, 0, Expiry::ByTheClock).await.unwrap();
    let first = client(dynamo.endpoint());
    create_tables(&first, "p-").await.unwrap();
    first.put_item().table_name("p-runs").item("pk", s("run#1")).item("sk", s("run")).send().await.unwrap();
    create_tables(&first, "p-").await.unwrap();
    dynamo.shutdown().await;
    let dynamo = start(&data, 0, Expiry::ByTheClock).await.unwrap();
    let second = client(dynamo.endpoint());
    create_tables(&second, "p-").await.unwrap();
    let key = [("pk", s("run#1")), ("sk", s("run"))].map(|(name, value)| (name.to_owned(), value));
    let row = second.get_item().table_name("p-runs").set_key(Some(key.into())).send().await.unwrap();
    assert!(row.item().is_some());
}

#[tokio::test]
async fn rows_past_their_time_are_swept_and_others_stay() {
    let (_path, _data, dynamo, client) = started("dyttl").await;
    let now = types::Clock::system().now_ms() / 1000;
    for (pk, expires_at) in [("event#old", now - 5), ("event#new", now + 3600)] {
        let put = client.put_item().table_name("t1-runs").item("pk", s(pk)).item("sk", s("event"));
        put.item("expires_at", n(expires_at)).send().await.unwrap();
    }
    let (dynamo, swept) = tokio::task::spawn_blocking(move || {
        let swept = dynamo.sweep_expired().unwrap();
        (dynamo, swept)
    })
    .await
    .unwrap();
    assert_eq!(swept, 1);
    let left = client.scan().table_name("t1-runs").send().await.unwrap();
    assert_eq!(left.items()[0]["pk"], s("event#new"));
    assert_eq!(left.count(), 1);
    dynamo.shutdown().await;
}
