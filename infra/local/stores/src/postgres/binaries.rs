//! Which Postgres this machine can give. Must never start one: it only looks and decides.

use crate::process::{on_path, output_of};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Server programs that run, with `initdb` beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    /// The folder that holds `postgres` and `initdb`.
    pub(super) folder: PathBuf,
    /// The major version.
    pub(super) major: u32,
}

/// What was found on the machine and in the data folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// `DATABASE_URL`, if set.
    pub(super) given: Option<String>,
    /// The version of the cluster that the data folder holds already.
    pub(super) cluster: Option<u32>,
    /// The data folder holds a cluster of the embedded Postgres.
    pub(super) embedded: bool,
    /// Server programs, best first.
    pub(super) binaries: Vec<Binaries>,
    /// We are root.
    pub(super) root: bool,
    /// The embedded Postgres can run on this system.
    pub(super) can_embed: bool,
    /// `apt-get` is there.
    pub(super) apt: bool,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Use this URL.
    Given(String),
    /// Run a cluster of our own with these programs.
    Run(Binaries),
    /// Run the Postgres that the program carries.
    Embed,
    /// Install the machine's own package, then look again.
    Install,
    /// Nothing works; the text ends in the one command to run.
    Nothing(String),
}

/// The order of preference. Data that the folder holds already decides first: another engine would not see
/// it.
pub(super) fn plan(found: &Found) -> Plan {
    if let Some(url) = &found.given {
        return Plan::Given(url.clone());
    }
    if let Some(major) = found.cluster {
        return match found.binaries.iter().find(|binaries| binaries.major == major) {
            Some(binaries) => Plan::Run(binaries.clone()),
            None => Plan::Nothing(format!(
                "the data folder was made by Postgres {major}: \
                 install that version, or start with an empty folder"
            )),
        };
    }
    if found.embedded {
        return if found.can_embed && !found.root {
            Plan::Embed
        } else {
            let wanted = "the data folder was made by the embedded Postgres, which does not run as root \
                          or on this system: start as the user who made it, or with an empty folder";
            Plan::Nothing(wanted.to_owned())
        };
    }
    match found.binaries.first() {
        Some(binaries) => Plan::Run(binaries.clone()),
        None if found.can_embed && !found.root => Plan::Embed,
        None if found.root && found.apt => Plan::Install,
        None => Plan::Nothing(advice(found.apt)),
    }
}

fn advice(apt: bool) -> String {
    let command = if apt {
        "sudo apt-get install -y postgresql"
    } else if cfg!(target_os = "macos") {
        "brew install postgresql@17"
    } else {
        "install the `postgresql` server package, or set DATABASE_URL"
    };
    format!("run `{command}` and start again")
}

/// Looks for server programs: PATH, Debian's folders (newest first), Homebrew's.
pub(super) fn look() -> Vec<Binaries> {
    let on_path = on_path("postgres").into_iter().filter_map(|file| {
        // A link in PATH points into the folder where `initdb` is too.
        fs::canonicalize(file).ok()?.parent().map(Path::to_owned)
    });
    let debian = versions_below(Path::new("/usr/lib/postgresql"), "");
    let brew = ["/opt/homebrew/opt", "/usr/local/opt"]
        .into_iter()
        .flat_map(|folder| versions_below(Path::new(folder), "postgresql"));
    let mut found: Vec<Binaries> = Vec::new();
    for folder in on_path.chain(debian).chain(brew) {
        if let Some(binaries) = usable(&folder)
            && !found.contains(&binaries)
        {
            found.push(binaries);
        }
    }
    found
}

/// The `bin` folders below `folder/<prefix>*`, highest number first.
fn versions_below(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut named: Vec<(u32, PathBuf)> = names
        .filter_map(|name| {
            let name = name.to_str()?;
            let rest = name.strip_prefix(prefix)?;
            let version = rest.trim_start_matches('@').parse().unwrap_or_default();
            Some((version, folder.join(name).join("bin")))
        })
        .collect();
    named.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    named.into_iter().map(|(_, bin)| bin).collect()
}

/// The folder's programs, if both run.
fn usable(folder: &Path) -> Option<Binaries> {
    let said = output_of(&folder.join("postgres"), &["--version"])?;
    output_of(&folder.join("initdb"), &["--version"])?;
    Some(Binaries { folder: folder.to_owned(), major: major_in(&said)? })
}

/// The major version in a line such as `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)`.
fn major_in(said: &str) -> Option<u32> {
    let after = said.split_once("(PostgreSQL) ")?.1;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Whether the embedded Postgres can run here: macOS on ARM, or Linux with glibc 2.38 or newer.
pub(super) fn can_embed() -> bool {
    if cfg!(target_os = "macos") {
        return cfg!(target_arch = "aarch64");
    }
    let said = output_of(Path::new("getconf"), &["GNU_LIBC_VERSION"])
        .or_else(|| output_of(Path::new("ldd"), &["--version"]).map(|said| said.lines().take(1).collect()));
    // FAIL-CLOSED: a system that does not say counts as too old.
    said.and_then(|said| glibc_in(&said)).is_some_and(|version| version >= (2, 38))
}

/// The version in `glibc 2.36` or `ldd (Debian GLIBC 2.36-9+deb12u14) 2.36`.
fn glibc_in(said: &str) -> Option<(u32, u32)> {
    let (major, minor) = said.split_whitespace().last()?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Whether the machine installs packages with `apt-get`.
pub(super) fn has_apt() -> bool {
    !on_path("apt-get").is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binaries(major: u32) -> Binaries {
        Binaries { folder: PathBuf::from(format!("/pg/{major}")), major }
    }

    #[test]
    fn the_order_of_preference() {
        let everything = Found {
            given: Some("postgres://x".to_owned()),
            binaries: vec![binaries(17), binaries(15)],
            can_embed: true,
            apt: true,
            ..Found::default()
        };
        assert_eq!(plan(&everything), Plan::Given("postgres://x".to_owned()));
        let found = Found { given: None, ..everything };
        assert_eq!(plan(&found), Plan::Run(binaries(17)));
        let none = Found { binaries: Vec::new(), ..found };
        assert_eq!(plan(&none), Plan::Embed);
        let root = Found { root: true, ..none };
        assert_eq!(plan(&root), Plan::Install);
        let user = Found { root: false, can_embed: false, ..root };
        assert!(matches!(plan(&user), Plan::Nothing(said) if said.contains("apt-get install -y postgresql")));
    }

    #[test]
    fn the_data_that_is_there_decides_before_what_the_machine_has() {
        let found =
            Found { cluster: Some(15), binaries: vec![binaries(17), binaries(15)], ..Found::default() };
        assert_eq!(plan(&found), Plan::Run(binaries(15)));
        let newer = Found { binaries: vec![binaries(17)], can_embed: true, ..found };
        assert!(matches!(plan(&newer), Plan::Nothing(said) if said.contains("Postgres 15")));
        let embedded =
            Found { embedded: true, can_embed: true, binaries: vec![binaries(17)], ..Found::default() };
        assert_eq!(plan(&embedded), Plan::Embed);
        assert!(matches!(plan(&Found { root: true, ..embedded }), Plan::Nothing(_)));
    }

    #[test]
    fn versions_are_read_from_what_programs_say() {
        assert_eq!(major_in("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)"), Some(15));
        assert_eq!(major_in("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_in("a wrapper"), None);
        assert_eq!(glibc_in("glibc 2.36"), Some((2, 36)));
        assert_eq!(glibc_in("ldd (Ubuntu GLIBC 2.39-0ubuntu8) 2.39"), Some((2, 39)));
        assert_eq!(glibc_in("musl libc"), None);
    }

    #[test]
    fn newer_folders_come_first_and_half_an_install_is_passed_over() {
        let folder = crate::data_dir::tests::scratch("versions");
        for name in ["9", "15", "17"] {
            fs::create_dir_all(folder.join(name).join("bin")).unwrap();
        }
        let bins = versions_below(&folder, "");
        assert_eq!(bins, ["17", "15", "9"].map(|name| folder.join(name).join("bin")));
        assert_eq!(usable(&bins[0]), None);
    }
}
