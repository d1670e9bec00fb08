//! A tripped cap is told to people once. Must never decide whether to halt: that happens each time.
use crate::{
    Budget, BudgetError,
    row::{number, text},
};
use aws_sdk_dynamodb::{
    operation::put_item::PutItemError,
    types::{Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem},
};
use types::{Cap, Epoch, Generation, Scope};

impl Budget {
    /// Is this the first trip of this cap, in this scope, since it was last resumed? Only the first one
    /// pings.
    ///
    /// # Errors
    /// [`BudgetError`] when it is not known.
    // INVARIANT (I17): one trip, one ping.
    pub async fn trip_once(
        &self,
        limit: Cap,
        scope: &Scope,
        epoch: Epoch,
        generation: Generation,
    ) -> Result<bool, BudgetError> {
        let row = trip_row(limit, scope, epoch, generation);
        // A lost answer makes the SDK ask again: then the row is there, and this mark says that it is ours.
        let mark = uuid::Uuid::new_v4().to_string();
        let request = self
            .client
            .put_item()
            .table_name(&*self.table)
            .item("pk", text(&row))
            .item("mark", text(&mark))
            .item("at_ms", number(self.clock.now_ms()))
            .condition_expression(match () {
                () if types::mutant("pings_each_time") => "attribute_not_exists(nothing)",
                () => "attribute_not_exists(pk)",
            })
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match Box::pin(request.send()).await {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(refused)) => {
                    Ok(refused.item().and_then(|item| item.get("mark")) == Some(&text(&mark)))
                }
                Some(_) | None => Err(BudgetError::Write { row, cause: error.into() }),
            },
        }
    }

    /// The same as a part of a transaction, so that the row and the ping it queues are kept together or not
    /// at all. The transaction is cancelled when this is not the first trip.
    ///
    /// # Errors
    /// [`BudgetError::Malformed`], never seen: every required part is there.
    pub fn trip_part(
        &self,
        limit: Cap,
        scope: &Scope,
        epoch: Epoch,
        generation: Generation,
    ) -> Result<TransactWriteItem, BudgetError> {
        let row = trip_row(limit, scope, epoch, generation);
        let put = Put::builder()
            .table_name(&*self.table)
            .item("pk", text(&row))
            .item("at_ms", number(self.clock.now_ms()))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .map_err(|_| BudgetError::Malformed { row, field: "pk" })?;
        Ok(TransactWriteItem::builder().put(put).build())
    }
}

fn trip_row(limit: Cap, scope: &Scope, epoch: Epoch, generation: Generation) -> String {
    format!("trip#{limit}#{scope}#{epoch}#{generation}")
}
