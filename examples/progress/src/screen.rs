//! The client's side: a progress bar, and a user who answers questions.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use crate::contract::Watcher;

/// The user's answers to the server's questions.
#[derive(Debug)]
pub enum Answers {
    /// These answers, one after another, and then no.
    Given(Mutex<VecDeque<bool>>),
    /// The user types the answers at the terminal.
    Typed,
}

impl Answers {
    /// Gives these answers, one after another, and then no.
    pub fn given(answers: impl IntoIterator<Item = bool>) -> Self {
        Self::Given(Mutex::new(answers.into_iter().collect()))
    }
}

/// Shows a bar, and records what it shows for tests and for programs without a terminal.
#[derive(Debug)]
pub struct Screen {
    bar: ProgressBar,
    answers: Answers,
    seen: watch::Sender<Seen>,
}

/// What the server has told and asked the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// How much of the job is done, in percent.
    pub percent: u64,
    /// The server's questions, with the answers.
    pub questions: Vec<String>,
}

impl Screen {
    /// A bar at zero. `bar` is hidden if there is no terminal.
    pub fn new(bar: ProgressBar, answers: Answers) -> Self {
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} records, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, answers, seen: watch::Sender::default() }
    }

    /// A receiver of what is shown, which sees each change.
    pub fn seen(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    fn answer(&self, question: &str) -> bool {
        match &self.answers {
            Answers::Given(answers) => {
                answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or(false)
            }
            Answers::Typed => self.bar.suspend(|| typed(question)),
        }
    }
}

impl Watcher for Screen {
    async fn progress(&self, _job: u32, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.seen.send_modify(|seen| seen.percent = done * 100 / total.max(1));
        if done == total {
            self.bar.finish();
        }
    }

    async fn overwrite(&self, _job: u32, name: &str, bytes: u64) -> bool {
        let question = format!("{name} is there already ({bytes} bytes). Overwrite it?");
        // Reading from the terminal blocks this thread; the runtime moves its other work to another thread.
        let yes = tokio::task::block_in_place(|| self.answer(&question));
        let said = format!("{question} {}", if yes { "yes" } else { "no" });
        self.seen.send_modify(|seen| seen.questions.push(said));
        yes
    }
}

#[allow(clippy::print_stderr, reason = "a program asks its user")]
fn typed(question: &str) -> bool {
    eprint!("{question} [y/N] ");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).is_ok() && line.trim().eq_ignore_ascii_case("y")
}
