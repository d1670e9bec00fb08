//! HubSpot's error bodies. Must never say more than HubSpot does.
use crate::serve::Reply;
use serde_json::{Value, json};

/// One thing that is wrong with a request body.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) code: &'static str,
    pub(crate) property: Option<String>,
}

impl Fault {
    pub(crate) fn of(property: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self { message: message.into(), code, property: Some(property.to_owned()) }
    }
}

fn body(category: &str, message: &str, correlation_id: &str) -> Value {
    json!({"status": "error", "message": message, "correlationId": correlation_id, "category": category})
}

/// 401: no token, or not ours.
pub(crate) fn unauthenticated(correlation_id: &str) -> Reply {
    let message = "Authentication credentials not found. This API supports OAuth 2.0 authentication and you \
        can find \
                   more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview";
    Reply::json(401, &body("INVALID_AUTHENTICATION", message, correlation_id))
}

/// 403: the token lacks scopes.
pub(crate) fn missing_scopes(scopes: &[&str], correlation_id: &str) -> Reply {
    let message = "This app hasn't been granted all required scopes to make this call. Read more about \
        required \
                   scopes here: https://developers.hubspot.com/scopes.";
    let mut answer = body("MISSING_SCOPES", message, correlation_id);
    if let Some(fields) = answer.as_object_mut() {
        let error = json!({"message": "One or more of the following scopes are required.",
                           "context": {"requiredGranularScopes": scopes}});
        fields.insert("errors".to_owned(), json!([error]));
        fields.insert("links".to_owned(), json!({"scopes": "https://developers.hubspot.com/scopes"}));
    }
    Reply::json(403, &answer)
}

/// 404: no such record.
pub(crate) fn not_found(correlation_id: &str) -> Reply {
    Reply::json(404, &body("OBJECT_NOT_FOUND", "resource not found", correlation_id))
}

/// 404: no such address.
pub(crate) fn no_route(correlation_id: &str) -> Reply {
    Reply::json(
        404,
        &json!({"status": "error", "message": "resource not found", "correlationId": correlation_id}),
    )
}

/// 405: this address takes no such method here.
pub(crate) fn method_not_allowed(correlation_id: &str) -> Reply {
    let answer =
        json!({"status": "error", "message": "HTTP 405 Method Not Allowed", "correlationId": correlation_id});
    Reply::json(405, &answer)
}

/// 413: the body is too long.
pub(crate) fn too_large(correlation_id: &str) -> Reply {
    Reply::json(413, &body("VALIDATION_ERROR", "request entity too large", correlation_id))
}

/// 400: one message.
pub(crate) fn invalid(message: &str, correlation_id: &str) -> Reply {
    Reply::json(400, &body("VALIDATION_ERROR", message, correlation_id))
}

/// 400: each property that is wrong.
pub(crate) fn invalid_properties(faults: &[Fault], correlation_id: &str) -> Reply {
    let listed: Vec<Value> = faults
        .iter()
        .map(|fault| {
            json!({"isValid": false, "message": fault.message, "error": fault.code, "name": fault.property})
        })
        .collect();
    let message = format!("Property values were not valid: {}", Value::from(listed));
    let mut answer = body("VALIDATION_ERROR", &message, correlation_id);
    let errors: Vec<Value> = faults
        .iter()
        .map(|fault| {
            let names: Vec<&String> = fault.property.iter().collect();
            json!({"message": fault.message, "code": fault.code, "context": {"propertyName": names}})
        })
        .collect();
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("errors".to_owned(), Value::from(errors));
    }
    Reply::json(400, &answer)
}

/// 429 with the policy's name. The headers are added where the windows are known.
pub(crate) fn too_many(policy: &str, correlation_id: &str) -> Reply {
    let message = if policy == "DAILY" {
        "You have reached your daily limit.".to_owned()
    } else {
        format!("You have reached your {} limit.", policy.to_lowercase())
    };
    let answer = json!({"status": "error", "message": message, "errorType": "RATE_LIMIT",
                        "correlationId": correlation_id, "policyName": policy});
    Reply::json(429, &answer)
}

/// Any other status.
pub(crate) fn broken(status: u16, correlation_id: &str) -> Reply {
    let message = if status == 423 { "The resource is locked" } else { "internal error" };
    Reply::json(status, &json!({"status": "error", "message": message, "correlationId": correlation_id}))
}
