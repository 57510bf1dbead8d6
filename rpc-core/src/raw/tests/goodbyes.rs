//! How a socket closes.

use std::time::Duration;

use tokio::time::Instant;

use super::peer::{BOTH, CLOSE, FIN, PIPE, PONG, Peer, TEXT, soon};
use crate::{
    error::CloseCode,
    raw::{CloseFrame, Message, RawError, RawLimits, Role},
};

const PING: u8 = super::peer::PING;

#[tokio::test]
async fn the_peers_goodbye_is_answered_and_told() {
    for role in BOTH {
        let (mut socket, mut peer) = Peer::new(role);
        peer.frame(FIN | TEXT, b"last").await;
        peer.frame(FIN | CLOSE, b"\x0f\xa0bye").await;
        assert_eq!(soon(socket.recv()).await, Some(Ok(Message::from("last"))));
        assert_eq!(soon(socket.recv()).await, None);
        assert_eq!(soon(socket.recv()).await, None);
        assert_eq!(socket.send("too late").await, Err(RawError::Closed));
        assert_eq!(peer.close_frame().await, (4000, "bye".to_owned()));
        drop(peer);
        let bye = CloseFrame::new(CloseCode(4000), "bye");
        assert_eq!(soon(socket.closed()).await, Ok(bye.clone()));
        assert_eq!(socket.connection().goodbye(), Some(&bye));
    }
}

#[tokio::test]
async fn a_goodbye_without_a_code_is_told_as_such() {
    let (mut socket, mut peer) = Peer::new(Role::Server);
    peer.frame(FIN | CLOSE, b"").await;
    assert_eq!(soon(socket.recv()).await, None);
    assert_eq!(peer.rest().await, [(FIN | CLOSE, Vec::new())]);
    drop(peer);
    assert_eq!(soon(socket.closed()).await.unwrap().code, CloseCode::NO_STATUS);
}

#[tokio::test(start_paused = true)]
async fn a_close_writes_what_is_queued_and_waits_for_the_answer() {
    for role in BOTH {
        let (mut socket, mut peer) = Peer::through(role, &RawLimits::default(), 100);
        for _ in 0..20 {
            socket.send("twenty bytes of text").await.unwrap();
        }
        socket.close(CloseCode(4001), "é".repeat(100));
        socket.close(CloseCode(4002), "the first one counts");
        assert_eq!(socket.connection().try_send("no"), Err(RawError::Closed));
        for _ in 0..20 {
            assert_eq!(peer.next().await.0, FIN | TEXT);
        }
        assert_eq!(peer.close_frame().await, (4001, "é".repeat(61)), "cut between characters");
        assert!(!socket.connection().is_closed(), "the answer is still to come");
        peer.frame(FIN | TEXT, b"passed over").await;
        peer.frame(FIN | CLOSE, b"\x0f\xa1").await;
        assert_eq!(soon(socket.recv()).await, None);
        drop(peer);
        assert_eq!(soon(socket.closed()).await, Ok(CloseFrame::new(CloseCode(4001), "")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_not_answered_ends_by_time() {
    let limits = RawLimits::default().close_timeout(Duration::from_secs(7));
    let (socket, peer) = Peer::with(Role::Server, &limits);
    let begun = Instant::now();
    socket.close(CloseCode::NORMAL, "");
    assert!(matches!(soon(socket.closed()).await, Err(RawError::Lost(_))));
    assert!(begun.elapsed() >= Duration::from_secs(7) && begun.elapsed() < Duration::from_secs(9));
    drop(peer);
}

#[tokio::test]
async fn a_code_that_must_not_be_sent_goes_out_as_1000() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 2000, 5000] {
        let (socket, mut peer) = Peer::new(Role::Server);
        socket.close(CloseCode(code), "");
        assert_eq!(peer.close_frame().await.0, 1000, "{code}");
    }
}

#[tokio::test]
async fn a_drop_writes_what_is_queued_and_closes() {
    for role in BOTH {
        let (socket, mut peer) = Peer::new(role);
        socket.send("one").await.unwrap();
        let (connection, receiver) = socket.split();
        drop(receiver);
        let other = connection.clone();
        drop(connection);
        other.send("two").await.unwrap();
        drop(other);
        assert_eq!(peer.next().await, (FIN | TEXT, b"one".to_vec()));
        assert_eq!(peer.next().await, (FIN | TEXT, b"two".to_vec()));
        assert_eq!(peer.close_frame().await, (1000, String::new()));
    }
}

#[tokio::test]
async fn without_a_receiver_pings_are_answered_and_messages_passed_over() {
    let (socket, mut peer) = Peer::new(Role::Server);
    let (connection, receiver) = socket.split();
    drop(receiver);
    for _ in 0..10 {
        peer.frame(FIN | TEXT, &[b'x'; 50_000]).await;
    }
    peer.frame(FIN | PING, b"?").await;
    assert_eq!(peer.next().await, (FIN | PONG, b"?".to_vec()));
    connection.send("still").await.unwrap();
    assert_eq!(peer.next().await, (FIN | TEXT, b"still".to_vec()));
}

#[tokio::test]
async fn without_a_sender_messages_still_come() {
    let (socket, mut peer) = Peer::new(Role::Server);
    let (connection, mut receiver) = socket.split();
    drop(connection);
    peer.frame(FIN | TEXT, b"hello").await;
    assert_eq!(soon(receiver.recv()).await, Some(Ok(Message::from("hello"))));
    drop(receiver);
    assert_eq!(peer.close_frame().await.0, 1000);
}

#[tokio::test(start_paused = true)]
async fn an_abort_drops_what_is_queued_and_is_told_once() {
    let (mut socket, mut peer) = Peer::through(Role::Server, &RawLimits::default().write_buffer(1024), 100);
    for _ in 0..100 {
        socket.send(vec![b'x'; 1000]).await.unwrap();
    }
    // The driver has begun to write, and stands still.
    tokio::task::yield_now().await;
    socket.close(CloseCode::NORMAL, "an abort comes before a close");
    socket.connection().abort(CloseCode::TRY_AGAIN_LATER, "too slow");
    let told = RawError::Aborted(CloseFrame::new(CloseCode::TRY_AGAIN_LATER, "too slow"));
    assert_eq!(soon(socket.recv()).await, Some(Err(told.clone())));
    assert_eq!(soon(socket.recv()).await, None);
    let mut messages = 0;
    let close = loop {
        match peer.next().await {
            (first, payload) if first == FIN | CLOSE => break payload,
            _ => messages += 1,
        }
    };
    assert_eq!(&close[..2], 1013_u16.to_be_bytes());
    assert!(messages < 10, "{messages} had been queued behind");
    peer.frame(FIN | CLOSE, b"\x03\xf5").await;
    drop(peer);
    assert_eq!(soon(socket.closed()).await, Err(told));
}

#[tokio::test]
async fn a_peer_that_hangs_up_is_lost() {
    for role in BOTH {
        let (mut socket, mut peer) = Peer::new(role);
        peer.frame(FIN | TEXT, b"last").await;
        drop(peer);
        assert_eq!(soon(socket.recv()).await, Some(Ok(Message::from("last"))));
        assert!(matches!(soon(socket.recv()).await, Some(Err(RawError::Lost(_)))));
        assert_eq!(soon(socket.recv()).await, None);
        assert!(matches!(soon(socket.closed()).await, Err(RawError::Lost(_))));
        assert_eq!(socket.connection().goodbye(), None);
    }
}

#[tokio::test]
async fn the_client_waits_for_the_server_to_end_the_stream() {
    let (socket, mut peer) = Peer::through(Role::Client, &RawLimits::default(), PIPE);
    socket.close(CloseCode::NORMAL, "");
    assert_eq!(peer.close_frame().await.0, 1000);
    peer.frame(FIN | CLOSE, b"\x03\xe8").await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!socket.connection().is_closed());
    drop(peer);
    assert_eq!(soon(socket.closed()).await.unwrap().code, CloseCode::NORMAL);
}

#[tokio::test]
async fn what_came_before_a_breach_is_answered_before_the_goodbye() {
    for role in BOTH {
        let (mut socket, mut peer) = Peer::new(role);
        let breach = super::peer::encode(FIN | 0x20 | TEXT, b"", role == Role::Server);
        let good = super::peer::encode(FIN | TEXT, b"question", role == Role::Server);
        peer.bytes(&[good.clone(), good, breach].concat()).await;
        while let Some(Ok(_)) = soon(socket.recv()).await {
            socket.send("answer").await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(socket.send("after the breach was told").await, Err(RawError::Closed));
        assert_eq!(peer.next().await, (FIN | TEXT, b"answer".to_vec()));
        assert_eq!(peer.next().await, (FIN | TEXT, b"answer".to_vec()));
        assert_eq!(peer.close_frame().await.0, 1002);
    }
}

#[tokio::test]
async fn a_reader_that_closes_when_it_is_told_a_breach_does_not_change_the_code() {
    for drops in [false, true] {
        let (mut socket, mut peer) = Peer::new(Role::Server);
        peer.frame(FIN | TEXT, b"\xff").await;
        assert!(matches!(soon(socket.recv()).await, Some(Err(RawError::Protocol(_)))));
        if drops {
            drop(socket);
        } else {
            socket.close(CloseCode::NORMAL, "");
        }
        assert_eq!(peer.close_frame().await.0, 1007);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_come_back_does_not_keep_a_breach() {
    let (socket, mut peer) = Peer::new(Role::Server);
    peer.frame(FIN | 0x20 | TEXT, b"").await;
    let begun = Instant::now();
    assert_eq!(peer.close_frame().await.0, 1002);
    assert_eq!(begun.elapsed().as_secs(), 5);
    drop(socket);
}
