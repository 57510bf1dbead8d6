//! A message that begins and does not go on.

use std::time::Duration;

use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep},
};

use super::{
    early::open,
    raw::{BINARY, BOTH, End, FIN, Link, PING, frame},
};
use crate::{
    error::{ConnectionError, TimeLimit},
    peer::Stats,
    session::transport::Transport,
};

#[tokio::test]
async fn row_11_a_fragment_and_then_silence_shows_as_a_message_begun() {
    for end in BOTH {
        let mut link = Link::established(end);
        // The first fragment comes in one read with a whole message before it.
        let bytes = [link.frame(FIN | BINARY, b"whole"), link.frame(BINARY, b"part")].concat();
        link.write(&bytes).await;
        assert_eq!(link.receive().await.unwrap(), "whole");
        link.receive_nothing().await;
        assert!(link.ours.progress().mid_message);
    }
}

#[tokio::test(start_paused = true)]
async fn row_11_a_fragment_and_then_no_more_of_its_message_ends_the_session_after_30_s() {
    for end in BOTH {
        let (session, mut raw) = open(end).await;
        let masked = end == End::Server;
        let begun = Instant::now();
        raw.write_all(&frame(BINARY, b"part", masked)).await.unwrap();
        // The peer lives, and its pings stand between the fragments.
        let pings = async {
            for _ in 0..20 {
                sleep(Duration::from_secs(5)).await;
                raw.write_all(&frame(FIN | PING, b"", masked)).await.unwrap();
            }
        };
        let ended = tokio::select! {
            ended = session.closed() => ended,
            () = pings => panic!("{end:?}: the session goes on"),
        };
        let took = begun.elapsed().as_secs();
        assert!((30..35).contains(&took), "{end:?}: {took} s");
        let ConnectionError::TimedOut(timeout) = &ended else { panic!("{end:?}: {ended}") };
        assert_eq!(timeout.limit, TimeLimit::Message, "{end:?}");
        assert_eq!(session.stats(), Stats::default(), "{end:?}");
    }
}
