//! Collections: members that do not read delay no other member.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rpc_server::{
    CloseCode, async_trait,
    raw::{
        CloseFrame, Connection, RawError, RawInfo, RawLimits, RawSocket, Role, WebSocketCollection, WebSocketHandler,
        websocket,
    },
};
use rpc_testing::until;

use super::host::{BINARY, CLOSE, Client, Diary, FIN, TEXT, in_hyper, soon};

const MEMBERS: usize = 2000;
const ASLEEP: usize = 50;
const ROUNDS: usize = 30;
const MESSAGE: usize = 2 * 1024;

struct Hall {
    members: WebSocketCollection,
    diary: Diary,
}

#[async_trait]
impl WebSocketHandler for Hall {
    async fn on_open(&self, connection: &Connection) {
        assert!(self.members.add(connection));
        assert!(!self.members.add(connection), "it is a member already");
    }

    async fn on_error(&self, _: &Connection, error: &RawError) {
        match error {
            RawError::Aborted(frame) => self.diary.note(format!("cut {}", frame.code.0)),
            _ => self.diary.note("error"),
        }
    }

    async fn on_close(&self, connection: &Connection, _: Option<&CloseFrame>) {
        assert!(!self.members.add(connection), "it has ended");
        self.diary.note("close");
    }
}

async fn hall(limits: RawLimits) -> (std::net::SocketAddr, WebSocketCollection, Diary) {
    let (members, diary) = (WebSocketCollection::new(), Diary::default());
    let hall = Hall { members: members.clone(), diary: diary.clone() };
    (in_hyper(websocket(hall).limits(limits)).await, members, diary)
}

#[tokio::test]
async fn a_broadcast_reaches_all_members_over_real_sockets() {
    let (addr, members, diary) = hall(RawLimits::default()).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Client::open(addr).await);
    }
    until("all are members", || members.len() == 20).await;
    assert_eq!(members.broadcast("one"), 20);
    assert_eq!(members.broadcast(vec![2]), 20);
    for client in &mut clients {
        assert_eq!(client.next().await, Some((FIN | TEXT, b"one".to_vec())));
        assert_eq!(client.next().await, Some((FIN | BINARY, vec![2])));
    }
    clients.truncate(15);
    until("those that have left are no members", || members.len() == 15).await;
    let one = members.members().pop().unwrap();
    assert!(members.remove(&one) && !members.remove(&one));
    assert_eq!(members.broadcast("two"), 14);
    one.close(CloseCode::NORMAL, "");
    members.close(CloseCode::RESTART, "tomorrow again");
    assert!(members.is_empty());
    let mut codes = Vec::new();
    for client in &mut clients {
        codes.push(client.close_frame().await.0);
        client.frame(FIN | CLOSE, b"").await;
    }
    codes.sort_unstable();
    assert_eq!((codes[0], codes[1], codes[14]), (1000, 1012, 1012));
    drop(clients);
    until("all are told closed", || diary.lines().iter().filter(|line| *line == "close").count() == 20).await;
}

#[tokio::test]
async fn a_member_that_does_not_read_is_cut_and_told_so() {
    let limits = RawLimits::default().queue_bytes(64 * 1024).write_timeout(Duration::MAX);
    let (addr, members, diary) = hall(limits).await;
    let mut reader = Client::open(addr).await;
    let _asleep = Client::open(addr).await;
    until("both are members", || members.len() == 2).await;
    let message = Bytes::from(vec![1; MESSAGE]);
    // The system's socket buffers take some MiB.
    let mut sent = 0;
    while members.len() == 2 {
        members.broadcast(message.clone());
        sent += 1;
        assert_eq!(reader.next().await, Some((FIN | BINARY, message.to_vec())));
        assert!(sent < 100_000, "the queue has no bound");
    }
    assert_eq!(members.broadcast("still"), 1);
    assert_eq!(reader.next().await, Some((FIN | TEXT, b"still".to_vec())));
    assert_eq!(diary.closed().await, ["cut 1013", "close"]);
}

/// Members over pipes in memory, which hold little, so that a queue fills soon.
#[tokio::test]
async fn of_two_thousand_members_fifty_that_do_not_read_delay_no_other() {
    let members = WebSocketCollection::new();
    let limits = RawLimits::default()
        .read_buffer(1024)
        .queue_bytes(8 * MESSAGE)
        .queue_messages(20)
        .write_timeout(Duration::MAX)
        .silence(Duration::MAX);
    let got = Arc::new(AtomicUsize::new(0));
    let (mut asleep, mut reading, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..MEMBERS {
        let (near, far) = tokio::io::duplex(1024);
        let (mut server, driver) = RawSocket::driven(near, Bytes::new(), Role::Server, RawInfo::default(), &limits);
        tokio::spawn(driver);
        assert!(members.add(server.connection()));
        let is_asleep = index % (MEMBERS / ASLEEP) == 0;
        if is_asleep {
            asleep.push(far);
            told.push(server);
            continue;
        }
        let (mut client, driver) = RawSocket::driven(far, Bytes::new(), Role::Client, RawInfo::default(), &limits);
        tokio::spawn(driver);
        tokio::spawn(async move { while let Some(Ok(_)) = server.recv().await {} });
        let got = Arc::clone(&got);
        reading.push(tokio::spawn(async move {
            while let Some(Ok(message)) = client.recv().await {
                assert_eq!(message.len(), MESSAGE);
                got.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    assert_eq!((members.len(), asleep.len()), (MEMBERS, ASLEEP));
    let message = Bytes::from(vec![3; MESSAGE]);
    for round in 1..=ROUNDS {
        assert!(members.broadcast(message.clone()) >= MEMBERS - ASLEEP);
        // Members that read get this message before the next one is sent, while the others sleep.
        let all = round * (MEMBERS - ASLEEP);
        until("those who read have read", || got.load(Ordering::Relaxed) == all).await;
    }
    assert_eq!(members.len(), MEMBERS - ASLEEP, "the others are cut");
    assert!(reading.iter().all(|reading| !reading.is_finished()), "no reader has lost its connection");
    for mut server in told {
        match soon(server.recv()).await {
            Some(Err(RawError::Aborted(frame))) => assert_eq!(frame.code, CloseCode::TRY_AGAIN_LATER),
            other => panic!("{other:?}"),
        }
    }
}
