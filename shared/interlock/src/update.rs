//! One conditional update of the control item. Must never be part of a transaction: a conflict would refuse a
//! halt.
use crate::control::Control;
use crate::error::InterlockError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use std::collections::HashMap;
use std::time::Duration;

/// How long one request to the store may take.
pub(crate) const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// An update expression with its condition. `#name` stands for the attribute `name` unless [`Update::name`]
/// says else.
pub(crate) struct Update {
    operation: &'static str,
    expression: String,
    condition: String,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

/// What became of it.
pub(crate) enum Updated {
    /// Done; the item after the change.
    Applied(Box<Control>),
    /// The condition did not hold; the item as it is.
    Refused(Box<Control>),
}

impl Update {
    pub(crate) fn new(operation: &'static str, expression: &str, condition: &str) -> Self {
        Self {
            operation,
            expression: expression.to_owned(),
            condition: condition.to_owned(),
            names: HashMap::new(),
            values: HashMap::new(),
        }
    }

    pub(crate) fn name(mut self, placeholder: &str, attribute: &str) -> Self {
        self.names.insert(placeholder.to_owned(), attribute.to_owned());
        self
    }

    pub(crate) fn text(mut self, placeholder: &str, value: impl Into<String>) -> Self {
        self.values.insert(placeholder.to_owned(), AttributeValue::S(value.into()));
        self
    }

    pub(crate) fn json(
        self,
        placeholder: &str,
        value: &impl serde::Serialize,
    ) -> Result<Self, InterlockError> {
        let text = serde_json::to_string(value)
            .map_err(|source| InterlockError::Store { operation: "write", source: Some(Box::new(source)) })?;
        Ok(self.text(placeholder, text))
    }

    pub(crate) fn number(mut self, placeholder: &str, value: impl ToString) -> Self {
        self.values.insert(placeholder.to_owned(), AttributeValue::N(value.to_string()));
        self
    }

    pub(crate) fn value(mut self, placeholder: &str, value: AttributeValue) -> Self {
        self.values.insert(placeholder.to_owned(), value);
        self
    }

    /// Sends it, once.
    pub(crate) async fn send(
        mut self,
        client: &aws_sdk_dynamodb::Client,
        table: &str,
    ) -> Result<Updated, InterlockError> {
        for text in [&self.expression, &self.condition] {
            for placeholder in placeholders(text) {
                self.names
                    .entry(placeholder.clone())
                    .or_insert_with(|| placeholder.trim_start_matches('#').to_owned());
            }
        }
        let operation = self.operation;
        let request = client
            .update_item()
            .table_name(table)
            .key("pk", AttributeValue::S(crate::CONTROL_KEY.to_owned()))
            .update_expression(self.expression)
            .condition_expression(self.condition)
            .set_expression_attribute_names(Some(self.names))
            .set_expression_attribute_values((!self.values.is_empty()).then_some(self.values))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send();
        let silent = InterlockError::Store { operation, source: None };
        let answer = tokio::time::timeout(STORE_TIMEOUT, Box::pin(request)).await.map_err(|_| silent)?;
        match answer {
            Ok(output) => {
                let item = output.attributes.ok_or(InterlockError::Malformed { attribute: "pk" })?;
                Ok(Updated::Applied(Box::new(Control::parse(&item)?)))
            }
            Err(error) => refused_or(operation, error.into_service_error()),
        }
    }
}

fn refused_or(operation: &'static str, error: UpdateItemError) -> Result<Updated, InterlockError> {
    if let UpdateItemError::ConditionalCheckFailedException(refused) = &error {
        // No item comes back when there is none.
        let item = refused.item.as_ref().filter(|item| !item.is_empty()).ok_or(InterlockError::Absent)?;
        return Ok(Updated::Refused(Box::new(Control::parse(item)?)));
    }
    Err(InterlockError::Store { operation, source: Some(Box::new(error)) })
}

/// Every `#name` of an expression.
fn placeholders(expression: &str) -> impl Iterator<Item = String> + '_ {
    expression.split('#').skip(1).map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        format!("#{}", rest.get(..end).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_placeholder_is_found_once_per_use() {
        let found: Vec<_> = placeholders("SET #state = :s, #cust_gen.#x = :g").collect();
        assert_eq!(found, ["#state", "#cust_gen", "#x"]);
        assert_eq!(placeholders("size(log) < :n").count(), 0);
    }
}
