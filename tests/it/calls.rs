//! Which calls to AWS a function's code can reach: a call graph by names, over the function and every crate
//! of ours that it links. Must never miss a call; two functions of one name and as many arguments are taken
//! for each other, so it may name one too many.
use crate::tree;
use cargo_metadata::{DependencyKind, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};

/// How the SDKs are asked, and the right that each needs. A transaction needs the rights of its parts.
const OPERATIONS: [(&str, &str); 18] = [
    (".get_item()", "dynamodb:GetItem"),
    (".batch_get_item()", "dynamodb:BatchGetItem"),
    (".put_item()", "dynamodb:PutItem"),
    ("Put::builder()", "dynamodb:PutItem"),
    (".update_item()", "dynamodb:UpdateItem"),
    ("Update::builder()", "dynamodb:UpdateItem"),
    (".delete_item()", "dynamodb:DeleteItem"),
    ("Delete::builder()", "dynamodb:DeleteItem"),
    (".batch_write_item()", "dynamodb:BatchWriteItem"),
    ("ConditionCheck::builder()", "dynamodb:ConditionCheckItem"),
    (".query()\n", "dynamodb:Query"),
    (".scan()", "dynamodb:Scan"),
    (".describe_table()", "dynamodb:DescribeTable"),
    (".get_parameter()", "ssm:GetParameter"),
    (".get_parameters_by_path()", "ssm:GetParametersByPath"),
    (".put_parameter()", "ssm:PutParameter"),
    (".start_execution()", "states:StartExecution"),
    (".stop_execution()", "states:StopExecution"),
];

/// One right that the code needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// `dynamodb:GetItem`.
    pub action: String,
    /// `table/runs/index/queue`, `hot`, `secret REDIS_URL`, `machine/runs`.
    pub resource: String,
}

/// A function of the source.
struct Item {
    krate: String,
    file: String,
    name: String,
    /// Can another crate call it?
    open: bool,
    /// Has it a receiver?
    method: bool,
    parameters: usize,
    body: String,
}

/// Our crates: folder and the crates of ours that each is linked with.
struct Crates(BTreeMap<String, (String, Vec<String>)>);

/// The rights that the code of each function needs, with where it asks: `file::function`.
pub fn rights() -> BTreeMap<String, BTreeMap<Right, BTreeSet<String>>> {
    let crates = Crates::read();
    let items = items(&crates);
    let of = |function: &&str| ((*function).to_owned(), rights_of(function, &crates, &items));
    xtask::FUNCTIONS.iter().map(of).collect()
}

impl Crates {
    fn read() -> Self {
        let metadata = MetadataCommand::new()
            .current_dir(tree::root())
            .no_deps()
            .other_options(["--offline".to_owned()])
            .exec()
            .expect("cargo metadata");
        let root = metadata.workspace_root.clone();
        let ours: BTreeSet<String> =
            metadata.packages.iter().map(|package| package.name.to_string()).collect();
        let one = |package: &cargo_metadata::Package| {
            let folder = package.manifest_path.parent().expect("a folder");
            let folder = folder.strip_prefix(&root).expect("below the root").to_string();
            let linked = package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal);
            let linked = linked.map(|d| d.name.clone()).filter(|name| ours.contains(name)).collect();
            (package.name.to_string(), (folder, linked))
        };
        Self(metadata.packages.iter().map(one).collect())
    }

    /// A crate and everything of ours that it is linked with.
    fn reached(&self, name: &str) -> BTreeSet<String> {
        let (mut found, mut open) = (BTreeSet::new(), vec![name.to_owned()]);
        while let Some(name) = open.pop() {
            if found.insert(name.clone()) {
                open.extend(self.0[&name].1.iter().cloned());
            }
        }
        found
    }
}

fn rights_of(function: &str, crates: &Crates, items: &[Item]) -> BTreeMap<Right, BTreeSet<String>> {
    let reached = crates.reached(function);
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, item) in items.iter().enumerate().filter(|(_, item)| reached.contains(&item.krate)) {
        by_name.entry(&item.name).or_default().push(index);
    }
    let mut open: Vec<usize> = (0..items.len()).filter(|index| items[*index].krate == function).collect();
    let mut seen = BTreeSet::new();
    let mut rights: BTreeMap<Right, BTreeSet<String>> = BTreeMap::new();
    while let Some(index) = open.pop() {
        if !seen.insert(index) {
            continue;
        }
        let item = &items[index];
        let place = format!("{}::{}", item.file, item.name);
        for right in asked(item) {
            rights.entry(right).or_default().insert(place.clone());
        }
        let linked = crates.reached(&item.krate);
        for call in calls(&item.body) {
            let candidates = by_name.get(call.name.as_str()).into_iter().flatten();
            open.extend(candidates.filter(|index| {
                let callee = &items[**index];
                let visible = callee.krate == item.krate || callee.open;
                visible && linked.contains(&callee.krate) && call.fits(callee)
            }));
        }
    }
    rights
}

/// What one function asks of AWS by itself.
fn asked(item: &Item) -> Vec<Right> {
    let mut rights = Vec::new();
    for (pattern, action) in OPERATIONS {
        for (at, _) in item.body.match_indices(pattern) {
            rights.extend(
                resource(item, action, &item.body[at..])
                    .map(|resource| Right { action: action.to_owned(), resource }),
            );
        }
    }
    if item.krate == "config" && item.name != "hubspot_client_secrets" {
        return rights;
    }
    for (at, marker) in item.body.match_indices("SecretName::") {
        let rest = &item.body[at + marker.len()..];
        let variant: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        let secret = config::SecretName::ALL.iter().find(|name| format!("{name:?}") == variant);
        let secret = secret.unwrap_or_else(|| panic!("{}: no secret `{variant}`", item.file));
        let resource = format!("secret {}", secret.variable());
        rights.push(Right { action: "ssm:GetParameter".to_owned(), resource });
    }
    rights
}

/// What a call is about. `None` for the one call that reads whatever secret it is told to: those are found
/// where they are named.
fn resource(item: &Item, action: &str, rest: &str) -> Option<String> {
    if action.starts_with("states:") {
        return Some("machine/runs".to_owned());
    }
    if action.starts_with("ssm:") {
        return (item.file != "shared/config/src/secrets.rs").then(|| "hot".to_owned());
    }
    let table = match item.krate.as_str() {
        "interlock" => "control",
        "budget" => "budget",
        "ledger" => {
            let (runs, outbox) = (rest.find("self.runs"), rest.find("self.outbox"));
            let is_runs = runs.is_some_and(|runs| outbox.is_none_or(|outbox| runs < outbox));
            assert!(runs.or(outbox).is_some(), "{}::{}: which table?", item.file, item.name);
            if is_runs { "runs" } else { "outbox" }
        }
        other => panic!("`{other}` asks for {action}: only the crates that own a table do"),
    };
    let ends = [".send()", ".build()"].iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len());
    let index = rest[..ends].split(".index_name(\"").nth(1).and_then(|rest| rest.split('"').next());
    Some(index.map_or_else(|| format!("table/{table}"), |index| format!("table/{table}/index/{index}")))
}

/// Every function of every crate, those of tests left out.
fn items(crates: &Crates) -> Vec<Item> {
    let files = tree::ending(".rs");
    let mut items = Vec::new();
    for (krate, (folder, _)) in &crates.0 {
        let sources = format!("{folder}/src/");
        let own = files.iter().filter(|(path, _)| path.starts_with(&sources) && !path.contains("test"));
        for (path, text) in own {
            read(krate, path, text, &mut items);
        }
    }
    items
}

fn read(krate: &str, path: &str, text: &str, items: &mut Vec<Item>) {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{'));
    let lines = &lines[..tests.unwrap_or(lines.len())];
    let mut in_trait = false;
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        if indent.is_empty() && (code.starts_with("impl") || code.contains("trait ")) {
            in_trait = code.contains(" for ") || code.contains("trait ");
        }
        let Some(name) = named(code) else { continue };
        let close = format!("{indent}}}");
        let one_line = code.ends_with('}') || code.ends_with(';');
        let end = (start..lines.len()).find(|at| (one_line && *at == start) || lines[*at] == close);
        let body: String =
            lines[start..=end.unwrap_or(start)].iter().map(|line| without_comment(line) + "\n").collect();
        let (parameters, after) = arguments(&body, body.find(name).unwrap_or(0) + name.len());
        let method = parameters
            .first()
            .is_some_and(|first| first.trim_start_matches(['&', ' ']).split(' ').any(|word| word == "self"));
        items.push(Item {
            krate: krate.to_owned(),
            file: path.to_owned(),
            name: name.to_owned(),
            open: code.starts_with("pub ") || in_trait,
            method,
            parameters: parameters.len() - usize::from(method),
            body: body[after..].to_owned(),
        });
    }
}

/// The name of the function that this line begins.
fn named(code: &str) -> Option<&str> {
    let before = |text: &str| {
        text.is_empty()
            || text
                .split(' ')
                .all(|word| word.is_empty() || word == "async" || word == "const" || word.starts_with("pub"))
    };
    let (head, rest) = code.split_once("fn ")?;
    before(head).then(|| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()).flatten()
}

fn without_comment(line: &str) -> String {
    let code = line.trim_start();
    if code.starts_with("//") {
        return String::new();
    }
    line.split_once(" // ").map_or(line, |(code, _)| code).to_owned()
}

/// A call: by name and number of arguments, or a name handed on (`map(rows::of)`), which fits any number.
#[derive(Debug, PartialEq)]
struct Call {
    name: String,
    arguments: Option<usize>,
    method: bool,
}

impl Call {
    fn fits(&self, callee: &Item) -> bool {
        let Some(count) = self.arguments else { return true };
        if self.method {
            return callee.method && callee.parameters == count;
        }
        callee.parameters + usize::from(callee.method) == count
    }
}

fn calls(body: &str) -> Vec<Call> {
    let mut found = Vec::new();
    let bytes = body.as_bytes();
    let is_word = |at: usize| bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let mut at = 0;
    while at < bytes.len() {
        if !is_word(at) {
            at += 1;
            continue;
        }
        let start = at;
        while is_word(at) {
            at += 1;
        }
        let name = &body[start..at];
        let before = body[..start].trim_end();
        // `name::<T>(` is a call as well.
        let open =
            if body[at..].starts_with("::<") { body[at..].find(">(").map(|n| at + n + 1) } else { Some(at) };
        match open.filter(|open| bytes.get(*open) == Some(&b'(')) {
            Some(open) => found.push(Call {
                name: name.to_owned(),
                arguments: Some(arguments(body, open).0.len()),
                method: before.ends_with('.') && !before.ends_with(".."),
            }),
            None if before.ends_with("::") && !body[at..].starts_with("::") => {
                found.push(Call { name: name.to_owned(), arguments: None, method: false });
            }
            None => {}
        }
    }
    found
}

/// The arguments or parameters in the first parentheses from here (generics skipped), and where they end.
fn arguments(text: &str, from: usize) -> (Vec<String>, usize) {
    let (mut parts, mut part) = (Vec::new(), String::new());
    let (mut depth, mut angles, mut in_text, mut in_pipes, mut last) = (0_i32, 0_i32, false, false, ' ');
    let mut escaped = false;
    for (at, c) in text[from..].char_indices() {
        if in_text {
            (in_text, escaped) = (escaped || c != '"', !escaped && c == '\\');
            part.push(c);
            continue;
        }
        match c {
            '"' if last != '\'' => in_text = true,
            '<' if depth == 0 => angles += 1,
            '>' if depth == 0 && last != '-' => angles -= 1,
            '|' if depth == 1 => in_pipes = !in_pipes,
            '(' | '[' | '{' if angles == 0 => {
                depth += 1;
                if depth == 1 {
                    continue;
                }
            }
            ')' | ']' | '}' if angles == 0 => depth -= 1,
            ',' if depth == 1 && !in_pipes => {
                parts.push(std::mem::take(&mut part).trim().to_owned());
                continue;
            }
            _ => {}
        }
        if depth == 0 && angles == 0 && c == ')' {
            parts.push(part.trim().to_owned());
            parts.retain(|part| !part.is_empty());
            return (parts, from + at + 1);
        }
        if depth > 0 {
            part.push(c);
        }
        last = c;
    }
    (Vec::new(), from)
}

#[test]
fn calls_are_told_apart_by_their_arguments() {
    let body =
        "{ a.get(); b.get(x, |k, v| (k, v)); c::put(&\"a, (b\".into(), [1, 2]); d.map(rows::of); e::<T>(1) }";
    let call = |name: &str, arguments, method| Call { name: name.to_owned(), arguments, method };
    assert_eq!(
        calls(body),
        [
            call("get", Some(0), true),
            call("get", Some(2), true),
            call("put", Some(2), false),
            call("into", Some(0), true),
            call("map", Some(1), true),
            call("of", None, false),
            call("e", Some(1), false),
        ]
    );
    let mut items = Vec::new();
    let source = "impl A {\n    pub(crate) async fn get<F: Fn(u8) -> u8>(\n        &self,\n        f: F,\n    ) -> u8 {\n        f(1)\n    \
                  }\n}\nimpl B for A {\n    fn go(&mut self) { x() }\n}\n#[cfg(test)]\nmod tests {\n    fn not() {}\n}\n";
    read("a", "a.rs", source, &mut items);
    let seen: Vec<_> = items.iter().map(|i| (i.name.as_str(), i.open, i.method, i.parameters)).collect();
    assert_eq!(seen, [("get", false, true, 1), ("go", true, true, 0)]);
}
