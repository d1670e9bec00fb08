//! Talking with the person at the terminal: questions to stderr, answers from stdin. Must never echo a PIN.
use std::io::{BufRead, IsTerminal, Write};
use std::process::{Command, Stdio};

/// A person, or nobody.
pub trait Ask {
    /// A line of progress.
    fn progress(&mut self, line: &str);
    /// Asks; `None` when nobody is at the terminal, or she ended the input.
    fn ask(&mut self, question: &str) -> Option<String>;
    /// Asks without showing what is typed.
    fn ask_hidden(&mut self, question: &str) -> Option<String>;
    /// One line of standard input, whoever wrote it.
    fn read_line(&mut self) -> Option<String>;
}

/// The terminal of this process.
#[derive(Debug, Default)]
pub struct Console(());

impl Ask for Console {
    fn progress(&mut self, line: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{}", web::visible_line(line));
    }

    fn ask(&mut self, question: &str) -> Option<String> {
        if !std::io::stdin().is_terminal() {
            return None;
        }
        let mut err = std::io::stderr().lock();
        let _ = write!(err, "{question}: ");
        let _ = err.flush();
        drop(err);
        self.read_line()
    }

    fn ask_hidden(&mut self, question: &str) -> Option<String> {
        if !std::io::stdin().is_terminal() {
            return None;
        }
        let _quiet = Quiet::new();
        let answer = self.ask(question);
        self.progress("");
        answer
    }

    fn read_line(&mut self) -> Option<String> {
        let mut line = String::new();
        match std::io::stdin().lock().read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim().to_owned()),
        }
    }
}

/// The terminal without its echo, until dropped.
// WHY NOT termios itself: it needs unsafe code or one more library for two lines.
struct Quiet;

impl Quiet {
    fn new() -> Self {
        stty("-echo");
        Self
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        stty("echo");
    }
}

fn stty(mode: &str) {
    let _ = Command::new("stty").arg(mode).stdin(Stdio::inherit()).stdout(Stdio::null()).status();
}
