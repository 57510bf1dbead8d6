use std::{num::NonZeroUsize, sync::atomic::Ordering::SeqCst, time::Duration};

use futures::StreamExt;
use rpc_core::{CallOptions, Code, Config, Session};
use rpc_testing::{at_rest, settle, until};

use crate::rooms::{Client, Room};

async fn clients(answers: &[Option<bool>]) -> Vec<Client> {
    let mut clients = Vec::new();
    for answer in answers {
        let client = Client::new(&Config::default()).await;
        *client.seen.answer.lock().unwrap() = *answer;
        clients.push(client);
    }
    clients
}

fn sessions(clients: &[Client]) -> impl Iterator<Item = &Session> {
    clients.iter().map(|client| &client.at_server)
}

fn asked(clients: &[Client]) -> usize {
    clients.iter().map(|client| client.seen.asked.load(SeqCst)).sum()
}

fn at_most(members: usize) -> NonZeroUsize {
    NonZeroUsize::new(members).unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_member_answers_once_and_those_who_do_not_fail_in_time() {
    let clients = clients(&[Some(true), None, Some(false), Some(true)]).await;
    clients[3].at_client.close().await;
    clients[3].at_server.closed().await;
    let room = Room::of(sessions(&clients)).all().with(CallOptions::new().timeout(Duration::from_secs(2)));
    let mut answers = room.confirm("Lunch?").collect().await;
    answers.sort_by_key(|(member, _)| member.id());
    let ids: Vec<_> = answers.iter().map(|(member, _)| member.id()).collect();
    assert_eq!(ids, sessions(&clients).map(Session::id).collect::<Vec<_>>());
    let answers: Vec<_> = answers.into_iter().map(|(_, answer)| answer.map_err(|status| status.code())).collect();
    assert_eq!(answers, [Ok(true), Err(Code::DeadlineExceeded), Ok(false), Err(Code::Unavailable)]);
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_cancels_the_other_calls() {
    let clients = clients(&[None, Some(true), None]).await;
    let (member, answer) = Room::of(sessions(&clients)).all().confirm("?").first_ok().await.unwrap();
    assert_eq!((member.id(), answer), (clients[1].at_server.id(), true));
    for client in [&clients[0], &clients[2]] {
        until("the call is cancelled", || client.seen.dropped.load(SeqCst) == 1).await;
        at_rest(&client.at_server).await;
    }
}

#[tokio::test(start_paused = true)]
async fn only_some_members_are_asked_at_once_and_the_next_as_answers_come() {
    let clients = clients(&[Some(true); 9]).await;
    let room = || Room::of(sessions(&clients)).all();
    assert_eq!(room().confirm("?").fanout(at_most(4)).collect().await.len(), 9);
    assert_eq!(asked(&clients), 9);
    assert!(room().confirm("?").fanout(at_most(4)).first_ok().await.is_some());
    settle().await;
    assert!((10..=13).contains(&asked(&clients)), "the rest were not asked: {}", asked(&clients));
    let mut answers = room().confirm("?").fanout(at_most(1));
    assert!(answers.next().await.is_some());
    drop(answers);
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_out_before_the_first_poll_and_a_drop_cancels_the_rest() {
    let clients = clients(&[None; 2]).await;
    let mut answers = Room::of(sessions(&clients)).all().confirm("?");
    settle().await;
    assert_eq!(asked(&clients), 0);
    assert!(tokio::time::timeout(Duration::from_secs(1), answers.next()).await.is_err());
    assert_eq!(asked(&clients), 2);
    drop(answers);
    let dropped = |client: &Client| client.seen.dropped.load(SeqCst) == 1;
    until("both calls are cancelled", || clients.iter().all(dropped)).await;
}

#[tokio::test(start_paused = true)]
async fn a_result_of_the_contract_itself_is_an_answer() {
    let clients = clients(&[Some(true); 2]).await;
    clients[1].seen.asked.store(1, SeqCst);
    let mut answers = Room::of(sessions(&clients)).all().vote().collect().await;
    answers.sort_by_key(|(member, _)| member.id());
    let answers: Vec<_> = answers.into_iter().map(|(_, answer)| answer.map_err(|status| status.code())).collect();
    assert_eq!(answers, [Ok(7), Err(Code::ResourceExhausted)]);
}
