//! The contributor's commands: test, ci, package, bless, hubspot. Must never hold a rule of the product, nor
//! install anything that asks for a password.

mod child;
mod hubspot;
mod parts;
mod tasks;

pub use hubspot::hubspot;
pub use parts::{aws_tools, axe, dynamodb_local};
pub use tasks::{Outcome, bless, ci, package, test};

/// The five functions: one folder, one Lambda, one bin of the same name. Packaging names them, because
/// `cargo lambda` takes every bin of a workspace for a function.
pub const FUNCTIONS: [&str; 5] = ["audit", "console", "halt", "intake", "step"];

/// Where a test that could not run leaves its line; the variable names a file.
pub const NOT_RUN: &str = "HOLDFAST_NOT_RUN";

/// What packaging asks cargo for: the five functions by name and nothing else.
#[must_use]
pub fn package_arguments() -> Vec<&'static str> {
    let mut arguments = vec!["lambda", "build", "--release", "--arm64", "--locked", "--output-format", "zip"];
    arguments.extend(FUNCTIONS.iter().flat_map(|name| ["--bin", name]));
    arguments
}

/// One environment variable of the person who runs the command.
#[expect(clippy::disallowed_methods, reason = "a contributor's shell, not a setting of the product")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Must whatever cannot run count as a failure?
pub(crate) fn in_ci() -> bool {
    variable("CI").as_deref() == Some("true")
}
