//! The house in memory: members whose link breaks, who do not answer, or who break the rules.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use chat::ChatHouse;
use chat_contract::{ChatClient, ChatError, ChatEvents, Joined, Post, Tally};
use rpc_test::{FakePeer, TestServer, assert_travels, settle};

/// Agrees to everything.
struct Agreeable;

impl ChatEvents for Agreeable {
    async fn posted(&self, _: &str, _: &Post) {}
    async fn left(&self, _: &str, _: &str) {}
    async fn confirm(&self, _: &str) -> bool {
        true
    }
}

fn house() -> TestServer {
    TestServer::start(ChatHouse::server()).unwrap()
}

async fn member(house: &TestServer, name: &str) -> ChatClient {
    let chat = house.connect::<ChatClient>().callback(Agreeable.serve()).await.unwrap();
    chat.join("lobby", name).await.unwrap();
    chat
}

#[tokio::test(start_paused = true)]
async fn a_member_whose_link_breaks_is_forgotten_and_may_come_back() {
    let house = house();
    let _ada = member(&house, "ada").await;
    house.network().cut();
    settle().await;
    let ben = member(&house, "ben").await;
    assert_eq!(ben.who("lobby").await.unwrap(), ["ben"]);
    member(&house, "ada").await;
}

#[tokio::test(start_paused = true)]
async fn a_member_who_does_not_answer_is_counted_as_silent() {
    let house = house();
    let ada = member(&house, "ada").await;
    let mut ben = FakePeer::client::<ChatClient>(&house).await;
    let join = ben.call("Chat.join", &("lobby", "ben"));
    let rules = ben.expect_request("ChatEvents.confirm").await;
    ben.reply(&rules, &true);
    assert_eq!(ben.expect_response::<Joined>(join).await.others, ["ada"]);

    let tally = ada.vote("lobby", "Tea?").await.unwrap();
    assert_eq!(tally, Tally { yes: 1, no: 0, silent: 1 });
    let question = ben.expect_request("ChatEvents.confirm").await;
    ben.expect_cancel(&question).await;
}

#[tokio::test(start_paused = true)]
async fn a_member_who_declines_the_rules_stays_outside() {
    let house = house();
    let mut cleo = FakePeer::client::<ChatClient>(&house).await;
    let join = cleo.call("Chat.join", &("lobby", "cleo"));
    let rules = cleo.expect_request("ChatEvents.confirm").await;
    cleo.reply(&rules, &false);
    assert_eq!(cleo.expect_fault::<ChatError>(join).await, ChatError::Declined);
}

#[test]
fn the_values_of_the_contract_survive_the_wire() {
    let post = Post { number: 1, author: "ada".to_owned(), text: "hello".to_owned() };
    assert_travels(&Joined { others: vec!["ben".to_owned()], history: vec![post] });
    assert_travels(&Tally { yes: 1, no: 2, silent: 3 });
    assert_travels(&ChatError::NameTaken("ada".to_owned()));
}
