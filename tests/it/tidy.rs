//! The house rules that no compiler checks, read from the code and held against ARCHITECTURE.md. Must never
//! know a rule that no document states.
use crate::support::not_run;
use crate::tree::{all, code, ending, table, text};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, TargetKind};
use std::collections::{BTreeMap, BTreeSet};

/// Lines of a function, its signature and last brace included.
const FUNCTION_LINES_MAX: usize = 70;
/// Columns of a comment; code is rustfmt's to break, and a text in it cannot be broken.
const COLUMNS_MAX: usize = 110;

type Names = BTreeSet<String>;

fn metadata() -> Metadata {
    let manifest = crate::tree::root().join("Cargo.toml");
    let offline = vec!["--offline".to_owned()];
    MetadataCommand::new().manifest_path(manifest).no_deps().other_options(offline).exec().unwrap()
}

fn folder(package: &Package) -> String {
    let root = crate::tree::root();
    let folder = package.manifest_path.parent().unwrap().as_std_path();
    folder.strip_prefix(root.canonicalize().unwrap()).unwrap().to_string_lossy().into_owned()
}

/// What a crate is linked with: dependencies of its tests are its own affair.
fn linked(package: &Package) -> Names {
    let normal = |kind: &DependencyKind| *kind == DependencyKind::Normal;
    package.dependencies.iter().filter(|d| normal(&d.kind)).map(|d| d.name.clone()).collect()
}

/// Every crate of ours with what it is linked with, and its folder.
fn crates() -> BTreeMap<String, (String, Names)> {
    let packages = metadata().packages;
    packages.iter().map(|p| (p.name.to_string(), (folder(p), linked(p)))).collect()
}

/// Everything that a crate reaches, through crates of ours.
fn reached(name: &str, crates: &BTreeMap<String, (String, Names)>) -> Names {
    let mut found = Names::new();
    let mut next = vec![name.to_owned()];
    while let Some(name) = next.pop() {
        for dependency in crates.get(&name).into_iter().flat_map(|(_, linked)| linked) {
            if found.insert(dependency.clone()) {
                next.push(dependency.clone());
            }
        }
    }
    found
}

/// The page that stops the agent works when the rest does not, so nothing that speaks to the rest is in it.
#[test]
fn the_halt_function_is_linked_with_the_two_switches_and_nothing_else_that_answers_over_a_network() {
    let manifest = crate::tree::root().join("Cargo.toml");
    let offline = vec!["--offline".to_owned()];
    let whole = MetadataCommand::new().manifest_path(manifest).other_options(offline).exec().unwrap();
    let graph = whole.resolve.unwrap().nodes;
    let halt = whole.packages.iter().find(|package| package.name == "halt").unwrap().id.clone();
    let (mut found, mut next) = (BTreeSet::from([halt.clone()]), vec![halt]);
    while let Some(id) = next.pop() {
        let node = graph.iter().find(|node| node.id == id).unwrap();
        let normal = |dep: &&cargo_metadata::NodeDep| {
            dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
        };
        next.extend(
            node.deps
                .iter()
                .filter(normal)
                .map(|dep| &dep.pkg)
                .filter(|id| found.insert((*id).clone()))
                .cloned(),
        );
    }
    let names: Names = whole
        .packages
        .iter()
        .filter(|package| found.contains(&package.id))
        .map(|package| package.name.to_string())
        .collect();
    for switch in ["redis", "aws-sdk-dynamodb", "interlock", "kill-switch"] {
        assert!(names.contains(switch), "{switch} is gone: {names:?}");
    }
    // Parameters hold the key that adds a phone and the company's zone, and no look and no press waits for
    // them. Postgres, the CRM, the model and the chat have no client here.
    for other in
        ["tokio-postgres", "audit-log", "reqwest", "crm", "model", "notify", "tools", "gate", "privacy"]
    {
        assert!(!names.contains(other), "the halt function is linked with {other}");
    }
}

/// One row of the table of arrows.
struct Arrows {
    ours: Names,
    outside: Names,
}

fn arrows() -> BTreeMap<String, Arrows> {
    let rows = table(&text("ARCHITECTURE.md"), "## Arrows");
    let read = |row: Vec<String>| {
        let [name, _, ours, outside, _] = <[String; 5]>::try_from(row).expect("five cells a row");
        let cells = |cell: &str| code(cell).into_iter().collect();
        (code(&name)[0].clone(), Arrows { ours: cells(&ours), outside: cells(&outside) })
    };
    rows.into_iter().map(read).collect()
}

/// What every crate may use without a word, the switch excepted.
fn for_all() -> Names {
    let document = text("ARCHITECTURE.md");
    let sentence =
        document.split("All but `kill-switch` may also use").nth(1).and_then(|rest| rest.split('.').next());
    code(sentence.expect("the sentence about what all may use")).into_iter().collect()
}

#[test]
fn every_arrow_is_in_the_table_and_the_table_holds_no_other() {
    let (crates, arrows, for_all) = (crates(), arrows(), for_all());
    let mut wrong = Vec::new();
    for (name, (folder, linked)) in &crates {
        let Some(row) = arrows.get(name) else {
            wrong.push(format!("`{name}` ({folder}) has no row"));
            continue;
        };
        let free = |dependency: &String| name != "kill-switch" && for_all.contains(dependency);
        for dependency in linked {
            let is_ours = crates.contains_key(dependency);
            let allowed = if is_ours { &row.ours } else { &row.outside };
            let place = crates.get(dependency).and_then(|(folder, _)| folder.split_once('/'));
            let any_of_folder = place.is_some_and(|(place, _)| allowed.contains(&format!("{place}/*")));
            if !allowed.contains(dependency) && !any_of_folder && !free(dependency) {
                wrong.push(format!("`{name}` -> `{dependency}` is not in the table"));
            }
        }
        for allowed in row.ours.union(&row.outside) {
            if !allowed.contains('*') && !linked.contains(allowed) {
                wrong.push(format!("`{name}` -> `{allowed}` is in the table, and nowhere else"));
            }
        }
    }
    wrong.extend(
        arrows.keys().filter(|name| !crates.contains_key(*name)).map(|name| format!("no crate `{name}`")),
    );
    assert!(wrong.is_empty(), "ARCHITECTURE.md, \"Arrows\":\n{}", wrong.join("\n"));
}

#[test]
fn what_a_crate_must_not_reach_it_does_not_reach_through_others_either() {
    let crates = crates();
    let mut wrong = Vec::new();
    for row in table(&text("ARCHITECTURE.md"), "### Absences") {
        let (name, absent) = (code(&row[0])[0].clone(), code(&row[1]));
        assert!(crates.contains_key(&name), "no crate `{name}`");
        let reached = reached(&name, &crates);
        wrong.extend(
            absent.iter().filter(|a| reached.contains(*a)).map(|a| format!("`{name}` reaches `{a}`")),
        );
        let unknown = |a: &&String| !crates.values().any(|(_, linked)| linked.contains(*a));
        wrong.extend(
            absent.iter().filter(unknown).map(|a| format!("nothing uses `{a}`: the absence says nothing")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn arrows_point_from_functions_to_shared_and_never_back() {
    let crates = crates();
    let below = |name: &String, place: &str| crates.get(name).is_some_and(|(f, _)| f.starts_with(place));
    let mut wrong = Vec::new();
    for (name, (folder, linked)) in &crates {
        for dependency in linked {
            let to_function = below(dependency, "functions/");
            if to_function && !folder.starts_with("infra/local/") {
                wrong.push(format!("`{name}` -> `{dependency}`: only the local run links functions"));
            }
            if folder.starts_with("shared/") && below(dependency, "infra/") {
                wrong.push(format!("`{name}` -> `{dependency}`: shared code knows no infrastructure"));
            }
            if dependency == "lambda_runtime"
                && !folder.starts_with("functions/")
                && !folder.starts_with("infra/local")
            {
                wrong.push(format!("`{name}` knows Lambda"));
            }
        }
    }
    assert_eq!(
        crates["kill-switch"].1,
        Names::from(["redis".to_owned()]),
        "the switch knows Redis and nothing else"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_member_takes_the_lints_of_the_workspace() {
    for package in metadata().packages {
        let path = format!("{}/Cargo.toml", folder(&package));
        // The tests themselves may unwrap, and nothing is linked with them.
        if package.name.as_str() == "tests" {
            assert!(text(&path).contains("unsafe_code = \"forbid\""));
            continue;
        }
        assert!(
            text(&path).contains("[lints]\nworkspace = true"),
            "`{path}` needs `[lints] workspace = true`"
        );
        let name = package.name.as_str();
        assert!(folder(&package).ends_with(name), "`{name}` lies in `{}`", folder(&package));
    }
}

#[test]
fn five_functions_are_packaged_and_no_other_bin() {
    let mut bins = Vec::new();
    for package in metadata().packages {
        let is_bin = |kinds: &[TargetKind]| kinds.contains(&TargetKind::Bin);
        let names = package.targets.iter().filter(|t| is_bin(&t.kind)).map(|t| t.name.clone());
        let folder = folder(&package);
        bins.extend(names.map(|name| (name, folder.clone())));
    }
    let mut of_functions = Vec::new();
    for (bin, folder) in bins {
        if folder.starts_with("functions/") {
            assert_eq!(folder, format!("functions/{bin}"), "a function's bin has the name of its folder");
            of_functions.push(bin);
        } else {
            assert!(!xtask::FUNCTIONS.contains(&bin.as_str()), "`{bin}` of `{folder}` has a function's name");
        }
    }
    of_functions.sort();
    assert_eq!(of_functions, xtask::FUNCTIONS);
    let arguments = xtask::package_arguments();
    let named: Vec<_> = arguments.windows(2).filter(|pair| pair[0] == "--bin").map(|pair| pair[1]).collect();
    assert_eq!(named, xtask::FUNCTIONS);
}

#[test]
fn cargo_lambda_knows_every_argument_of_packaging() {
    let mut help = std::process::Command::new("cargo-lambda");
    let Ok(help) = help.args(["lambda", "build", "--help"]).output() else {
        return not_run("cargo_lambda_knows_every_argument_of_packaging", "no cargo-lambda on PATH");
    };
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for argument in xtask::package_arguments().iter().filter(|argument| argument.starts_with("--")) {
        assert!(help.contains(&format!("{argument} ")), "`cargo lambda build` has no `{argument}`");
    }
}

/// The comment at the top of a file, as one line.
fn head(text: &str) -> String {
    let lines = text.lines().take_while(|line| line.starts_with("//!"));
    lines.map(|line| line.trim_start_matches("//!").trim()).collect::<Vec<_>>().join(" ")
}

/// A file of tests has no caller, so there is nothing that it must never do to one.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs")
        || path.ends_with("_tests.rs")
        || path.contains("/tests/")
        || path.contains("/it/")
}

#[test]
fn every_file_says_what_it_is_and_what_it_must_never_do() {
    let mut wrong = Vec::new();
    for (path, text) in ending(".rs") {
        let head = head(&text);
        if head.is_empty() {
            wrong.push(format!("{path}: line 1 is no `//!`"));
        } else if !head.contains("ust never") && !is_test(&path) {
            wrong.push(format!("{path}: the first comment does not say what it must never do"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn functions_fit_on_a_screen() {
    let mut wrong = Vec::new();
    for (path, text) in ending(".rs") {
        for (line, lines) in functions(&text) {
            if lines > FUNCTION_LINES_MAX {
                wrong.push(format!("{path}:{line}: {lines} lines, at most {FUNCTION_LINES_MAX}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// First line and length of each function. Reads what rustfmt leaves: a body ends with a brace under its
/// `fn`.
fn functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let words = code.split(' ').take_while(|word| !word.contains('(') || word.starts_with("pub("));
        let is_function = words.into_iter().any(|word| word == "fn") || code.starts_with("fn ");
        if !is_function || code.starts_with("//") {
            continue;
        }
        let open = lines.iter().enumerate().skip(start).find(|(_, l)| l.ends_with(['{', ';', '}']));
        let Some((open, _)) = open.filter(|(_, line)| line.ends_with('{')) else { continue };
        let end = format!("{}}}", &line[..line.len() - code.len()]);
        let close = lines.iter().enumerate().skip(open + 1).find(|(_, l)| **l == end);
        if let Some((close, _)) = close {
            found.push((start + 1, close - start + 1));
        }
    }
    found
}

#[test]
fn a_function_is_measured_from_its_name_to_its_last_brace() {
    let text = "fn a() {}\nimpl X {\n    pub(crate) async fn b(\n        x: u8,\n    ) -> u8 {\n        x\n    }\n}\n\
                trait T {\n    fn c(&self);\n}\npub fn d() {\n    e();\n}\n";
    assert_eq!(functions(text), [(3, 5), (12, 3)]);
}

#[test]
fn comments_fit_on_the_page_and_promise_no_later_work() {
    let mut wrong = Vec::new();
    let later = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
    for (path, text) in ending(".rs") {
        for (number, line) in (1..).zip(text.lines()) {
            let comment = line.trim_start().starts_with("//");
            if comment && line.chars().count() > COLUMNS_MAX {
                wrong.push(format!(
                    "{path}:{number}: {} columns, at most {COLUMNS_MAX}",
                    line.chars().count()
                ));
            }
            let said = line.split_once("// ").map_or("", |(_, said)| said);
            if later.iter().any(|word| said.split(|c: char| !c.is_alphanumeric()).any(|w| w == *word)) {
                wrong.push(format!("{path}:{number}: work for later belongs in the tracker"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_project_speaks_of_itself_alone() {
    // Written in two halves, so that this file does not hold them.
    let foreign = [("/wo", "rk/"), ("/ro", "ot/"), ("/Us", "ers/"), ("/ho", "me/")];
    let foreign = foreign.map(|(a, b)| format!("{a}{b}"));
    let mut wrong = Vec::new();
    for (path, text) in all() {
        for word in foreign.iter().filter(|word| text.contains(*word)) {
            wrong.push(format!("{path}: `{word}` is a path of one machine"));
        }
    }
    let lock = text("Cargo.lock");
    let home = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    let sources = lock.lines().filter(|line| line.starts_with("source = ") && *line != home);
    wrong.extend(sources.map(|line| format!("Cargo.lock: {line}")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
