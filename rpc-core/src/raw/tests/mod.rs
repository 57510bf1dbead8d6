//! A raw socket against a peer that speaks raw bytes.

mod bounds;
mod goodbyes;
mod peer;

use bytes::Bytes;

use self::peer::{BINARY, BOTH, CLOSE, CONTINUATION, FIN, PING, PONG, Peer, TEXT, encode, soon};
use super::{Event, Message, RawError, RawLimits, Role, Text};
use crate::error::CloseCode;

#[tokio::test]
async fn messages_travel_both_ways() {
    for role in BOTH {
        let (mut socket, mut peer) = Peer::new(role);
        peer.frame(FIN | TEXT, "Grüße".as_bytes()).await;
        peer.frame(FIN | BINARY, &[7; 100_000]).await;
        assert_eq!(soon(socket.recv()).await, Some(Ok(Message::Text(Text::from("Grüße")))));
        assert_eq!(soon(socket.recv()).await, Some(Ok(Message::Binary(Bytes::from(vec![7; 100_000])))));
        socket.send("ok").await.unwrap();
        socket.send(vec![8; 70_000]).await.unwrap();
        assert_eq!(peer.next().await, (FIN | TEXT, b"ok".to_vec()));
        assert_eq!(peer.next().await, (FIN | BINARY, vec![8; 70_000]));
    }
}

#[tokio::test]
async fn fragments_become_one_message_around_a_ping_that_is_answered_and_told() {
    for role in BOTH {
        let (mut socket, mut peer) = Peer::new(role);
        let whole = "a ü".as_bytes();
        peer.frame(TEXT, &whole[..3]).await;
        peer.frame(FIN | PING, b"there?").await;
        peer.frame(CONTINUATION, b"").await;
        peer.frame(FIN | CONTINUATION, &whole[3..]).await;
        assert_eq!(soon(socket.recv_event()).await, Some(Ok(Event::Ping(Bytes::from_static(b"there?")))));
        assert_eq!(soon(socket.recv()).await, Some(Ok(Message::from("a ü"))));
        assert_eq!(peer.next().await, (FIN | PONG, b"there?".to_vec()));
    }
}

#[tokio::test]
async fn pongs_are_told_to_those_who_ask_and_passed_over_otherwise() {
    let (mut socket, mut peer) = Peer::new(Role::Server);
    socket.ping("one").await.unwrap();
    assert_eq!(peer.next().await, (FIN | PING, b"one".to_vec()));
    peer.frame(FIN | PONG, b"one").await;
    assert_eq!(soon(socket.recv_event()).await, Some(Ok(Event::Pong(Bytes::from_static(b"one")))));
    peer.frame(FIN | PONG, b"two").await;
    peer.frame(FIN | TEXT, b"text").await;
    assert_eq!(soon(socket.recv()).await, Some(Ok(Message::from("text"))));
    assert_eq!(socket.ping(vec![0; 126]).await, Err(RawError::PingTooLong(126)));
}

/// Frames of a peer that ends with this code.
async fn refused(role: Role, frames: &[(u8, &[u8])]) -> u16 {
    let (mut socket, mut peer) = Peer::with(role, &RawLimits::default().max_message(1000));
    for (first, payload) in frames {
        peer.frame(*first, payload).await;
    }
    let error = loop {
        match soon(socket.recv()).await {
            Some(Ok(_)) => {}
            Some(Err(RawError::Protocol(error))) => break error,
            other => panic!("{frames:?}: {other:?}"),
        }
    };
    assert_eq!(soon(socket.recv()).await, None, "the error is told once");
    let (code, _) = peer.close_frame().await;
    assert_eq!(code, error.close_code().0);
    drop(peer);
    assert_eq!(soon(socket.closed()).await, Err(RawError::Protocol(error)));
    code
}

#[tokio::test]
async fn each_breach_has_its_code() {
    let long = [0; 1001];
    let half = [0; 600];
    for role in BOTH {
        for (frames, code) in [
            (&[(FIN | TEXT, &b"\xff"[..])][..], 1007),
            (&[(FIN | TEXT, b"cut \xc3")], 1007),
            (&[(FIN | CLOSE, b"\x03\xe8\xff")], 1007),
            (&[(FIN | BINARY, &long)], 1009),
            (&[(BINARY, &half), (FIN | CONTINUATION, &half)], 1009),
            (&[(FIN | 0x40 | TEXT, b"rsv")], 1002),
            (&[(FIN | 0x3, b"opcode")], 1002),
            (&[(FIN | 0xb, b"opcode")], 1002),
            (&[(FIN | CONTINUATION, b"of what")], 1002),
            (&[(TEXT, b"one"), (FIN | TEXT, b"two")], 1002),
            (&[(PING, b"in pieces")], 1002),
            (&[(FIN | PING, &[0; 126])], 1002),
            (&[(FIN | CLOSE, b"x")], 1002),
            (&[(FIN | CLOSE, b"\x03\xed")], 1002),
        ] {
            assert_eq!(refused(role, frames).await, code, "{role:?} {frames:?}");
        }
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_fails_at_the_fragment_that_shows_it() {
    // The first fragment may be the beginning of a character; the second one shows that it is none.
    for fragments in [&[&b"fine \xf4"[..], b"\x90"][..], &[b"\xed\xa0\x80"], &[b"ok", b"ok", b"\xc0"]] {
        let (mut socket, mut peer) = Peer::new(Role::Server);
        for (index, fragment) in fragments.iter().enumerate() {
            peer.frame(if index == 0 { TEXT } else { CONTINUATION }, fragment).await;
        }
        let error = soon(socket.recv()).await.unwrap().unwrap_err();
        assert!(matches!(&error, RawError::Protocol(error) if error.close_code() == CloseCode::NOT_UTF8), "{error}");
        assert_eq!(peer.close_frame().await.0, 1007);
    }
}

#[tokio::test]
async fn frames_are_masked_as_the_role_says() {
    for role in BOTH {
        let (mut socket, mut peer) = Peer::new(role);
        peer.bytes(&encode(FIN | TEXT, b"x", role == Role::Client)).await;
        assert!(matches!(soon(socket.recv()).await, Some(Err(RawError::Protocol(_)))));
        assert_eq!(peer.close_frame().await.0, 1002);
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_fails_before_its_frame_is_whole() {
    let text = |bytes: &[u8]| [&vec![b'x'; 5000], "Grüße €😀".as_bytes(), bytes, &[b'x'; 5000]].concat();
    for role in BOTH {
        for bad in [&b"\xf4\x90"[..], b"\xc0", b"\xed\xa0", b"\xe2\x82x"] {
            let frame = encode(TEXT, &text(bad), role == Role::Server);
            for cut in [1, 3, 1000, 5100] {
                let (mut socket, mut peer) = Peer::new(role);
                // A fragment comes before, so that a character may be cut between the two.
                peer.bytes(&encode(TEXT, b"\xe2", role == Role::Server)).await;
                let rest = [&b"\x82\xac"[..], &text(bad)].concat();
                let frame_rest = encode(FIN | CONTINUATION, &rest, role == Role::Server);
                for piece in frame_rest[..frame_rest.len() - 4000].chunks(cut) {
                    peer.bytes(piece).await;
                }
                let error = soon(socket.recv()).await.unwrap().unwrap_err();
                assert!(matches!(&error, RawError::Protocol(error) if error.close_code() == CloseCode::NOT_UTF8));
                assert_eq!(peer.close_frame().await.0, 1007, "{role:?} {bad:?} {cut}");
            }
            let (mut socket, mut peer) = Peer::new(role);
            peer.bytes(&frame[..frame.len() - 4000]).await;
            assert!(matches!(soon(socket.recv()).await, Some(Err(RawError::Protocol(_)))));
        }
        // Text that is UTF-8 is taken, however it is cut.
        let good = encode(FIN | TEXT, &text(b""), role == Role::Server);
        for cut in [1, 2, 3, 7, 1000, 5003] {
            let (mut socket, mut peer) = Peer::new(role);
            for piece in good.chunks(cut) {
                peer.bytes(piece).await;
                tokio::task::yield_now().await;
            }
            peer.frame(TEXT, b"\xf0\x9f").await;
            peer.frame(FIN | PING, b"\xff").await;
            peer.frame(CONTINUATION, b"\x98").await;
            peer.frame(FIN | CONTINUATION, b"\x80").await;
            peer.frame(FIN | BINARY, b"\xff").await;
            assert_eq!(soon(socket.recv()).await.unwrap().unwrap().as_bytes(), text(b""));
            assert_eq!(soon(socket.recv()).await, Some(Ok(Message::from("😀"))));
            assert_eq!(soon(socket.recv()).await, Some(Ok(Message::from(vec![0xff]))));
        }
    }
}
