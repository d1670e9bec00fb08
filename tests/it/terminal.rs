//! The operator's command in a test's product, with nobody at the terminal. Must never answer a question.
use crate::scene::Scene;
use clap::Parser as _;

struct Nobody;

impl cli::Ask for Nobody {
    fn progress(&mut self, _line: &str) {}
    fn ask(&mut self, _question: &str) -> Option<String> {
        None
    }
    fn ask_hidden(&mut self, _question: &str) -> Option<String> {
        None
    }
    fn read_line(&mut self) -> Option<String> {
        None
    }
}

/// `holdfast <words>` in this product's environment.
pub async fn holdfast(scene: &Scene, words: &[&str]) -> cli::Report {
    let words = std::iter::once("holdfast").chain(words.iter().copied());
    let arguments = cli::Arguments::try_parse_from(words).expect("arguments");
    cli::run(&arguments, &|name| scene.variables.get(name).cloned(), &mut Nobody).await
}
