//! One webhook body as typed events. Must never let one odd event lose the others, nor grow with what was
//! sent.
use crate::{BodyError, EventError};
use serde_json::{Map, Value, value::RawValue};

/// HubSpot's numeric type ids of the objects that can start a run.
const TYPE_DEAL: &str = "0-3";
const TYPE_EMAIL: &str = "0-49";

/// What a body may measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole body.
    pub body_bytes_max: usize,
    /// Events in it.
    pub events_max: usize,
    /// Levels of nesting (the array itself is the first).
    pub depth_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes_max: 1024 * 1024, events_max: 100, depth_max: 32 }
    }
}

/// One event as HubSpot sent it: a hint that something changed, never the state itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The account.
    pub portal_id: u64,
    /// `object.creation`, `deal.propertyChange`, `contact.privacyDeletion`, ...
    pub subscription_type: String,
    /// The record, or the thread of a conversation. Absent on an association change only.
    pub object_id: Option<u64>,
    /// Generic events: which kind of object (`0-3` deal, `0-49` email).
    pub object_type_id: Option<String>,
    /// Property changes: the property.
    pub property_name: Option<String>,
    /// Property changes: its new value at that moment.
    pub property_value: Option<String>,
    /// Not guaranteed to be unique.
    pub event_id: Option<u64>,
    /// When it happened (ms since 1970).
    pub occurred_at_ms: Option<i64>,
    /// 0 on the first delivery, then one more each time.
    pub attempt: Option<u64>,
    /// The app whose subscription this is.
    pub app_id: Option<u64>,
    /// The subscription.
    pub subscription_id: Option<u64>,
    /// `CRM_UI`, `INTEGRATION`, `IMPORT`, ... (an open set).
    pub change_source: Option<String>,
    /// `userId:123` for a person, an app's id for an app.
    pub source_id: Option<String>,
    /// `NEW`, `CREATED`, ...
    pub change_flag: Option<String>,
    /// Conversations: the message.
    pub message_id: Option<String>,
    /// Conversations: `MESSAGE` or `COMMENT`.
    pub message_type: Option<String>,
    /// Association changes: from which record.
    pub from_object_id: Option<u64>,
    /// Association changes: to which record.
    pub to_object_id: Option<u64>,
}

/// What an event means to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// A mail was logged.
    EmailCreated {
        /// The mail.
        email_id: u64,
    },
    /// A property of a deal changed.
    DealChanged {
        /// The deal.
        deal_id: u64,
        /// The property.
        property: String,
    },
    /// A deal was made.
    DealCreated {
        /// The deal.
        deal_id: u64,
    },
    /// A contact asked to be forgotten.
    PrivacyDeletion {
        /// The contact.
        contact_id: u64,
    },
    /// A message in an inbox thread (an internal comment is none).
    ConversationMessage {
        /// The thread.
        thread_id: u64,
        /// The message, where HubSpot names it.
        message_id: Option<String>,
    },
    /// Anything else; notes, tasks and calls above all, because we write those ourselves.
    Ignored,
}

impl Event {
    /// What tells two events apart, in readable form:
    /// `portalId|subscriptionType|objectId|propertyName|eventId|occurredAt`. An absent part is empty; an
    /// association change has `from>to` for its object. Never the attempt: a redelivery is the same event.
    #[must_use]
    pub fn key_text(&self) -> String {
        let number = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
        let plain = |text: &str| text.replace('%', "%25").replace('|', "%7C");
        let object = match self.object_id {
            Some(id) => id.to_string(),
            None => format!("{}>{}", number(self.from_object_id), number(self.to_object_id)),
        };
        format!(
            "{}|{}|{object}|{}|{}|{}",
            self.portal_id,
            plain(&self.subscription_type),
            plain(self.property_name.as_deref().unwrap_or_default()),
            number(self.event_id),
            self.occurred_at_ms.map(|ms| ms.to_string()).unwrap_or_default(),
        )
    }

    /// Our own app made this change.
    #[must_use]
    pub fn is_own_write(&self, app_id: u64) -> bool {
        let by_us = self.source_id.as_deref().map(str::trim) == Some(app_id.to_string().as_str());
        self.change_source.as_deref() == Some("INTEGRATION") && by_us
    }

    /// What it means to the agent.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        let Some(object_id) = self.object_id else {
            return EventKind::Ignored;
        };
        match (self.subscription_type.as_str(), self.object_type_id.as_deref()) {
            ("object.creation", Some(TYPE_EMAIL)) => EventKind::EmailCreated { email_id: object_id },
            ("deal.creation", _) | ("object.creation", Some(TYPE_DEAL)) => {
                EventKind::DealCreated { deal_id: object_id }
            }
            ("deal.propertyChange", _) | ("object.propertyChange", Some(TYPE_DEAL)) => {
                match self.property_name.clone() {
                    Some(property) => EventKind::DealChanged { deal_id: object_id, property },
                    None => EventKind::Ignored,
                }
            }
            ("contact.privacyDeletion", _) => EventKind::PrivacyDeletion { contact_id: object_id },
            ("conversation.newMessage", _) if self.message_type.as_deref() != Some("COMMENT") => {
                EventKind::ConversationMessage { thread_id: object_id, message_id: self.message_id.clone() }
            }
            (_, _) => EventKind::Ignored,
        }
    }

    fn from_object(object: &Map<String, Value>) -> Result<Self, EventError> {
        let number = |field: &str| object.get(field).and_then(number_of);
        let text = |field: &str| object.get(field).and_then(text_of);
        // Some of HubSpot's examples call it `eventType`.
        let subscription_type = text("subscriptionType").or_else(|| text("eventType"));
        let (from_object_id, to_object_id) = (number("fromObjectId"), number("toObjectId"));
        let object_id = number("objectId");
        let is_association = from_object_id.is_some() && to_object_id.is_some();
        let named_but_unusable = object.get("objectId").is_some_and(|value| !value.is_null());
        if object_id.is_none() && (named_but_unusable || !is_association) {
            return Err(EventError::Field { field: "objectId" });
        }
        Ok(Self {
            portal_id: number("portalId").ok_or(EventError::Field { field: "portalId" })?,
            subscription_type: subscription_type
                .filter(|name| !name.is_empty() && name.len() <= 200)
                .ok_or(EventError::Field { field: "subscriptionType" })?,
            object_id,
            object_type_id: text("objectTypeId"),
            property_name: text("propertyName"),
            property_value: text("propertyValue"),
            event_id: number("eventId"),
            occurred_at_ms: number("occurredAt").and_then(|ms| i64::try_from(ms).ok()),
            attempt: number("attemptNumber"),
            app_id: number("appId"),
            subscription_id: number("subscriptionId"),
            change_source: text("changeSource"),
            source_id: text("sourceId"),
            change_flag: text("changeFlag"),
            message_id: text("messageId"),
            message_type: text("messageType"),
            from_object_id,
            to_object_id,
        })
    }
}

/// A whole number at or above zero, as a number or as text.
fn number_of(value: &Value) -> Option<u64> {
    let number = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    number.filter(|&number| i64::try_from(number).is_ok())
}

/// Text, or a number written as text.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Reads a webhook body whose signature was found good: an array of 1 to `events_max` events, unknown fields
/// ignored, ids as numbers or text. One bad event is an `Err` in its place and leaves the others alone.
///
/// # Errors
/// [`BodyError`] when the body as a whole is too large, too deep, too long, empty or not an array.
pub fn parse(body: &[u8], limits: Limits) -> Result<Vec<Result<Event, EventError>>, BodyError> {
    if body.len() > limits.body_bytes_max {
        return Err(BodyError::TooLarge { bytes: body.len(), bytes_max: limits.body_bytes_max });
    }
    // Depth first, by a scan that does not recurse: no parser is let near a body that could exhaust its
    // stack.
    if depth_of(body) > limits.depth_max {
        return Err(BodyError::TooDeep { depth_max: limits.depth_max });
    }
    let events: Vec<&RawValue> = serde_json::from_slice(body).map_err(|_not_json| BodyError::NotAnArray)?;
    if events.is_empty() {
        return Err(BodyError::Empty);
    }
    if events.len() > limits.events_max {
        return Err(BodyError::TooMany { events: events.len(), events_max: limits.events_max });
    }
    Ok(events.into_iter().map(event_of).collect())
}

fn event_of(raw: &RawValue) -> Result<Event, EventError> {
    let object: Map<String, Value> =
        serde_json::from_str(raw.get()).map_err(|_not_an_object| EventError::NotAnObject)?;
    Event::from_object(&object)
}

/// How deep the brackets go, those inside strings aside.
fn depth_of(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let (mut in_text, mut escaped) = (false, false);
    for &byte in json {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'[' | b'{' => {
                depth = depth.saturating_add(1);
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The shape of captured traffic, numbers invented.
    const GOLDEN: &[u8] = include_bytes!("golden.json");

    fn one(event: &Value) -> Result<Event, EventError> {
        let body = serde_json::to_vec(&json!([event])).expect("json");
        parse(&body, Limits::default()).expect("a good body").remove(0)
    }

    #[test]
    fn captured_traffic_is_understood() {
        let events = parse(GOLDEN, Limits::default()).expect("a good body");
        let events: Vec<Event> = events.into_iter().collect::<Result<_, _>>().expect("good events");
        let kinds: Vec<EventKind> = events.iter().map(Event::kind).collect();
        assert_eq!(
            kinds,
            [
                EventKind::DealChanged { deal_id: 17_234_567_890, property: "dealstage".into() },
                EventKind::EmailCreated { email_id: 55_123_456_789 },
                EventKind::ConversationMessage { thread_id: 1_246_978, message_id: Some("3f2c".into()) },
            ]
        );
        assert_eq!(
            events[0].key_text(),
            "891472211|deal.propertyChange|17234567890|dealstage|3029365631|1793404798000"
        );
        assert_eq!(events[1].key_text(), "891472211|object.creation|55123456789||1431776902|1793404798500");
        assert_eq!(events[1].attempt, Some(1));
        let own: Vec<bool> = events.iter().map(|event| event.is_own_write(7_906_213)).collect();
        assert_eq!(own, [false, true, false]);
        assert!(!events[1].is_own_write(7_906_214), "another app's write is not ours");
    }

    #[test]
    fn both_forms_of_a_subscription_mean_the_same_and_our_own_kinds_start_nothing() {
        let event = |kind: &str, type_id: &str| {
            one(&json!({"subscriptionType": kind, "objectTypeId": type_id, "portalId": 1, "objectId": 7,
                        "propertyName": "dealstage"}))
            .expect("a good event")
            .kind()
        };
        let changed = EventKind::DealChanged { deal_id: 7, property: "dealstage".into() };
        assert_eq!(event("deal.propertyChange", ""), changed);
        assert_eq!(event("object.propertyChange", "0-3"), changed);
        assert_eq!(event("deal.creation", ""), EventKind::DealCreated { deal_id: 7 });
        assert_eq!(event("object.creation", "0-3"), EventKind::DealCreated { deal_id: 7 });
        assert_eq!(event("object.creation", "0-49"), EventKind::EmailCreated { email_id: 7 });
        assert_eq!(event("contact.privacyDeletion", ""), EventKind::PrivacyDeletion { contact_id: 7 });
        for type_id in ["0-27", "0-46", "0-48", "0-47", "0-1", "0-2", "", "0-490", "0-30"] {
            assert_eq!(event("object.creation", type_id), EventKind::Ignored, "{type_id}");
            assert_eq!(event("object.propertyChange", type_id), EventKind::Ignored, "{type_id}");
        }
        for kind in
            ["object.deletion", "deal.deletion", "deal.merge", "event.completed", "contact.creation", "x"]
        {
            assert_eq!(event(kind, "0-3"), EventKind::Ignored, "{kind}");
        }
    }

    #[test]
    fn an_internal_comment_is_no_message() {
        let event = json!({"subscriptionType": "conversation.newMessage", "portalId": 1, "objectId": 7,
                           "messageType": "COMMENT"});
        assert_eq!(one(&event).expect("a good event").kind(), EventKind::Ignored);
    }

    #[test]
    fn ids_may_be_text_the_type_may_have_its_other_name_and_unknown_fields_are_ignored() {
        let event =
            one(&json!({"eventType": "deal.creation", "portalId": "12", "objectId": "34", "sourceId": 56,
                                "changeSource": "INTEGRATION", "new": {"a": [1]}, "eventId": null}))
            .expect("a good event");
        assert_eq!((event.portal_id, event.object_id, event.event_id), (12, Some(34), None));
        assert!(event.is_own_write(56));
    }

    #[test]
    fn one_bad_event_leaves_the_others_alone() {
        let good = json!({"subscriptionType": "deal.creation", "portalId": 1, "objectId": 2});
        let body = json!([good, 5, {"portalId": 1, "objectId": 2},
                          {"subscriptionType": "deal.creation", "objectId": 2},
                          {"subscriptionType": "deal.creation", "portalId": 1, "objectId": "../2"},
                          {"subscriptionType": "deal.creation", "portalId": 1, "objectId": -2},
                          {"subscriptionType": "deal.creation", "portalId": 1}, good]);
        let events =
            parse(&serde_json::to_vec(&body).expect("json"), Limits::default()).expect("a good body");
        let errors: Vec<Option<EventError>> = events.into_iter().map(Result::err).collect();
        let field = |field| Some(EventError::Field { field });
        assert_eq!(
            errors,
            [
                None,
                Some(EventError::NotAnObject),
                field("subscriptionType"),
                field("portalId"),
                field("objectId"),
                field("objectId"),
                field("objectId"),
                None
            ]
        );
    }

    #[test]
    fn an_association_change_has_no_object_but_a_key_of_its_own() {
        let event = |to: u64| {
            one(&json!({"subscriptionType": "deal.associationChange", "portalId": 1, "fromObjectId": 2,
                        "toObjectId": to, "eventId": 9, "occurredAt": 5}))
            .expect("a good event")
        };
        assert_eq!(event(3).key_text(), "1|deal.associationChange|2>3||9|5");
        assert_ne!(event(3).key_text(), event(4).key_text());
        assert_eq!(event(3).kind(), EventKind::Ignored);
    }

    #[test]
    fn the_key_ignores_the_attempt_and_cannot_be_imitated_with_separators() {
        let event = |property: &str, attempt: u64| {
            one(
                &json!({"subscriptionType": "deal.propertyChange", "portalId": 1, "objectId": 2, "eventId": 3,
                        "propertyName": property, "attemptNumber": attempt}),
            )
            .expect("a good event")
        };
        assert_eq!(event("a", 0).key_text(), event("a", 9).key_text());
        assert_eq!(event("a|b", 0).key_text(), "1|deal.propertyChange|2|a%7Cb|3|");
        assert_ne!(event("a|b", 0).key_text(), event("a%7Cb", 0).key_text());
    }

    #[test]
    fn a_body_out_of_bounds_is_refused_as_a_whole() {
        let parse = |body: &[u8]| parse(body, Limits { body_bytes_max: 4_000, ..Limits::default() });
        let of = |events: usize| format!("[{}]", vec!["1"; events].join(","));
        assert_eq!(parse(&vec![b' '; 4_001]), Err(BodyError::TooLarge { bytes: 4_001, bytes_max: 4_000 }));
        assert_eq!(parse(b"[]"), Err(BodyError::Empty));
        assert_eq!(parse(of(100).as_bytes()).map(|events| events.len()), Ok(100));
        assert_eq!(parse(of(101).as_bytes()), Err(BodyError::TooMany { events: 101, events_max: 100 }));
        for not_an_array in ["", "{}", "null", "[1", "[1,]", "[1] 2", "\"[1]\"", "\u{feff}[1]"] {
            assert_eq!(parse(not_an_array.as_bytes()), Err(BodyError::NotAnArray), "{not_an_array:?}");
        }
        assert_eq!(parse(b"[\"\xff\"]"), Err(BodyError::NotAnArray));
    }

    #[test]
    fn nesting_is_bounded_before_any_parser_sees_it() {
        let deep = |levels: usize| format!("[{}1{}]", "[".repeat(levels - 1), "]".repeat(levels - 1));
        let read = |body: &str| parse(body.as_bytes(), Limits::default());
        assert!(read(&deep(32)).is_ok());
        assert_eq!(read(&deep(33)), Err(BodyError::TooDeep { depth_max: 32 }));
        assert_eq!(read(&"[".repeat(1_000_000)), Err(BodyError::TooDeep { depth_max: 32 }));
        assert_eq!(read(&"{\"a\":".repeat(100_000)), Err(BodyError::TooDeep { depth_max: 32 }));
        let in_text = json!(["[".repeat(100), "\\\"[[".repeat(50)]).to_string();
        assert!(read(&in_text).is_ok(), "brackets inside text do not nest");
        let after_escape = format!("[\"\\\\\",{}]", deep(40));
        assert_eq!(read(&after_escape), Err(BodyError::TooDeep { depth_max: 32 }));
    }
}
