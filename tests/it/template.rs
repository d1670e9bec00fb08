//! The template as AWS would see it: expanded by SAM's own translator, its functions (`Ref`, `Sub`, `If`)
//! worked out for one set of parameters. Must never guess: what it cannot work out stays as it is written.
use crate::support::not_run;
use crate::tree::root;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// What stands for an account and a region.
const ACCOUNT: &str = "111122223333";
const REGION: &str = "eu-west-1";

/// The template, expanded once. `Err` says why it cannot be here.
static EXPANDED: LazyLock<Result<Value, String>> = LazyLock::new(|| {
    let python = tool("python")?;
    let output = Command::new(python)
        .args(["infra/aws/checks/expand.py", "infra/aws/template.yaml"])
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .expect("python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout).expect("an expanded template"))
});

/// A program that checks templates.
pub fn tool(name: &str) -> Result<PathBuf, String> {
    let path = xtask::aws_tools().join("bin").join(name);
    if path.is_file() {
        return Ok(path);
    }
    Err("the programs that check the template are not there: `cargo xtask test` installs them".to_owned())
}

/// The expanded template, or a line that this test did not run.
#[track_caller]
pub fn expanded(test: &str) -> Option<Value> {
    match &*EXPANDED {
        Ok(template) => Some(template.clone()),
        Err(why) => {
            not_run(test, why);
            None
        }
    }
}

/// Resources by name, as they would be made with these parameters.
pub struct Made {
    pub resources: BTreeMap<String, Value>,
    pub outputs: BTreeMap<String, Value>,
}

impl Made {
    /// Works the template out.
    pub fn of(template: &Value, parameters: &[(&str, Value)]) -> Self {
        let mut known: BTreeMap<String, Value> = BTreeMap::new();
        for (name, parameter) in object(&template["Parameters"]) {
            known.insert(name.clone(), parameter["Default"].clone());
        }
        for (name, value) in parameters {
            assert!(known.contains_key(*name), "no parameter `{name}`");
            known.insert((*name).to_owned(), value.clone());
        }
        let work = Work { template, parameters: known };
        let section = |name: &str| {
            let entries = object(&template[name]).into_iter();
            let made = entries.filter(|(_, entry)| {
                entry.get("Condition").and_then(Value::as_str).is_none_or(|name| work.holds(name))
            });
            made.map(|(name, entry)| (name.clone(), work.out(entry).expect("a resource"))).collect()
        };
        Self { resources: section("Resources"), outputs: section("Outputs") }
    }

    /// Resources of a type.
    pub fn of_type<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a String, &'a Value)> {
        let properties = |resource: &'a Value| &resource["Properties"];
        self.resources
            .iter()
            .filter(move |(_, resource)| resource["Type"] == kind)
            .map(move |(name, resource)| (name, properties(resource)))
    }

    /// A resource's properties.
    pub fn properties(&self, name: &str) -> &Value {
        let resource = self.resources.get(name).unwrap_or_else(|| panic!("no resource `{name}`"));
        &resource["Properties"]
    }

    /// The environment of a function, blank values left out, as the settings read them.
    pub fn environment(&self, function: &str) -> BTreeMap<String, String> {
        let variables = object(&self.properties(function)["Environment"]["Variables"]);
        let variables = variables.into_iter().map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (name.clone(), text)
        });
        variables.filter(|(_, value)| !value.is_empty()).collect()
    }
}

/// An object's members; none for anything else.
pub fn object(value: &Value) -> Vec<(&String, &Value)> {
    value.as_object().into_iter().flatten().collect()
}

/// A list's elements, or the one value that stands for a list of one.
pub fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(all) => all.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

struct Work<'a> {
    template: &'a Value,
    parameters: BTreeMap<String, Value>,
}

impl Work<'_> {
    fn holds(&self, condition: &str) -> bool {
        self.truth(&self.template["Conditions"][condition])
    }

    fn truth(&self, expression: &Value) -> bool {
        let Some((function, arguments)) = object(expression).first().copied() else {
            panic!("no condition: {expression}")
        };
        match function.as_str() {
            "Fn::Equals" => {
                let [left, right] = list(arguments)[..] else { panic!("{expression}") };
                text(&self.out(left)) == text(&self.out(right))
            }
            "Fn::Not" => !self.truth(list(arguments)[0]),
            "Condition" => self.holds(arguments.as_str().expect("a name")),
            other => panic!("a condition with `{other}`"),
        }
    }

    /// The value, worked out. `None` is `AWS::NoValue`.
    fn out(&self, value: &Value) -> Option<Value> {
        match value {
            Value::Array(all) => Some(all.iter().filter_map(|one| self.out(one)).collect()),
            Value::Object(members) => self.call(members).unwrap_or_else(|| {
                let out = |(name, member): (&String, &Value)| Some((name.clone(), self.out(member)?));
                Some(Value::Object(members.iter().filter_map(out).collect()))
            }),
            plain => Some(plain.clone()),
        }
    }

    /// A call of one of CloudFormation's functions; `None` when it is none that is known here.
    fn call(&self, members: &Map<String, Value>) -> Option<Option<Value>> {
        let (function, arguments) = members.iter().next().filter(|_| members.len() == 1)?;
        Some(match function.as_str() {
            "Ref" => self.reference(arguments.as_str()?),
            "Fn::GetAtt" => {
                let [resource, attribute] = list(arguments)[..] else { return None };
                Some(json!(self.attribute(resource.as_str()?, attribute.as_str()?)))
            }
            "Fn::Sub" => Some(json!(self.substituted(arguments.as_str()?))),
            "Fn::If" => {
                let [condition, yes, no] = list(arguments)[..] else { return None };
                self.out(if self.holds(condition.as_str()?) { yes } else { no })
            }
            "Fn::Join" => {
                let [between, parts] = list(arguments)[..] else { return None };
                let parts: Vec<String> = list(parts).into_iter().map(|part| text(&self.out(part))).collect();
                Some(json!(parts.join(between.as_str()?)))
            }
            _ => return None,
        })
    }

    fn reference(&self, name: &str) -> Option<Value> {
        match name {
            "AWS::NoValue" => None,
            "AWS::Region" => Some(json!(REGION)),
            "AWS::AccountId" => Some(json!(ACCOUNT)),
            "AWS::Partition" => Some(json!("aws")),
            _ => Some(self.parameters.get(name).cloned().unwrap_or_else(|| json!(self.own_name(name)))),
        }
    }

    /// What `Ref` of a resource gives: its name, or its ARN where AWS says so.
    fn own_name(&self, resource: &str) -> String {
        let described = &self.template["Resources"][resource];
        let named = |property: &str| text(&self.out(&described["Properties"][property]));
        match described["Type"].as_str().unwrap_or_else(|| panic!("no resource `{resource}`")) {
            "AWS::Lambda::Function" => named("FunctionName"),
            "AWS::DynamoDB::Table" => named("TableName"),
            "AWS::Logs::LogGroup" => named("LogGroupName"),
            "AWS::SSM::Parameter" => named("Name"),
            "AWS::StepFunctions::StateMachine" => {
                format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{}", named("StateMachineName"))
            }
            _ => resource.to_owned(),
        }
    }

    fn attribute(&self, resource: &str, attribute: &str) -> String {
        let arn = |service: &str, rest: String| format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}");
        let name = self.own_name(resource);
        match (self.template["Resources"][resource]["Type"].as_str(), attribute) {
            (Some("AWS::Lambda::Function"), "Arn") => arn("lambda", format!("function:{name}")),
            (Some("AWS::DynamoDB::Table"), "Arn") => arn("dynamodb", format!("table/{name}")),
            (Some("AWS::DynamoDB::Table"), "StreamArn") => {
                arn("dynamodb", format!("table/{name}/stream/now"))
            }
            (Some("AWS::Logs::LogGroup"), "Arn") => arn("logs", format!("log-group:{name}:*")),
            (Some("AWS::StepFunctions::StateMachine"), "Arn") => name,
            (Some("AWS::Lambda::Url"), "FunctionUrl") => {
                format!("https://{}.lambda-url.{REGION}.on.aws/", resource.to_lowercase())
            }
            _ => format!("{resource}.{attribute}"),
        }
    }

    fn substituted(&self, pattern: &str) -> String {
        let mut pieces = pattern.split("${");
        let mut out = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let (name, rest) = piece.split_once('}').unwrap_or_else(|| panic!("`{pattern}`"));
            out += &match name.split_once('.') {
                Some((resource, attribute)) => self.attribute(resource, attribute),
                None => text(&self.reference(name)),
            };
            out += rest;
        }
        out
    }
}

/// As CloudFormation would put it into a text.
fn text(value: &Option<Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[test]
fn the_functions_of_a_template_are_worked_out_and_an_unknown_one_stays() {
    let template = json!({
        "Parameters": {"Name": {"Default": "holdfast"}, "Mode": {"Default": "a"}},
        "Conditions": {"IsB": {"Fn::Equals": [{"Ref": "Mode"}, "b"]}, "IsA": {"Fn::Not": [{"Condition": "IsB"}]}},
        "Resources": {
            "T": {"Type": "AWS::DynamoDB::Table", "Properties": {"TableName": {"Fn::Sub": "${Name}-t"}}},
            "OnlyB": {"Type": "X", "Condition": "IsB"},
            "Y": {"Type": "Y", "Properties": {
                "arn": {"Fn::Sub": "${T.Arn}/index/q"}, "gone": {"Ref": "AWS::NoValue"},
                "if": [{"Fn::If": ["IsB", "b", {"Ref": "AWS::NoValue"}]}, {"Fn::If": ["IsA", 1, 2]}],
                "else": {"Fn::Select": [0, {"Fn::GetAZs": ""}]}}},
        },
    });
    let made = Made::of(&template, &[]);
    assert_eq!(made.resources.keys().collect::<Vec<_>>(), ["T", "Y"]);
    assert_eq!(
        made.properties("Y"),
        &json!({
            "arn": "arn:aws:dynamodb:eu-west-1:111122223333:table/holdfast-t/index/q",
            "if": [1], "else": {"Fn::Select": [0, {"Fn::GetAZs": ""}]},
        })
    );
    let made = Made::of(&template, &[("Mode", json!("b"))]);
    assert_eq!(made.properties("Y")["if"], json!(["b", 2]));
    assert!(made.resources.contains_key("OnlyB"));
}
