//! What the tests need besides Rust: found on the machine, or installed by its own package manager. Must
//! never ask for a password, nor install a thing that is there.
use crate::child::{on_path, quiet, root, target, works};
use std::path::{Path, PathBuf};
use std::process::Command;

/// One thing that some tests need.
struct Part {
    /// What people call it.
    name: &'static str,
    /// Is it there?
    found: fn() -> bool,
    /// Its package for apt-get, and for Homebrew.
    packages: (&'static str, &'static [&'static str]),
}

/// Servers and programs that a package manager knows.
const PARTS: [Part; 3] = [
    Part { name: "Postgres server programs", found: postgres, packages: ("postgresql", &["postgresql@17"]) },
    Part { name: "a Valkey or Redis server", found: redis, packages: ("redis-server", &["valkey"]) },
    Part { name: "Chromium", found: chromium, packages: ("chromium", &["--cask", "chromium"]) },
];

/// What installs without a password here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Installer {
    /// Root on a Debian-like machine.
    Apt,
    /// Homebrew, which never runs as root.
    Brew,
    /// Nothing; the text is what a person would run in front of the package's name.
    Nothing(&'static str),
}

/// Gets everything that the tests need. Answers with one line for each part that is missing.
pub(crate) fn get() -> Vec<String> {
    let installer = installer();
    let mut missing = Vec::new();
    let mut fresh = false;
    for part in &PARTS {
        if (part.found)() {
            continue;
        }
        if let Err(why) = install(part.name, part.packages, installer, &mut fresh) {
            missing.push(why);
        } else if !(part.found)() {
            missing.push(format!("{}: installed, and still not found", part.name));
        }
    }
    for get in [cargo_lambda, aws_checks, get_dynamodb_local, get_axe] {
        if let Err(why) = get(installer, &mut fresh) {
            missing.push(why);
        }
    }
    missing
}

/// Folders that belong in front of PATH, so that the tests find what was installed only for them.
pub(crate) fn folders() -> Vec<PathBuf> {
    vec![venv().join("bin")]
}

/// `cargo lambda`: on the machine, or from its wheel into a private folder below the target folder.
///
/// # Errors
/// One line that says what is missing.
pub(crate) fn get_cargo_lambda() -> Result<(), String> {
    cargo_lambda(installer(), &mut false)
}

fn cargo_lambda(installer: Installer, fresh: &mut bool) -> Result<(), String> {
    let private = venv().join("bin/cargo-lambda");
    if on_path("cargo-lambda").is_some_and(|file| works(file, &["lambda", "--version"]))
        || works(&private, &["lambda", "--version"])
    {
        return Ok(());
    }
    python("cargo-lambda", &venv(), &["cargo-lambda>=1.9,<2"], installer, fresh)
}

/// What the tests check the template with, in a folder of its own: these programs and cargo-lambda would not
/// agree on their libraries. Made anew when the list of versions is another one.
fn aws_checks(installer: Installer, fresh: &mut bool) -> Result<(), String> {
    let list = root().join("infra/aws/checks/requirements.txt");
    let wanted = std::fs::read_to_string(&list).map_err(|error| format!("`{}`: {error}", list.display()))?;
    let folder = aws_tools();
    let mark = folder.join("installed.txt");
    let is_there = std::fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted);
    if is_there && works(folder.join("bin/python"), &["-c", "import samtranslator"]) {
        return Ok(());
    }
    let _ = std::fs::remove_dir_all(&folder);
    let list = list.display().to_string();
    python("checks of the AWS template", &folder, &["--requirement", &list], installer, fresh)?;
    // Last: a folder that is only half there is made again.
    std::fs::write(&mark, wanted).map_err(|error| format!("`{}`: {error}", mark.display()))
}

/// Where the programs are that check the template.
#[must_use]
pub fn aws_tools() -> PathBuf {
    target().join("xtask").join("aws")
}

/// A private Python folder with these packages.
fn python(
    name: &str,
    folder: &Path,
    packages: &[&str],
    installer: Installer,
    fresh: &mut bool,
) -> Result<(), String> {
    if on_path("python3").is_none() || !works("python3", &["-c", "import venv, ensurepip"]) {
        install("Python's venv", ("python3-venv", &["python"]), installer, fresh)
            .map_err(|why| format!("{name}: {why}"))?;
    }
    quiet("making a private Python folder", Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(packages);
    quiet(&format!("installing {name}"), &mut pip)
}

/// The npm package that carries DynamoDB Local, the vendor's own emulator. It is for tests alone: its licence
/// allows to use it, not to hand it on.
const DYNAMODB_LOCAL: &str = "amplify-dynamodb-simulator@2.9.30";

/// The jar of DynamoDB Local, if it was got. The tests of the second store start it with `java`.
#[must_use]
pub fn dynamodb_local() -> Option<PathBuf> {
    Some(dynamodb_folder().join("package/emulator/DynamoDBLocal.jar")).filter(|jar| jar.is_file())
}

fn dynamodb_folder() -> PathBuf {
    target().join("xtask").join("dynamodb-local")
}

fn get_dynamodb_local(installer: Installer, fresh: &mut bool) -> Result<(), String> {
    if !works("java", &["-version"]) {
        install("Java", ("default-jre-headless", &["openjdk"]), installer, fresh)?;
    }
    if dynamodb_local().is_some() {
        return Ok(());
    }
    npm_package("DynamoDB Local", DYNAMODB_LOCAL, &dynamodb_folder(), installer, fresh)
}

/// The npm package that carries axe, which knows the rules of WCAG. The browser's tests run it on every page.
const AXE: &str = "axe-core@4.14.1";

/// axe's script, if it was got.
#[must_use]
pub fn axe() -> Option<PathBuf> {
    Some(axe_folder().join("package/axe.min.js")).filter(|script| script.is_file())
}

/// With its version, so that another one is got anew: what it finds depends on it.
fn axe_folder() -> PathBuf {
    target().join("xtask").join(AXE)
}

fn get_axe(installer: Installer, fresh: &mut bool) -> Result<(), String> {
    if axe().is_some() {
        return Ok(());
    }
    npm_package("axe", AXE, &axe_folder(), installer, fresh)
}

/// Unpacked from the package's own archive: nothing of the package is run.
fn npm_package(
    name: &str,
    package: &str,
    folder: &Path,
    installer: Installer,
    fresh: &mut bool,
) -> Result<(), String> {
    if on_path("npm").is_none() {
        install("npm", ("npm", &["node"]), installer, fresh).map_err(|why| format!("{name}: {why}"))?;
    }
    std::fs::create_dir_all(folder).map_err(|error| format!("{name}: {error}"))?;
    let mut pack = Command::new("npm");
    pack.args(["pack", "--silent", "--pack-destination"]).arg(folder).arg(package);
    quiet(&format!("getting {name}"), &mut pack)?;
    let archive = format!("{}.tgz", package.replace('@', "-"));
    let mut unpack = Command::new("tar");
    unpack.current_dir(folder).args(["-xzf", &archive]);
    quiet(&format!("unpacking {name}"), &mut unpack)
}

fn venv() -> PathBuf {
    target().join("xtask").join("python")
}

fn install(
    name: &str,
    packages: (&str, &[&str]),
    installer: Installer,
    fresh: &mut bool,
) -> Result<(), String> {
    let (apt, brew) = packages;
    match installer {
        Installer::Apt => {
            eprintln!("{name} is missing: apt-get install {apt}");
            if !*fresh {
                quiet("apt-get update", &mut apt_get(&["update"]))?;
                *fresh = true;
            }
            let mut command = apt_get(&["install", "-y", "--no-install-recommends", apt]);
            quiet(&format!("installing {apt}"), &mut command)
        }
        Installer::Brew => {
            eprintln!("{name} is missing: brew install {}", brew.join(" "));
            quiet("brew install", Command::new("brew").arg("install").args(brew))
        }
        Installer::Nothing("") => Err(format!("{name} is missing")),
        Installer::Nothing(command) => Err(format!("{name} is missing: `{command} {apt}` installs it")),
    }
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(["-q", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=120"]).args(arguments);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn installer() -> Installer {
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    match (on_path("apt-get").is_some(), root) {
        (true, true) => Installer::Apt,
        (true, false) => Installer::Nothing("sudo apt-get install -y"),
        (false, false) if on_path("brew").is_some() => Installer::Brew,
        (false, _) => Installer::Nothing(""),
    }
}

fn postgres() -> bool {
    if on_path("initdb").is_some() && on_path("postgres").is_some() {
        return true;
    }
    let folders = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"];
    folders.iter().any(|folder| has_initdb(Path::new(folder)))
}

fn has_initdb(folder: &Path) -> bool {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.path().join("bin/initdb").exists())
}

fn redis() -> bool {
    ["valkey-server", "redis-server"]
        .iter()
        .any(|name| on_path(name).is_some_and(|file| works(file, &["--version"])))
}

fn chromium() -> bool {
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
        .iter()
        .any(|name| on_path(name).is_some())
        || Path::new("/Applications/Chromium.app").exists()
        || Path::new("/Applications/Google Chrome.app").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_password_would_be_needed_nothing_is_run_and_the_command_is_named() {
        let why =
            install("Chromium", ("chromium", &[]), Installer::Nothing("sudo apt-get install -y"), &mut false);
        assert_eq!(
            why,
            Err("Chromium is missing: `sudo apt-get install -y chromium` installs it".to_owned())
        );
        let why = install("Chromium", ("chromium", &[]), Installer::Nothing(""), &mut false);
        assert_eq!(why, Err("Chromium is missing".to_owned()));
    }

    #[test]
    fn server_programs_are_found_below_a_version_folder() {
        let folder = std::env::temp_dir().join(format!("xtask-initdb-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("15/bin")).expect("a folder");
        assert!(!has_initdb(&folder));
        std::fs::write(folder.join("15/bin/initdb"), "").expect("a file");
        assert!(has_initdb(&folder));
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
