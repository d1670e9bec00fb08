//! Deliberately broken variants, chosen at run time by the tests that must catch them. Must never be in a
//! build that runs for real: without the feature `mutants` the compiler itself answers "no" to every
//! question.

#[cfg(feature = "mutants")]
thread_local! {
    static CHOSEN: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// Is this thread to run the broken variant of that name?
#[cfg(feature = "mutants")]
#[must_use]
pub fn mutant(name: &str) -> bool {
    CHOSEN.get() == Some(name)
}

/// Is this thread to run the broken variant of that name? Never.
#[cfg(not(feature = "mutants"))]
#[must_use]
pub const fn mutant(_name: &str) -> bool {
    false
}

/// From now on this thread runs that broken variant, or none.
#[cfg(feature = "mutants")]
pub fn choose_mutant(name: Option<&'static str>) {
    CHOSEN.set(name);
}
