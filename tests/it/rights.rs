//! Least privilege, shown both ways: what the code of each function can ask of AWS is `infra/aws/rights.json`
//! (`cargo xtask bless` writes it anew), and each role of the template holds that and what the platform needs
//! of it, no more and no less. Must never take a right for granted that neither names.
use crate::calls::{self, Right};
use crate::support::variable;
use crate::template::{Made, expanded, list};
use crate::tree;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

const FILE: &str = "infra/aws/rights.json";
/// What stands before every name of an account's own.
const HERE: &str = "eu-west-1:111122223333";

/// Functions of the template, each with the code that it runs.
const FUNCTIONS: [(&str, &str); 5] = [
    ("IntakeFunction", "intake"),
    ("StepFunction", "step"),
    ("HaltFunction", "halt"),
    ("AuditFunction", "audit"),
    ("ConsoleFunction", "console"),
];

/// Calls that the graph finds and that are not made: two functions of one name. Each must still be found,
/// so this list only shrinks.
const NOT_MADE: [(&str, &str, &str, &str); 0] = [];

/// What the code needs, per function.
fn needed() -> BTreeMap<String, BTreeMap<Right, BTreeSet<String>>> {
    let mut rights = calls::rights();
    for (function, action, resource, why) in NOT_MADE {
        let right = Right { action: action.to_owned(), resource: resource.to_owned() };
        let removed = rights.get_mut(function).and_then(|rights| rights.remove(&right));
        assert!(removed.is_some(), "{function} {action} {resource} is not found any more ({why})");
    }
    rights
}

/// One line for each right, so that a difference can be read.
fn written(rights: &BTreeMap<String, BTreeMap<Right, BTreeSet<String>>>) -> String {
    let mut lines = Vec::new();
    for (function, rights) in rights {
        for (right, places) in rights {
            let text = |text: &str| Value::from(text).to_string();
            let (of, action, on) = (text(function), text(&right.action), text(&right.resource));
            lines.push(format!(
                r#"  {{"function": {of}, "action": {action}, "resource": {on}, "asked_in": {}}}"#,
                json!(places)
            ));
        }
    }
    format!("[\n{}\n]\n", lines.join(",\n"))
}

#[test]
fn the_table_of_rights_is_what_the_code_asks_for() {
    let now = written(&needed());
    if variable("BLESS").is_some() {
        std::fs::write(tree::root().join(FILE), &now).expect("the table");
    }
    let kept = tree::text(FILE);
    let (kept, now): (BTreeSet<&str>, BTreeSet<&str>) = (kept.lines().collect(), now.lines().collect());
    let mut wrong = String::new();
    for line in now.difference(&kept) {
        let _ = writeln!(wrong, "the code asks, {FILE} does not say:{line}");
    }
    for line in kept.difference(&now) {
        let _ = writeln!(wrong, "{FILE} says, the code does not ask:{line}");
    }
    assert!(wrong.is_empty(), "{wrong}`cargo xtask bless` writes it anew");
}

/// `action resource` of every statement with this effect.
fn statements(role: &Value, effect: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    assert!(role.get("ManagedPolicyArns").is_none(), "a managed policy gives more than this code asks for");
    for policy in list(&role["Policies"]) {
        for statement in list(&policy["PolicyDocument"]["Statement"]) {
            if statement["Effect"] != effect {
                continue;
            }
            for action in list(&statement["Action"]) {
                for resource in list(&statement["Resource"]) {
                    let (action, resource) = (action.as_str().unwrap(), resource.as_str().unwrap());
                    let short = resource.replace(&format!(":{HERE}:"), " ").replace("arn:aws:", "");
                    found.insert(format!("{action} {short}"));
                }
            }
        }
    }
    found
}

/// The rights of a function's code, as its role spells them.
fn of_the_code(made: &Made, name: &str, rights: &BTreeMap<Right, BTreeSet<String>>) -> BTreeSet<String> {
    let environment = made.environment(name);
    let mut found = BTreeSet::new();
    for right in rights.keys() {
        let action = &right.action;
        let spelled: Vec<String> = match right.resource.split_once(['/', ' ']) {
            Some(("table", rest)) => vec![format!("dynamodb table/holdfast-{rest}")],
            Some(("machine", rest)) => vec![format!("states stateMachine:holdfast-{rest}")],
            Some(("secret", variable)) => {
                let parameter = environment.get(&format!("{variable}_PARAMETER"));
                let parameter =
                    parameter.unwrap_or_else(|| panic!("`{name}` is not told where {variable} is"));
                vec![format!("ssm parameter{parameter}")]
            }
            None if action == "ssm:GetParametersByPath" => {
                vec!["ssm parameter/holdfast".to_owned(), "ssm parameter/holdfast/".to_owned()]
            }
            None => ["stages", "caps", "prices", "zone"]
                .map(|part| format!("ssm parameter/holdfast/{part}"))
                .to_vec(),
            Some(other) => panic!("{other:?}"),
        };
        found.extend(spelled.into_iter().map(|resource| format!("{action} {resource}")));
    }
    found
}

/// What the platform does with a function's role.
fn of_the_platform(made: &Made, name: &str) -> BTreeSet<String> {
    let function = made.properties(name);
    let log = function["LoggingConfig"]["LogGroup"].as_str().expect("a log group");
    let mut found: BTreeSet<String> =
        ["CreateLogStream", "PutLogEvents"].map(|a| format!("logs:{a} logs log-group:{log}:*")).into();
    if function.get("VpcConfig").is_some() {
        found.extend(NETWORK.map(|action| format!("ec2:{action} *")));
    }
    let reads = |mapping: &Value| mapping["FunctionName"] == function["FunctionName"];
    for (_, mapping) in made.of_type("AWS::Lambda::EventSourceMapping").filter(|(_, m)| reads(m)) {
        let stream = mapping["EventSourceArn"].as_str().expect("a stream");
        let stream = stream.replace(&format!("arn:aws:dynamodb:{HERE}:"), "dynamodb ");
        for action in ["DescribeStream", "GetRecords", "GetShardIterator"] {
            found.insert(format!("dynamodb:{action} {stream}"));
        }
        found.insert(format!("dynamodb:ListStreams {}", stream.replace("/now", "/*")));
    }
    found
}

const NETWORK: [&str; 6] = [
    "CreateNetworkInterface",
    "DescribeNetworkInterfaces",
    "DescribeSubnets",
    "DeleteNetworkInterface",
    "AssignPrivateIpAddresses",
    "UnassignPrivateIpAddresses",
];

fn role_of<'a>(made: &'a Made, function: &str) -> &'a Value {
    let role = made.properties(function)["Role"].as_str().expect("a role");
    made.properties(role.strip_suffix(".Arn").expect("a role of this template"))
}

/// Differences between what a role allows and what it must.
fn misfits(made: &Made) -> Vec<String> {
    let needed = needed();
    let mut wrong = Vec::new();
    let mut compare = |name: &str, must: BTreeSet<String>| {
        let has = statements(role_of(made, name), "Allow");
        wrong.extend(must.difference(&has).map(|right| format!("{name} lacks {right}")));
        wrong.extend(has.difference(&must).map(|right| format!("{name} has too much: {right}")));
    };
    for (name, code) in FUNCTIONS {
        let mut must = of_the_code(made, name, &needed[code]);
        must.extend(of_the_platform(made, name));
        compare(name, must);
    }
    // The audit function's program, asked for one thing: everything that it does is in Postgres.
    let mut must = of_the_platform(made, "MigrateFunction");
    must.insert("ssm:GetParameter ssm parameter/holdfast/secret/database_url_owner".to_owned());
    compare("MigrateFunction", must);
    wrong
}

#[test]
fn each_role_holds_what_its_code_asks_for_and_no_more() {
    let Some(template) = expanded("rights::each_role_holds_what_its_code_asks_for_and_no_more") else {
        return;
    };
    let set_up = [("Slack", json!("yes"))];
    let misfits_of = |template: &Value| misfits(&Made::of(template, &set_up));
    assert_eq!(misfits_of(&template), Vec::<String>::new());
    // And it would be seen: a right taken away, one added, one widened.
    let statement = |role: &str, sid: &str| {
        let all = &template["Resources"][role]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"];
        let at = list(all).iter().position(|one| one["Sid"] == sid).expect("a statement");
        format!("/Resources/{role}/Properties/Policies/0/PolicyDocument/Statement/{at}")
    };
    for (role, sid, field, value, seen) in [
        ("StepRole", "Queue", "Action", json!("dynamodb:GetItem"), "StepFunction lacks dynamodb:Query"),
        (
            "HaltRole",
            "Budget",
            "Action",
            json!(["dynamodb:GetItem", "dynamodb:UpdateItem"]),
            "HaltFunction has too much",
        ),
        ("AuditRole", "Secrets", "Resource", json!("*"), "AuditFunction has too much: ssm:GetParameter *"),
        ("ConsoleRole", "Start", "Action", json!("states:*"), "ConsoleFunction has too much: states:*"),
        ("MigrateRole", "Log", "Resource", json!("*"), "MigrateFunction has too much"),
    ] {
        let mut broken = template.clone();
        broken.pointer_mut(&statement(role, sid)).expect("a statement")[field] = value;
        let wrong = misfits_of(&broken);
        assert!(wrong.iter().any(|line| line.contains(seen)), "{role} {sid}: {wrong:?}");
    }
}

/// Who may list a path may list all that lies below it, whatever else is denied: without this the hot
/// configuration's path would open the secrets beside it.
#[test]
fn who_reads_the_hot_configuration_cannot_list_the_secrets_below_it() {
    let name = "rights::who_reads_the_hot_configuration_cannot_list_the_secrets_below_it";
    let Some(template) = expanded(name) else { return };
    let made = Made::of(&template, &[]);
    let open = |made: &Made| -> Vec<&str> {
        let open = FUNCTIONS.iter().filter(|(function, _)| {
            let role = role_of(made, function);
            let lists =
                statements(role, "Allow").iter().any(|one| one.starts_with("ssm:GetParametersByPath"));
            lists && !denies_levels(role)
        });
        open.map(|(function, _)| *function).collect()
    };
    assert_eq!(open(&made), Vec::<&str>::new());
    let mut broken = template.clone();
    let statements =
        broken["Resources"]["HaltRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
            .as_array_mut()
            .expect("statements");
    statements.retain(|one| one["Sid"] != "OneLevelOnly");
    assert_eq!(open(&Made::of(&broken, &[])), ["HaltFunction"]);
}

fn denies_levels(role: &Value) -> bool {
    let document = &role["Policies"][0]["PolicyDocument"];
    list(&document["Statement"]).iter().any(|one| {
        one["Effect"] == "Deny"
            && one["Action"] == "ssm:GetParametersByPath"
            && one["Resource"] == "*"
            && one["Condition"] == json!({"StringEquals": {"ssm:Recursive": "true"}})
    })
}

/// The calls that know no resource are the platform's, and the function's own code is kept from them.
#[test]
fn no_functions_own_code_may_touch_the_network() {
    let Some(template) = expanded("rights::no_functions_own_code_may_touch_the_network") else { return };
    let made = Made::of(&template, &[]);
    let inside = made.of_type("AWS::Lambda::Function").filter(|(_, one)| one.get("VpcConfig").is_some());
    let mut checked = 0;
    for (name, _) in inside {
        let role = role_of(&made, name);
        let denied = statements(role, "Deny");
        assert!(NETWORK.iter().all(|action| denied.contains(&format!("ec2:{action} *"))), "{name}");
        let all = &role["Policies"][0]["PolicyDocument"]["Statement"];
        let by_code = list(all).into_iter().find(|one| one["Sid"] == "NoNetworkByCode").expect("a statement");
        let function = "arn:aws:lambda:eu-west-1:111122223333:function:holdfast-*";
        assert_eq!(by_code["Condition"], json!({"ArnLike": {"lambda:SourceFunctionArn": function}}));
        checked += 1;
    }
    assert_eq!(checked, 5);
}
