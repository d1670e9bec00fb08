//! Rows of the budget table. Must never change a row without a condition.
use crate::{Budget, BudgetError};
use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use std::collections::HashMap;

pub(crate) type Item = HashMap<String, AttributeValue>;

/// What became of a conditional update.
#[derive(Debug)]
pub(crate) enum Change {
    /// Applied; the changed fields as they are now.
    Applied(Item),
    /// The condition did not hold; the row as it was then, if there is one.
    Refused(Option<Item>),
}

/// One conditional update. `#a` in the expressions is the attempt's key in a map.
#[derive(Debug)]
pub(crate) struct Update<'a> {
    pub(crate) row: String,
    pub(crate) attempt: Option<&'a str>,
    pub(crate) set: &'a str,
    pub(crate) condition: &'a str,
    pub(crate) values: Vec<(&'a str, AttributeValue)>,
}

impl Budget {
    pub(crate) async fn read(&self, row: &str) -> Result<Option<Item>, BudgetError> {
        let request =
            self.client.get_item().table_name(&*self.table).key("pk", text(row)).consistent_read(true);
        let answer = Box::pin(request.send()).await;
        Ok(answer.map_err(|error| BudgetError::Read { row: row.to_owned(), cause: error.into() })?.item)
    }

    /// The SDK repeats a request whose answer was lost; each condition therefore refuses a second
    /// application.
    pub(crate) async fn change(&self, update: Update<'_>) -> Result<Change, BudgetError> {
        let mut request = self
            .client
            .update_item()
            .table_name(&*self.table)
            .key("pk", text(&update.row))
            .update_expression(update.set)
            .condition_expression(update.condition)
            .return_values(ReturnValue::UpdatedNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        if let Some(attempt) = update.attempt {
            request = request.expression_attribute_names("#a", attempt);
        }
        for (name, value) in update.values {
            request = request.expression_attribute_values(name, value);
        }
        match Box::pin(request.send()).await {
            Ok(answer) => Ok(Change::Applied(answer.attributes.unwrap_or_default())),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    Ok(Change::Refused(refused.item.clone().filter(|item| !item.is_empty())))
                }
                Some(_) | None => Err(BudgetError::Write { row: update.row, cause: error.into() }),
            },
        }
    }
}

pub(crate) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub(crate) fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(crate) fn get_number(row: &str, item: &Item, field: &'static str) -> Result<i64, BudgetError> {
    let found = item.get(field).and_then(|value| value.as_n().ok()).and_then(|digits| digits.parse().ok());
    found.ok_or_else(|| BudgetError::Malformed { row: row.to_owned(), field })
}

pub(crate) fn get_text<'a>(row: &str, item: &'a Item, field: &'static str) -> Result<&'a str, BudgetError> {
    let found = item.get(field).and_then(|value| value.as_s().ok());
    found.map(String::as_str).ok_or_else(|| BudgetError::Malformed { row: row.to_owned(), field })
}

pub(crate) fn get_map<'a>(row: &str, item: &'a Item, field: &'static str) -> Result<&'a Item, BudgetError> {
    let found = item.get(field).and_then(|value| value.as_m().ok());
    found.ok_or_else(|| BudgetError::Malformed { row: row.to_owned(), field })
}
