//! `infra/aws/secrets.sh`, run with a stand-in of the AWS command line tool that keeps what it was told. Must
//! never need an account.
use crate::scene::{self, Scene};
use crate::support::not_run;
use crate::template::{Made, expanded};
use crate::tree::{root, text};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Answers what a deployed stack would; keeps its arguments and its input apart.
const AWS: &str = r#"#!/usr/bin/env bash
printf '%s\n' "$*" >> "$KEPT/arguments"
case "$*" in
*cli-input-json*) cat >> "$KEPT/input"; echo >> "$KEPT/input" ;;
*'ssm get-parameter '*) exit 255 ;;
*"'FlagsAddress'"*) echo 'flags.example:6379' ;;
*"'LogCluster'"*) echo 'arn:aws:rds:eu-west-1:111122223333:cluster:holdfast-log' ;;
*"'LogOwnerSecret'"*) echo 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:log' ;;
*"'LogAddress'"*) echo 'log.example:5432' ;;
*"'MigrateFunctionName'"*) echo 'holdfast-migrate' ;;
*get-secret-value*) echo '{"username":"holdfast_owner","password":"canaryMade"}' ;;
*'lambda invoke'*) echo '{"migrated":true}None' ;;
*) exit 1 ;;
esac
"#;

struct Desk(PathBuf);

impl Desk {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("holdfast-secrets-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let aws = folder.join("aws");
        std::fs::write(&aws, AWS).expect("a program");
        std::fs::set_permissions(&aws, std::fs::Permissions::from_mode(0o755)).expect("a program");
        Self(folder)
    }

    /// Runs the script with these arguments and lines of input.
    fn run(&self, arguments: &[&str], typed: &str) -> Output {
        let path = format!("{}:{}", self.0.display(), std::env::var("PATH").unwrap_or_default());
        let mut child = Command::new("bash")
            .arg("infra/aws/secrets.sh")
            .args(arguments)
            .current_dir(root())
            .env("PATH", path)
            .env("KEPT", &self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bash");
        // A script that asks for less than is typed has closed its input.
        let _ = child.stdin.take().expect("a pipe").write_all(typed.as_bytes());
        child.wait_with_output().expect("an end")
    }

    fn kept(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }

    /// What was handed over in each call that takes its input through a pipe.
    fn inputs(&self) -> Vec<Value> {
        let kept = self.kept("input");
        kept.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }

    /// The parameters that were stored, all of them as SecureString.
    fn stored(&self) -> BTreeMap<String, String> {
        let puts = self.inputs().into_iter().filter(|input| input.get("Name").is_some());
        puts.map(|put| {
            assert_eq!(put["Type"], "SecureString");
            let text = |name: &str| put[name].as_str().expect("text").to_owned();
            (text("Name"), text("Value"))
        })
        .collect()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn can_run(test: &str) -> bool {
    let found = Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success());
    if !found {
        not_run(test, "no openssl on PATH");
    }
    found
}

fn said(output: &Output) -> String {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{}", text.concat());
    text.concat()
}

const TYPED: &str =
    "canaryToken\ncanarySecret,canaryOld\ncanaryKey\nhttps://hooks.slack.com/services/canary\n";

#[test]
fn every_parameter_that_a_function_is_told_of_is_stored_and_nothing_is_shown() {
    let name = "secrets::every_parameter_that_a_function_is_told_of_is_stored_and_nothing_is_shown";
    let Some(template) = expanded(name).filter(|_| can_run(name)) else { return };
    let desk = Desk::new();
    let said = said(&desk.run(&["ask"], TYPED)) + &said(&desk.run(&["addresses", "stack"], ""));
    let made = Made::of(&template, &[("Slack", "yes".into())]);
    let script = text("infra/aws/secrets.sh");
    for output in script.split("$(output ").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(made.outputs.contains_key(output), "the stack has no output `{output}`");
    }
    let mut told: BTreeSet<String> = BTreeSet::new();
    for (function, _) in made.of_type("AWS::Lambda::Function") {
        let parameters = made.environment(function).into_iter();
        told.extend(
            parameters.filter(|(variable, _)| variable.ends_with("_PARAMETER")).map(|(_, value)| value),
        );
    }
    // This one is no secret, and the stack makes it.
    assert!(told.remove("/holdfast/secret/hubspot_target_url"));
    let stored = desk.stored();
    assert_eq!(stored.keys().cloned().collect::<BTreeSet<_>>(), told);
    // And each is what the settings want there.
    for (parameter, value) in &stored {
        let file = parameter.rsplit('/').next().unwrap_or_default().to_uppercase();
        let secret = config::SecretName::ALL.iter().find(|secret| file.starts_with(secret.variable()));
        let variable = secret.unwrap_or_else(|| panic!("{parameter}")).variable();
        let settings = config::Settings::from_map(|wanted| (wanted == variable).then(|| value.clone()));
        assert!(settings.is_ok(), "{parameter}: {settings:?}");
    }
    let public =
        web::LinkSigner::from_secret_hex(&stored["/holdfast/secret/link_signing_key"]).expect("a key");
    assert!(said.contains(&format!("LinkPublicKey={}\n", public.verifier().to_hex())), "{said}");
    let arguments = desk.kept("arguments");
    for secret in stored.values() {
        let core = secret.split(['@', ',']).next().unwrap_or_default();
        assert!(!said.contains(core) && !arguments.contains(core), "a secret was shown, or was an argument");
    }
    assert!(!said.contains("canary") && !arguments.contains("canary"), "{said}{arguments}");
}

/// What would break the JSON that carries it is refused, not stored in part.
#[test]
fn a_value_that_no_secret_has_is_refused() {
    if !can_run("secrets::a_value_that_no_secret_has_is_refused") {
        return;
    }
    for bad in ["a\"b", "a\\b", "a\u{1b}b"] {
        let desk = Desk::new();
        let output = desk.run(&["ask"], &format!("{bad}\n\n\n\n"));
        assert!(!output.status.success(), "{bad:?}");
        assert_eq!(desk.kept("input"), "", "{bad:?}");
    }
}

/// The statements make logins with their own roles and no other, on a real database.
#[test]
fn the_logins_of_the_log_have_their_roles_and_no_other() {
    let name = "secrets::the_logins_of_the_log_have_their_roles_and_no_other";
    if !can_run(name) {
        return;
    }
    let desk = Desk::new();
    said(&desk.run(&["addresses", "stack"], ""));
    let inputs = desk.inputs();
    let statements: Vec<&str> = inputs.iter().filter_map(|input| input["sql"].as_str()).collect();
    assert_eq!(statements.len(), 2);
    scene::run(async {
        let scene = Scene::new().await;
        let address = &scene.variables["DATABASE_URL"];
        let (client, connection) =
            tokio_postgres::connect(address, tokio_postgres::NoTls).await.expect("the database");
        let connection = tokio::spawn(connection);
        for statement in statements {
            client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        }
        for (login, roles) in [
            ("holdfast_audit", &["writer", "reader", "eraser", "retainer"][..]),
            ("holdfast_console", &["reader", "judge"]),
        ] {
            for role in ["writer", "reader", "eraser", "retainer", "judge"] {
                let sql = "SELECT pg_has_role($1::text::name, audit.role_name($2)::name, 'MEMBER')";
                let row = client.query_one(sql, &[&login, &role]).await.expect("an answer");
                assert_eq!(row.get::<_, bool>(0), roles.contains(&role), "{login} {role}");
            }
        }
        drop(client);
        connection.await.expect("joined").expect("a clean end");
    });
}
