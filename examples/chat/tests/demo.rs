//! The transcript follows from what the callbacks answer.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use chat::{Answers, demo};

async fn transcript(answers: Answers) -> String {
    let mut out = Vec::new();
    demo(answers, &mut out).await.unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn the_transcript_is_the_same_each_time() {
    let first = transcript(Answers::default()).await;
    assert_eq!(first, transcript(Answers::default()).await);
    for line in [
        "Cleo answers no and stays outside",
        "The house counts 2 yes, 1 no, 0 silent.",
        "In the room now: Ada, Ben, Cleo",
        "Ben hears Ada: Who knows a place?",
        "Ada hears that Ben is gone.",
        "Ben reads what he has missed. Cleo: Poor Ben.",
        "In the room now: Ada, Cleo, Ben",
    ] {
        assert!(first.contains(line), "{line:?} is missing in:\n{first}");
    }
}

#[tokio::test]
async fn other_answers_give_another_transcript() {
    let answers = Answers { ada: vec![true, false], ben: vec![true, false], cleo: vec![true, false] };
    let transcript = transcript(answers).await;
    assert!(transcript.contains("Cleo answers yes and is in, with Ada and Ben."), "{transcript}");
    assert!(transcript.contains("The house counts 0 yes, 3 no, 0 silent."), "{transcript}");
    assert!(!transcript.contains("stays outside"), "{transcript}");
}
