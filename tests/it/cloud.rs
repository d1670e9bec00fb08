//! The template: what the linters say of it, and the faults that no linter sees, each with a template that
//! has it. Must never reach AWS: everything here reads files.
use crate::metrics::not_counted;
use crate::scene::{self, Scene};
use crate::servers::{HALT_RULES, STEP_RULES};
use crate::support::not_run;
use crate::template::{Made, expanded, list, object, tool};
use crate::tree::{root, text};
use config::Settings;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A folder for the templates that have a fault. Removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("holdfast-cloud-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One of the programs, its output and whether it was content. `None`: it is not there, and this was said.
fn checked(test: &str, program: &str, arguments: &[&str], file: &Path) -> Option<(bool, String)> {
    let program = match tool(program) {
        Ok(program) => program,
        Err(why) => {
            not_run(test, &why);
            return None;
        }
    };
    let output = Command::new(program)
        .args(arguments)
        .arg(file)
        .current_dir(root())
        .envs([("SAM_CLI_TELEMETRY", "0"), ("AWS_DEFAULT_REGION", "eu-west-1"), ("LOG_LEVEL", "ERROR")])
        .stdin(Stdio::null())
        .output()
        .expect("a program");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Some((output.status.success(), said.concat()))
}

#[test]
fn sam_takes_the_template_and_would_see_a_property_that_is_none() {
    let name = "cloud::sam_takes_the_template_and_would_see_a_property_that_is_none";
    let check = |file: &Path| checked(name, "sam", &["validate", "--lint", "--template"], file);
    let Some((content, said)) = check(&root().join("infra/aws/template.yaml")) else { return };
    assert!(content, "{said}");
    let folder = Folder::new();
    let broken = text("infra/aws/template.yaml").replace("      Timeout: 60\n", "      Timeouts: 60\n");
    let Some((content, said)) = check(&folder.file("template.yaml", &broken)) else { return };
    assert!(!content && said.contains("Timeouts"), "{said}");
}

#[test]
fn cfn_lint_takes_the_template_before_and_after_its_expansion() {
    let name = "cloud::cfn_lint_takes_the_template_before_and_after_its_expansion";
    let Some(template) = expanded(name) else { return };
    let folder = Folder::new();
    let file = folder.file("expanded.json", &template.to_string());
    for file in [root().join("infra/aws/template.yaml"), file] {
        let Some((content, said)) = checked(name, "cfn-lint", &["--template"], &file) else { return };
        assert!(content && said.trim().is_empty(), "{}: {said}", file.display());
    }
    // It reads the state machine as well.
    let mut broken = template;
    broken["Resources"]["OutboxTable"]["Properties"]["BillingMode"] = json!("FREE");
    let step = &mut broken["Resources"]["RunsMachine"]["Properties"]["Definition"]["States"]["Step"];
    assert!(step.as_object_mut().expect("a state").remove("Resource").is_some());
    let file = folder.file("broken.json", &broken.to_string());
    let Some((content, said)) = checked(name, "cfn-lint", &["--template"], &file) else { return };
    assert!(
        !content && said.contains("FREE") && said.contains("'Resource' is a required property"),
        "{said}"
    );
}

/// Findings of checkov: check and resource.
fn findings(test: &str, file: &Path) -> Option<BTreeSet<(String, String)>> {
    let arguments =
        ["--framework", "cloudformation", "--quiet", "--compact", "--skip-download", "-o", "json", "-f"];
    let (_, said) = checked(test, "checkov", &arguments, file)?;
    let start = said.find('{').unwrap_or_else(|| panic!("{said}"));
    let mut read = serde_json::Deserializer::from_str(&said[start..]).into_iter::<Value>();
    let report = read.next().expect("a report").expect("JSON");
    assert!(report["summary"]["passed"].as_u64() > Some(100), "it looked at nothing: {said}");
    let failed = list(&report["results"]["failed_checks"]).into_iter().map(|one| {
        let field = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
        (field("check_id"), field("resource").rsplit('.').next().unwrap_or_default().to_owned())
    });
    Some(failed.collect())
}

#[test]
fn checkov_finds_what_was_decided_and_nothing_else() {
    let name = "cloud::checkov_finds_what_was_decided_and_nothing_else";
    let Some(template) = expanded(name) else { return };
    let folder = Folder::new();
    let Some(found) = findings(name, &folder.file("expanded.json", &template.to_string())) else { return };
    let decided: Value = serde_json::from_str(&text("infra/aws/checks/decided.json")).expect("JSON");
    let mut allowed = BTreeSet::new();
    for (check, one) in object(&decided) {
        assert!(one["reason"].as_str().is_some_and(|reason| reason.len() > 20), "{check} needs a reason");
        let resources = list(&one["resources"]).into_iter().filter_map(Value::as_str);
        allowed.extend(resources.map(|resource| (check.clone(), resource.to_owned())));
    }
    assert_eq!(
        found.difference(&allowed).collect::<Vec<_>>(),
        Vec::<&(String, String)>::new(),
        "new findings"
    );
    assert_eq!(
        allowed.difference(&found).collect::<Vec<_>>(),
        Vec::<&(String, String)>::new(),
        "found no more"
    );
    let mut broken = template;
    broken["Resources"]["Flags"]["Properties"]["TransitEncryptionEnabled"] = json!(false);
    let Some(found) = findings(name, &folder.file("broken.json", &broken.to_string())) else { return };
    let new: Vec<_> = found.difference(&allowed).map(|(_, resource)| resource.as_str()).collect();
    assert!(!new.is_empty() && new.iter().all(|resource| *resource == "Flags"), "{new:?}");
}

/// Every fault that the linters above let through.
fn faults(template: &Value) -> Vec<String> {
    let made = Made::of(template, &[]);
    let checks: [fn(&Made) -> Vec<String>; 9] = [
        stream_faults,
        address_faults,
        flags_faults,
        parameter_faults,
        not_counted,
        machine_faults,
        schedule_faults,
        dead_letter_faults,
        concurrency_faults,
    ];
    checks.iter().flat_map(|check| check(&made)).collect()
}

fn stream_faults(made: &Made) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, mapping) in made.of_type("AWS::Lambda::EventSourceMapping") {
        for filter in list(&mapping["FilterCriteria"]["Filters"]) {
            let pattern = filter["Pattern"].as_str().unwrap_or_default();
            if !serde_json::from_str::<Value>(pattern).is_ok_and(|pattern| pattern.is_object()) {
                wrong.push(format!("{name}: the filter is no JSON: {pattern}"));
            }
        }
        let source = mapping["EventSourceArn"].as_str().unwrap_or_default();
        let table = made.of_type("AWS::DynamoDB::Table").find(|(_, table)| {
            source.contains(&format!("table/{}/stream", table["TableName"].as_str().unwrap_or_default()))
        });
        if !table.is_some_and(|(_, table)| table["StreamSpecification"]["StreamViewType"] == "NEW_IMAGE") {
            wrong.push(format!("{name}: its table has no stream of new rows"));
        }
    }
    wrong
}

/// A function URL answers 403 without both permissions.
fn address_faults(made: &Made) -> Vec<String> {
    let mut wrong = Vec::new();
    let permissions: Vec<_> = made.of_type("AWS::Lambda::Permission").map(|(_, one)| one).collect();
    for (name, url) in made.of_type("AWS::Lambda::Url") {
        let of_it =
            |one: &&&Value| one["FunctionName"] == url["TargetFunctionArn"] && one["Principal"] == "*";
        let has = |action: &str, field: &str, value: Value| {
            permissions.iter().filter(of_it).any(|one| one["Action"] == action && one[field] == value)
        };
        if !has("lambda:InvokeFunctionUrl", "FunctionUrlAuthType", url["AuthType"].clone()) {
            wrong.push(format!("{name}: nobody may use the address"));
        }
        if !has("lambda:InvokeFunction", "InvokedViaFunctionUrl", json!(true)) {
            wrong.push(format!("{name}: nobody may invoke the function through its address"));
        }
    }
    for one in permissions.iter().filter(|one| one["Principal"] == "*") {
        if one.get("FunctionUrlAuthType").is_none() && one["InvokedViaFunctionUrl"] != true {
            wrong.push(format!("anybody may invoke {}", one["FunctionName"]));
        }
    }
    wrong
}

/// The nodes that ElastiCache has, of those families that small installs take.
const NODES: [&str; 7] = [
    "cache.t4g.micro",
    "cache.t4g.small",
    "cache.t4g.medium",
    "cache.m7g.large",
    "cache.m7g.xlarge",
    "cache.r7g.large",
    "cache.r7g.xlarge",
];

fn flags_faults(made: &Made) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut users = Vec::new();
    for (name, user) in made.of_type("AWS::ElastiCache::User") {
        if user["UserId"] != user["UserName"] {
            wrong.push(format!("{name}: id and name differ, so nobody can sign in by IAM"));
        }
        // Those two are held against a real server: kill_switch.rs.
        let rules = user["AccessString"].as_str().unwrap_or_default();
        if ![STEP_RULES, HALT_RULES].iter().any(|proved| rules == format!("on {proved}")) {
            wrong.push(format!("{name}: these rules were never tried: {rules}"));
        }
        if user["AuthenticationMode"]["Type"] == "iam" {
            for (role, properties) in made.of_type("AWS::IAM::Role") {
                let text = properties["Policies"].to_string();
                if text.contains("secret/redis_url") && !text.contains("elasticache:Connect") {
                    wrong.push(format!("{role}: signs in by IAM and lacks elasticache:Connect"));
                }
            }
        }
        users.push(name.clone());
    }
    for (name, group) in made.of_type("AWS::ElastiCache::ReplicationGroup") {
        let node = group["CacheNodeType"].as_str().unwrap_or_default();
        if !NODES.contains(&node) {
            wrong.push(format!("{name}: there is no node type {node}"));
        }
        let parameters = group["CacheParameterGroupName"].as_str().unwrap_or_default();
        if made.properties(parameters)["Properties"]["maxmemory-policy"] != "noeviction" {
            wrong.push(format!("{name}: can forget a flag to make room"));
        }
        let one_shard = group["ClusterMode"] == "disabled" && group["NumNodeGroups"] == 1;
        if !one_shard || group["TransitEncryptionMode"] != "required" {
            wrong.push(format!("{name}: one shard, reached by TLS only"));
        }
        let group = group["UserGroupIds"][0].as_str().unwrap_or_default();
        if made.properties(group)["UserIds"] != json!(users_in_order(made)) {
            wrong.push(format!("{name}: its users are not those of this template"));
        }
    }
    wrong
}

fn users_in_order(made: &Made) -> Vec<&str> {
    let known = ["StepFlagsUser", "HaltFlagsUser"];
    assert!(known.iter().all(|name| made.resources.contains_key(*name)));
    known.to_vec()
}

/// A parameter whose value breaks the pattern beside it. The patterns here have one wildcard, `.+`.
fn parameter_faults(made: &Made) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, parameter) in made.of_type("AWS::SSM::Parameter") {
        let (value, pattern) = (parameter["Value"].as_str(), parameter["AllowedPattern"].as_str());
        let fits = value.zip(pattern).is_some_and(|(value, pattern)| match pattern.split_once(".+") {
            Some((start, end)) if !end.contains(".+") => {
                value.len() > start.len() + end.len() && value.starts_with(start) && value.ends_with(end)
            }
            _ => false,
        });
        if !fits {
            wrong.push(format!("{name}: {value:?} does not fit {pattern:?}"));
        }
    }
    wrong
}

/// What the ASL tools let through: order of retries, no timeout, no default.
fn machine_faults(made: &Made) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, machine) in made.of_type("AWS::StepFunctions::StateMachine") {
        let states = &machine["Definition"]["States"];
        for (state, body) in object(states) {
            for field in ["Retry", "Catch"] {
                let all: Vec<_> = list(&body[field]);
                let catches_all = |one: &&Value| list(&one["ErrorEquals"]).contains(&&json!("States.ALL"));
                let early = all.iter().rev().skip(1).any(catches_all);
                let mixed = all.iter().any(|one| catches_all(one) && list(&one["ErrorEquals"]).len() > 1);
                if early || mixed {
                    wrong.push(format!("{name}.{state}: States.ALL must be last and alone in {field}"));
                }
            }
            if body["Type"] == "Task" && body.get("TimeoutSeconds").is_none() {
                wrong.push(format!("{name}.{state}: a task without an end"));
            }
            if body["Type"] == "Choice" && body.get("Default").is_none() {
                wrong.push(format!("{name}.{state}: an answer that is none of these would be lost"));
            }
            wrong.extend(
                targets(body)
                    .into_iter()
                    .filter(|next| states.get(next).is_none())
                    .map(|next| format!("{name}.{state}: leads to {next}, which is not there")),
            );
        }
        let mut reached = BTreeSet::new();
        let mut open = vec![machine["Definition"]["StartAt"].as_str().unwrap_or_default().to_owned()];
        while let Some(state) = open.pop() {
            if reached.insert(state.clone()) {
                open.extend(targets(&states[&state]));
            }
        }
        let unreached = object(states).into_iter().filter(|(state, _)| !reached.contains(*state));
        wrong.extend(unreached.map(|(state, _)| format!("{name}.{state}: nothing leads here")));
    }
    wrong
}

fn targets(state: &Value) -> Vec<String> {
    let branches = list(&state["Choices"]).into_iter().chain(list(&state["Catch"]));
    let named = branches.map(|one| &one["Next"]).chain([&state["Next"], &state["Default"]]);
    named.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Every minute's sweep, and the drill.
fn schedule_faults(made: &Made) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut found = BTreeMap::new();
    for (name, rule) in made.of_type("AWS::Events::Rule") {
        let target = &rule["Targets"][0];
        let function = target["Arn"].as_str().and_then(|arn| arn.rsplit(':').next()).unwrap_or_default();
        let input = target["Input"].as_str().unwrap_or_default();
        found.insert((function.to_owned(), input.to_owned()), rule["ScheduleExpression"].clone());
        let allowed = made.of_type("AWS::Lambda::Permission").any(|(_, one)| {
            one["Principal"] == "events.amazonaws.com"
                && one["Action"] == "lambda:InvokeFunction"
                && one["SourceArn"] == json!(format!("{name}.Arn"))
        });
        if !allowed {
            wrong.push(format!("{name}: may not invoke its function"));
        }
    }
    for (function, input, often) in SCHEDULES {
        let key = (format!("holdfast-{function}"), input.to_owned());
        if found.get(&key) != Some(&json!(often)) {
            wrong.push(format!("{function} is not given {input} by {often}"));
        }
    }
    wrong
}

/// What is invoked by the clock. A test hands each to its function.
const SCHEDULES: [(&str, &str, &str); 4] = [
    ("halt", r#"{"sweep":"flags"}"#, "rate(1 minute)"),
    ("halt", r#"{"drill":"customer"}"#, "rate(6 hours)"),
    ("step", r#"{"sweep":"effects"}"#, "rate(1 minute)"),
    ("audit", r#"{"sweep":"outbox"}"#, "rate(1 minute)"),
];

/// A stream's failures cannot go to a FIFO queue.
fn dead_letter_faults(made: &Made) -> Vec<String> {
    let queues: BTreeMap<_, _> = made.of_type("AWS::SQS::Queue").collect();
    let mut wrong = Vec::new();
    for (name, mapping) in made.of_type("AWS::Lambda::EventSourceMapping") {
        let to = mapping["DestinationConfig"]["OnFailure"]["Destination"].as_str().unwrap_or_default();
        let queue = queues.iter().find(|(queue, _)| to == format!("{queue}.Arn")).map(|(_, queue)| *queue);
        if to.ends_with(".fifo") || queue.is_some_and(|queue| queue["FifoQueue"] == true) {
            wrong.push(format!("{name}: failures of a stream cannot go to a FIFO queue"));
        }
    }
    wrong
}

/// What a halt needs is kept for it.
fn concurrency_faults(made: &Made) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, function) in made.of_type("AWS::Lambda::Function") {
        if function["ReservedConcurrentExecutions"].as_u64().is_none_or(|reserved| reserved == 0) {
            wrong.push(format!("{name}: shares its concurrency with all others"));
        }
    }
    wrong
}

#[test]
fn the_template_has_none_of_the_faults_that_no_linter_sees() {
    let Some(template) = expanded("cloud::the_template_has_none_of_the_faults_that_no_linter_sees") else {
        return;
    };
    assert_eq!(faults(&template), Vec::<String>::new());
}

/// Sets one place of the template; `null` removes it.
fn with(template: &Value, place: &str, value: Value) -> Value {
    let mut changed = template.clone();
    let (parent, member) = place.rsplit_once('/').expect("a place");
    let parent = changed.pointer_mut(parent).unwrap_or_else(|| panic!("no `{parent}`"));
    if value.is_null() {
        assert!(parent.as_object_mut().expect("an object").remove(member).is_some(), "no `{place}`");
    } else {
        parent[member] = value;
    }
    changed
}

#[test]
fn each_fault_that_no_linter_sees_is_seen_here() {
    let Some(template) = expanded("cloud::each_fault_that_no_linter_sees_is_seen_here") else { return };
    let retry = json!([
        {"ErrorEquals": ["States.ALL"], "MaxAttempts": 1}, {"ErrorEquals": ["States.Timeout"], "MaxAttempts": 1},
    ]);
    let cases = [
        (
            "AuditFunctionOutbox/Properties/FilterCriteria/Filters/0/Pattern",
            json!("{eventName: INSERT"),
            "no JSON",
        ),
        ("OutboxTable/Properties/StreamSpecification", Value::Null, "no stream"),
        ("HaltFunctionURLInvokeAllowPublicAccess", Value::Null, "nobody may invoke"),
        ("HaltFunctionUrlPublicPermissions", Value::Null, "nobody may use"),
        (
            "HaltFunctionURLInvokeAllowPublicAccess/Properties/InvokedViaFunctionUrl",
            Value::Null,
            "anybody may",
        ),
        ("StepFlagsUser/Properties/AuthenticationMode", json!({"Type": "iam"}), "lacks elasticache:Connect"),
        ("Flags/Properties/CacheNodeType", json!("cache.t4g.nano"), "no node type"),
        ("StepFlagsUser/Properties/AccessString", json!("on ~* +@everything"), "never tried"),
        ("StepFlagsUser/Properties/UserName", json!("step"), "id and name differ"),
        (
            "FlagsParameters/Properties/Properties",
            json!({"maxmemory-policy": "allkeys-lru"}),
            "forget a flag",
        ),
        ("Flags/Properties/ClusterMode", json!("enabled"), "one shard"),
        ("HubSpotTargetUrl/Properties/Value", json!("http://example.com/"), "does not fit"),
        ("DrillMissing/Properties/MetricName", json!("DrillsMade"), "nobody counts"),
        ("StepErrors/Properties/MetricName", json!("Failures"), "nobody counts"),
        ("RunsMachine/Properties/Definition/States/Step/Retry", retry, "must be last"),
        ("RunsMachine/Properties/Definition/States/Step/TimeoutSeconds", Value::Null, "without an end"),
        ("RunsMachine/Properties/Definition/States/Decide/Default", Value::Null, "would be lost"),
        ("RunsMachine/Properties/Definition/States/Pause/Next", json!("Stepp"), "not there"),
        ("RunsMachine/Properties/Definition/States/Pause/Next", json!("Done"), ""),
        ("HaltFunctionSweepFlags/Properties/Targets/0/Input", json!("{\"sweep\":\"flag\"}"), "is not given"),
        ("HaltFunctionSweepFlagsPermission", Value::Null, "may not invoke"),
        ("HaltFunction/Properties/ReservedConcurrentExecutions", Value::Null, "shares its concurrency"),
    ];
    for (place, value, seen) in cases {
        let wrong = faults(&with(&template, &format!("/Resources/{place}"), value));
        // One case is no fault, so that the others do not pass by themselves.
        let found =
            if seen.is_empty() { wrong.is_empty() } else { wrong.iter().any(|one| one.contains(seen)) };
        assert!(found, "{place}: {seen:?} not in {wrong:?}");
    }
    let queue = json!({"Type": "AWS::SQS::Queue", "Properties": {"FifoQueue": true}});
    let fifo = with(&template, "/Resources/Failed", queue);
    let to = json!({"OnFailure": {"Destination": {"Fn::GetAtt": ["Failed", "Arn"]}}});
    let fifo = with(&fifo, "/Resources/AuditFunctionOutbox/Properties/DestinationConfig", to);
    assert!(faults(&fifo).iter().any(|one| one.contains("FIFO")));
    let mut lonely = template;
    lonely["Resources"]["RunsMachine"]["Properties"]["Definition"]["States"]["Lonely"] =
        json!({"Type": "Succeed"});
    assert!(faults(&lonely).iter().any(|one| one.contains("nothing leads here")));
}

/// Parameters of installs that differ in kind.
fn installs() -> [Vec<(&'static str, Value)>; 3] {
    [
        vec![
            ("Slack", json!("yes")),
            ("HubSpotAppId", json!("7906213")),
            ("LinkPublicKey", json!("0fa0".repeat(16))),
            ("PublicHaltUrl", json!("https://halt.example.com/")),
            ("PublicConsoleUrl", json!("https://console.example.com/")),
            ("AlarmEmail", json!("ops@example.com")),
        ],
        vec![("CacheReplicas", json!(0)), ("EgressMode", json!("ipv6"))],
        vec![("Database", json!("given")), ("ReservedConcurrency", json!("no"))],
    ]
}

#[test]
fn the_settings_take_every_variable_and_no_variable_holds_a_secret() {
    let name = "cloud::the_settings_take_every_variable_and_no_variable_holds_a_secret";
    let Some(template) = expanded(name) else { return };
    for parameters in installs() {
        let made = Made::of(&template, &parameters);
        for (function, _) in made.of_type("AWS::Lambda::Function") {
            let environment = made.environment(function);
            let read = RefCell::new(BTreeSet::from(["AWS_USE_DUALSTACK_ENDPOINT".to_owned()]));
            let settings = Settings::from_map(|variable| {
                read.borrow_mut().insert(variable.to_owned());
                environment.get(variable).cloned()
            });
            let settings = settings.unwrap_or_else(|errors| panic!("{function}: {errors}"));
            let unread: Vec<_> =
                environment.keys().filter(|variable| !read.borrow().contains(*variable)).collect();
            assert!(unread.is_empty(), "{function}: nobody reads {unread:?}");
            for secret in config::SecretName::ALL {
                assert!(!environment.contains_key(secret.variable()), "{function}: {}", secret.variable());
            }
            assert_eq!(
                (settings.table_prefix.as_str(), settings.parameter_path()),
                ("holdfast-", "/holdfast/".into())
            );
        }
        let replicas = &made.environment("StepFunction")["REDIS_REPLICAS"];
        assert_eq!(made.properties("Flags")["ReplicasPerNodeGroup"].to_string(), *replicas);
    }
}

#[test]
fn an_install_is_swept_once_people_can_open_its_pages() {
    let Some(template) = expanded("cloud::an_install_is_swept_once_people_can_open_its_pages") else {
        return;
    };
    let states = |parameters: &[(&str, Value)]| -> BTreeSet<String> {
        let made = Made::of(&template, parameters);
        made.of_type("AWS::Events::Rule")
            .map(|(_, rule)| rule["State"].as_str().unwrap_or("ENABLED").to_owned())
            .collect()
    };
    assert_eq!(states(&[]), BTreeSet::from(["DISABLED".to_owned()]));
    assert_eq!(states(&installs()[0]), BTreeSet::from(["ENABLED".to_owned()]));
}

/// The four tables, as the embedded store has them: keys, indexes, stream, expiry.
#[test]
fn the_tables_are_those_that_the_tests_run_on() {
    let Some(template) = expanded("cloud::the_tables_are_those_that_the_tests_run_on") else { return };
    let made = Made::of(&template, &[]);
    scene::run(async {
        let scene = Scene::new().await;
        let client = Scene::dynamo();
        for (name, table) in made.of_type("AWS::DynamoDB::Table") {
            let suffix =
                table["TableName"].as_str().and_then(|name| name.strip_prefix("holdfast-")).expect("a name");
            let real = format!("{}{suffix}", scene.prefix);
            let described = client.describe_table().table_name(&real).send().await.expect("a table");
            let described = described.table.expect("a table");
            let keys = |keys: &[aws_sdk_dynamodb::types::KeySchemaElement]| -> Value {
                keys.iter().map(|key| json!({"AttributeName": key.attribute_name(), "KeyType": key.key_type().as_str()})).collect()
            };
            assert_eq!(table["KeySchema"], keys(described.key_schema()), "{name}");
            let kinds: BTreeMap<&str, &str> = described
                .attribute_definitions()
                .iter()
                .map(|one| (one.attribute_name(), one.attribute_type().as_str()))
                .collect();
            let written = list(&table["AttributeDefinitions"]).into_iter();
            let written: BTreeMap<&str, &str> = written
                .filter_map(|one| Some((one["AttributeName"].as_str()?, one["AttributeType"].as_str()?)))
                .collect();
            assert_eq!(written, kinds, "{name}");
            let indexes: Vec<Value> = described
                .global_secondary_indexes()
                .iter()
                .map(|index| {
                    json!({"IndexName": index.index_name(), "KeySchema": keys(index.key_schema()),
                           "Projection": {"ProjectionType": "ALL"}})
                })
                .collect();
            let written: Vec<Value> = list(&table["GlobalSecondaryIndexes"]).into_iter().cloned().collect();
            assert_eq!(written, indexes, "{name}");
            let stream = described.stream_specification().and_then(|one| one.stream_view_type());
            assert_eq!(
                table["StreamSpecification"]["StreamViewType"].as_str(),
                stream.map(|view| view.as_str()),
                "{name}"
            );
            let ends = client.describe_time_to_live().table_name(&real).send().await.expect("an answer");
            let ends =
                ends.time_to_live_description().and_then(|one| one.attribute_name()).map(str::to_owned);
            assert_eq!(table["TimeToLiveSpecification"]["AttributeName"].as_str(), ends.as_deref(), "{name}");
        }
    });
}

#[test]
fn what_holds_the_customers_data_outlives_the_stack() {
    let Some(template) = expanded("cloud::what_holds_the_customers_data_outlives_the_stack") else { return };
    let made = Made::of(&template, &[]);
    let mut tables = 0;
    for (name, resource) in made.resources.iter().filter(|(_, one)| one["Type"] == "AWS::DynamoDB::Table") {
        let policies = (&resource["DeletionPolicy"], &resource["UpdateReplacePolicy"]);
        assert_eq!(policies, (&json!("Retain"), &json!("Retain")), "{name}");
        assert_eq!(resource["Properties"]["DeletionProtectionEnabled"], true, "{name}");
        let recovery = &resource["Properties"]["PointInTimeRecoverySpecification"];
        assert_eq!(recovery["PointInTimeRecoveryEnabled"], true, "{name}");
        tables += 1;
    }
    assert_eq!(tables, 4);
    let cluster = &made.resources["LogCluster"];
    assert_eq!(
        (&cluster["DeletionPolicy"], &cluster["Properties"]["DeletionProtection"]),
        (&json!("Snapshot"), &json!(true))
    );
}

/// Each schedule's event is one that its function knows.
#[test]
fn each_function_knows_what_the_clock_hands_it() {
    scene::run(async {
        let mut scene = Scene::new().await;
        for (function, input, _) in SCHEDULES {
            let event: Value = serde_json::from_str(input).expect("JSON");
            let invocation = scene.invocation();
            match function {
                "halt" => halt::handle(&scene.house.halt, event).await.map(drop).expect(input),
                "step" => step::handle(&scene.house.step, event, &invocation).await.map(drop).expect(input),
                _ => audit::handle(&scene.house.audit, event).await.map(drop).expect(input),
            }
        }
        assert!(halt::handle(&scene.house.halt, json!({"sweep": "flag"})).await.is_err());
    });
}

#[test]
fn a_steps_time_is_the_one_that_everything_else_counts_on() {
    let Some(template) = expanded("cloud::a_steps_time_is_the_one_that_everything_else_counts_on") else {
        return;
    };
    let made = Made::of(&template, &[]);
    assert_eq!(made.properties("StepFunction")["Timeout"], demo::driver::STEP_TIMEOUT.as_secs());
    for (name, function) in made.of_type("AWS::Lambda::Function") {
        assert_eq!(
            (&function["Runtime"], &function["Architectures"]),
            (&json!("provided.al2023"), &json!(["arm64"])),
            "{name}"
        );
        let package = function["Code"]["S3Key"].as_str().unwrap_or_default();
        let folder = package.strip_suffix("/bootstrap.zip").unwrap_or_default();
        assert!(xtask::FUNCTIONS.contains(&folder), "{name}: `{package}` is packaged by nobody");
    }
}
