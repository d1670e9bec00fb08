//! Which properties each kind has and what values they take. Must never know who asks.
use super::records::Kind;

/// Properties that HubSpot keeps itself.
const READ_ONLY: [&str; 8] = [
    "hs_object_id",
    "createdate",
    "hs_createdate",
    "hs_lastmodifieddate",
    "lastmodifieddate",
    "hs_object_source",
    "hs_object_source_id",
    "hs_object_source_label",
];

const DEAL: [&str; 14] = [
    "dealname",
    "dealstage",
    "pipeline",
    "amount",
    "closedate",
    "hubspot_owner_id",
    "description",
    "dealtype",
    "closed_lost_reason",
    "closed_won_reason",
    "hs_next_step",
    "hs_priority",
    "deal_currency_code",
    "hs_sales_email_last_replied",
];
const CONTACT: [&str; 8] =
    ["email", "firstname", "lastname", "phone", "jobtitle", "company", "hubspot_owner_id", "lifecyclestage"];
const COMPANY: [&str; 7] = ["name", "domain", "city", "country", "industry", "phone", "hubspot_owner_id"];
const EMAIL: [&str; 14] = [
    "hs_timestamp",
    "hs_email_direction",
    "hs_email_subject",
    "hs_email_text",
    "hs_email_html",
    "hs_email_status",
    "hs_email_from_email",
    "hs_email_from_firstname",
    "hs_email_from_lastname",
    "hs_email_to_email",
    "hs_email_headers",
    "hs_email_message_id",
    "hs_email_thread_id",
    "hubspot_owner_id",
];
const NOTE: [&str; 4] = ["hs_timestamp", "hs_note_body", "hubspot_owner_id", "hs_attachment_ids"];
const TASK: [&str; 8] = [
    "hs_timestamp",
    "hs_task_subject",
    "hs_task_body",
    "hs_task_status",
    "hs_task_priority",
    "hs_task_type",
    "hubspot_owner_id",
    "hs_task_reminders",
];

fn own(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Deal => &DEAL,
        Kind::Contact => &CONTACT,
        Kind::Company => &COMPANY,
        Kind::Email => &EMAIL,
        Kind::Note => &NOTE,
        Kind::Task => &TASK,
    }
}

/// Does the kind have this property?
pub(crate) fn exists(kind: Kind, property: &str) -> bool {
    own(kind).contains(&property) || is_read_only(property)
}

/// Is this property HubSpot's own?
pub(crate) fn is_read_only(property: &str) -> bool {
    READ_ONLY.contains(&property)
}

/// What a read shows when it names no properties.
pub(crate) fn shown_by_default(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Deal => &["dealname", "dealstage", "pipeline", "amount", "closedate"],
        Kind::Contact => &["email", "firstname", "lastname"],
        Kind::Company => &["name", "domain"],
        Kind::Email | Kind::Note | Kind::Task => &[],
    }
}

/// When the record was made: activities and the others call it differently.
pub(crate) fn created_property(kind: Kind) -> &'static str {
    match kind {
        Kind::Deal | Kind::Contact | Kind::Company => "createdate",
        Kind::Email | Kind::Note | Kind::Task => "hs_createdate",
    }
}

/// The closed list of values, where there is one. Stages, pipelines and owners are looked up instead.
pub(crate) fn options(property: &str) -> Option<&'static [&'static str]> {
    match property {
        "hs_task_status" => Some(&["NOT_STARTED", "IN_PROGRESS", "WAITING", "DEFERRED", "COMPLETED"]),
        "hs_task_priority" => Some(&["NONE", "LOW", "MEDIUM", "HIGH"]),
        "hs_task_type" => Some(&["TODO", "CALL", "EMAIL"]),
        "hs_email_direction" => Some(&["EMAIL", "INCOMING_EMAIL", "FORWARDED_EMAIL"]),
        "hs_priority" => Some(&["low", "medium", "high"]),
        "dealtype" => Some(&["newbusiness", "existingbusiness"]),
        _ => None,
    }
}

/// Does the value have the form that the property needs?
pub(crate) fn has_form(property: &str, value: &str) -> bool {
    match property {
        "hs_timestamp" | "closedate" => value.is_empty() || is_time(value),
        "amount" => value.is_empty() || is_number(value),
        _ => true,
    }
}

/// An ISO 8601 date or UTC time, or milliseconds in digits.
fn is_time(value: &str) -> bool {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    digits && value.len() <= 14
        || value.parse::<jiff::Timestamp>().is_ok()
        || (value.len() == 10 && value.parse::<jiff::civil::Date>().is_ok())
}

fn is_number(value: &str) -> bool {
    let body = value.strip_prefix('-').unwrap_or(value);
    let mut parts = body.splitn(2, '.');
    let whole = parts.next().unwrap_or_default();
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && parts.next().is_none_or(digits)
}
