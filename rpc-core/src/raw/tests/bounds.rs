//! What a peer cannot make a socket hold or wait for.

use std::time::Duration;

use rpc_testing::settle;
use tokio::{
    io::AsyncWriteExt,
    task::yield_now,
    time::{Instant, sleep, timeout},
};

use super::peer::{BINARY, BOTH, CONTINUATION, FIN, PING, PONG, Peer, TEXT, encode, soon};
use crate::raw::{Message, RawError, RawLimits, Role};

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_and_then_given_up() {
    for role in BOTH {
        let limits = RawLimits::default().ping_after(Duration::from_secs(20)).silence(Duration::from_secs(50));
        let (mut socket, mut peer) = Peer::with(role, &limits);
        let begun = Instant::now();
        assert_eq!(peer.next().await, (FIN | PING, Vec::new()));
        assert_eq!(begun.elapsed().as_secs(), 20);
        assert_eq!(soon(socket.recv()).await, Some(Err(RawError::Silent(Duration::from_secs(50)))));
        assert_eq!(begun.elapsed().as_secs(), 50);
        assert_eq!(peer.close_frame().await.0, 1011);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_pings_lives_on() {
    let (mut socket, mut peer) = Peer::new(Role::Server);
    let begun = Instant::now();
    for _ in 0..100 {
        assert_eq!(peer.next().await.0, FIN | PING);
        peer.frame(FIN | PONG, b"").await;
    }
    assert!(begun.elapsed() >= Duration::from_secs(1500));
    peer.frame(FIN | TEXT, b"here").await;
    assert_eq!(soon(socket.recv()).await, Some(Ok(Message::from("here"))));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_busy_does_not_make_its_peer_silent() {
    let (mut socket, mut peer) = Peer::new(Role::Server);
    for _ in 0..100 {
        peer.frame(FIN | TEXT, b"text").await;
    }
    // The peer's messages fill the inbox, so nothing that the peer says later is read.
    sleep(Duration::from_secs(600)).await;
    for _ in 0..100 {
        assert_eq!(soon(socket.recv()).await, Some(Ok(Message::from("text"))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_ends_after_the_time_for_a_write() {
    let limits = RawLimits::default().write_timeout(Duration::from_secs(8)).silence(Duration::MAX);
    let (mut socket, mut peer) = Peer::through(Role::Server, &limits, 1000);
    let begun = Instant::now();
    socket.send(vec![0; 3000]).await.unwrap();
    // The driver has begun to write, and most of the time for a write is over.
    sleep(Duration::from_secs(6)).await;
    // A byte that is taken is progress.
    let mut some = [0; 500];
    tokio::io::AsyncReadExt::read_exact(&mut peer.io, &mut some).await.unwrap();
    assert_eq!(soon(socket.recv()).await, Some(Err(RawError::Stuck(Duration::from_secs(8)))));
    assert_eq!(begun.elapsed().as_secs(), 14);
}

#[tokio::test(start_paused = true)]
async fn a_queue_is_bounded_in_messages_and_bytes() {
    // The driver takes what is queued when it runs, until its buffer is full and the pipe takes no more.
    for (limits, taken, queued) in [
        (RawLimits::default().queue_messages(5), 2, 5),
        (RawLimits::default().queue_bytes(3500), 2, 3),
        (RawLimits::default().queue_bytes(100), 1, 1),
    ] {
        let (socket, mut peer) = Peer::through(Role::Server, &limits.write_buffer(1024), 10);
        let mut sent = 0;
        while timeout(Duration::from_secs(1), socket.send(vec![1; 1000])).await.is_ok() {
            sent += 1;
        }
        assert_eq!(sent, taken + queued);
        assert_eq!(socket.connection().try_send(vec![1; 1000]), Err(RawError::Full));
        assert_eq!(timeout(Duration::from_secs(1), socket.send(vec![2; 1000])).await.ok(), None, "it waits");
        for _ in 0..sent {
            assert_eq!(peer.next().await, (FIN | BINARY, vec![1; 1000]));
        }
        socket.connection().try_send("room again").unwrap();
        assert_eq!(peer.next().await, (FIN | TEXT, b"room again".to_vec()), "what was not waited for is not sent");
    }
}

#[tokio::test]
async fn a_message_longer_than_queue_and_buffer_goes_alone() {
    let limits = RawLimits::default().queue_bytes(10).write_buffer(1024);
    let (socket, mut peer) = Peer::with(Role::Server, &limits);
    for _ in 0..3 {
        socket.send(vec![5; 300_000]).await.unwrap();
        assert_eq!(peer.next().await, (FIN | BINARY, vec![5; 300_000]));
    }
}

#[tokio::test]
async fn unread_messages_hold_the_peer_back_and_lose_nothing() {
    let (mut socket, mut peer) = Peer::through(Role::Server, &RawLimits::default(), 10_000);
    let message = encode(FIN | BINARY, &[3; 1000], true);
    let mut written = 0;
    while timeout(Duration::from_millis(200), peer.io.write_all(&message)).await.is_ok() {
        written += 1;
        assert!(written < 1000, "nothing holds the peer back");
    }
    drop(peer);
    let mut read = 0;
    while let Some(Ok(_)) = soon(socket.recv()).await {
        read += 1;
    }
    assert_eq!(read, written);
    assert!(written >= 60, "{written}");
}

#[tokio::test(start_paused = true)]
async fn pings_of_a_peer_that_reads_no_answers_fill_a_bounded_buffer() {
    const PIPE: usize = 1000;
    let limits = RawLimits::default().write_buffer(4096).write_timeout(Duration::MAX);
    let (_socket, mut peer) = Peer::through(Role::Server, &limits, PIPE);
    let ping = encode(FIN | PING, &[1; 125], true);
    for _ in 0..2000 {
        peer.bytes(&ping).await;
    }
    peer.frame(FIN | PING, b"the last one").await;
    settle().await;
    let (mut bytes, mut last) = (0, Vec::new());
    while last != b"the last one" {
        last = peer.next().await.1;
        bytes += last.len() + 2;
    }
    assert!(bytes < 2 * 4096 + PIPE + 1000, "{bytes} bytes of answers were kept");
}

#[tokio::test]
async fn a_flood_of_pings_does_not_keep_the_thread() {
    let (socket, mut peer) = Peer::new(Role::Server);
    let pings = encode(FIN | PING, b"", true).repeat(10_000);
    peer.bytes(&pings).await;
    // All tasks share this one thread, so the driver must let others have their turn.
    let mut turns = 0;
    let counting = async {
        while !socket.connection().is_closed() {
            turns += 1;
            yield_now().await;
        }
    };
    let reading = async {
        for _ in 0..1000 {
            assert_eq!(peer.next().await, (FIN | PONG, Vec::new()));
        }
    };
    tokio::select! {
        () = counting => {}
        () = reading => {}
    }
    assert!(turns >= 100, "{turns}");
}

#[tokio::test]
async fn endless_empty_fragments_end() {
    let (mut socket, mut peer) = Peer::with(Role::Server, &RawLimits::default().max_message(1000));
    peer.frame(BINARY, b"").await;
    let fragments = encode(CONTINUATION, b"", true).repeat(1000);
    let flood = async {
        loop {
            if peer.io.write_all(&fragments).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let error = tokio::select! {
        received = socket.recv() => received,
        () = flood => None,
    };
    assert!(matches!(error, Some(Err(RawError::Protocol(error))) if error.close_code().0 == 1009));
}

#[tokio::test]
async fn no_limit_is_so_large_or_small_that_it_panics() {
    for number in [0, 1, usize::MAX] {
        let limits = RawLimits::default()
            .max_message(number)
            .max_frame(number)
            .read_buffer(number)
            .write_buffer(number)
            .queue_bytes(number)
            .queue_messages(number);
        let (mut socket, mut peer) = Peer::with(Role::Server, &limits);
        socket.send("text").await.unwrap();
        assert_eq!(peer.next().await, (FIN | TEXT, b"text".to_vec()));
        // A frame of 2^62 bytes is announced.
        peer.bytes(&[FIN | BINARY, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await;
        assert!(matches!(soon(socket.recv()).await, Some(Err(RawError::Protocol(_)))));
    }
    let time = RawLimits::default()
        .ping_after(Duration::ZERO)
        .silence(Duration::ZERO)
        .write_timeout(Duration::ZERO)
        .close_timeout(Duration::ZERO);
    let (mut socket, _peer) = Peer::with(Role::Server, &time);
    assert_eq!(soon(socket.recv()).await, Some(Err(RawError::Silent(Duration::ZERO))));
}
