//! The client's side of the demo: a member who gives the answers of the script, and keeps what it hears.

use std::sync::Mutex;

use chat_contract::{ChatEvents, Post};
use tokio::sync::mpsc;

/// An event that a member hears of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A member said something.
    Posted(Post),
    /// A member is gone.
    Left(String),
    /// A question, and the answer given.
    Asked(String, bool),
}

/// Hears and answers for a member. It gives the answers in order, and then always yes.
#[derive(Debug)]
pub(crate) struct Ears {
    answers: Mutex<Vec<bool>>,
    heard: mpsc::UnboundedSender<Heard>,
}

impl Ears {
    /// Makes ears that give these answers, and the receiver of what they hear.
    pub(crate) fn new(mut answers: Vec<bool>) -> (Self, mpsc::UnboundedReceiver<Heard>) {
        answers.reverse();
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { answers: Mutex::new(answers), heard: sender }, receiver)
    }

    fn keep(&self, heard: Heard) {
        // Sending fails when the demo has ended.
        let _ = self.heard.send(heard);
    }
}

impl ChatEvents for Ears {
    async fn posted(&self, _room: &str, post: &Post) {
        self.keep(Heard::Posted(post.clone()));
    }

    async fn left(&self, _room: &str, name: &str) {
        self.keep(Heard::Left(name.to_owned()));
    }

    async fn confirm(&self, question: &str) -> bool {
        let answer = self.answers.lock().map_or(true, |mut answers| answers.pop().unwrap_or(true));
        self.keep(Heard::Asked(question.to_owned(), answer));
        answer
    }
}
