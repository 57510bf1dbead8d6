//! Floods of frames without bytes: what one round takes of them.

use std::{future::poll_fn, task::Poll, time::Duration};

use tokio::{io::AsyncWriteExt, time::timeout};

use super::raw::{BINARY, BOTH, CONTINUATION, End, FIN, KIB, Link};
use crate::{error::CloseCode, session::transport::Transport};

/// Frames of the first read, which is as long as it may be, and of a later round.
const FIRST: u64 = 32 * 1024 / 2;
const ROUND: u64 = 2100;

#[tokio::test]
async fn one_round_takes_a_bounded_number_of_empty_fragments() {
    for end in BOTH {
        let mut link = Link::established(end);
        let fragment = link.frame(CONTINUATION, b"");
        // Messages that are short enough, one after another.
        let count = 100 * KIB / fragment.len();
        let parts = [link.frame(BINARY, b""), fragment.repeat(count), link.frame(FIN | CONTINUATION, b"xx")];
        let message = parts.concat();
        link.write(&message.repeat(5)).await;
        let (mut packets, mut rounds) = (0, Vec::new());
        poll_fn(|cx| {
            let before = link.ours.progress().received;
            while let Poll::Ready(packet) = link.ours.poll_receive(cx) {
                assert_eq!(packet.unwrap(), "xx");
                packets += 1;
            }
            rounds.push((link.ours.progress().received - before) / fragment.len() as u64);
            if packets == 5 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert!(rounds[0] <= FIRST, "{end:?}: {rounds:?}");
        assert!(rounds[1..].iter().all(|&frames| frames <= ROUND), "{end:?}: {rounds:?}");
    }
}

/// Fragments as they are honestly sent cost no rounds.
#[tokio::test]
async fn longer_fragments_are_read_as_whole_messages_are() {
    for end in BOTH {
        let mut link = Link::established(end);
        let fragment = link.frame(CONTINUATION, &[0; KIB]);
        let message =
            [link.frame(BINARY, b""), fragment.repeat(100), link.frame(FIN | CONTINUATION, b"")].concat().repeat(5);
        link.write(&message).await;
        let (mut packets, mut rounds) = (0, 0);
        poll_fn(|cx| {
            rounds += 1;
            while let Poll::Ready(packet) = link.ours.poll_receive(cx) {
                assert_eq!(packet.unwrap().len(), 100 * KIB);
                packets += 1;
            }
            if packets == 5 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert!(rounds <= message.len() / (64 * KIB) + 3, "{end:?}: {rounds} rounds");
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_goodbye_is_not_looked_at() {
    let mut link = Link::established(End::Server);
    let flood = link.frame(CONTINUATION, b"").repeat(100 * KIB);
    link.write(&flood).await;
    let closed = poll_fn(|cx| link.ours.poll_close(cx, CloseCode::NORMAL, ""));
    timeout(Duration::from_secs(30), closed).await.expect("it takes a second");
    assert!(!link.ours.progress().mid_message, "frames were looked for");
    // All of it has been taken, so there is room for as much again.
    timeout(Duration::from_secs(30), link.raw.write_all(&flood)).await.expect("there is room").unwrap();
}
