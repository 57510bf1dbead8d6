//! Each rule has its text and its close code.

use super::*;

/// The texts go to the peer and into logs, so they stay as they are.
#[test]
fn each_rule_has_its_text_and_its_code() {
    use CallViolation as Call;
    use HandshakeViolation as Handshake;
    use StreamViolation as Stream;
    use TransferViolation as Transfer;

    let cases: &[(u16, ProtocolError, &str)] = &[
        (1002, ProtocolError::Malformed { what: "not a map".into(), at: Some(5) }, "not a map (at byte 5)"),
        (1002, ProtocolError::UnknownFrame { kind: 15, at: Some(3) }, "a frame of the unknown kind 15 (at byte 3)"),
        (
            1002,
            ProtocolError::TooManyFrames { max: 1024, at: Some(9) },
            "a packet of more than 1024 frames (at byte 9)",
        ),
        (
            1009,
            ProtocolError::PacketTooLong { len: 7, max: 6 },
            "a packet of 7 bytes came, where at most 6 are taken (Config::max_packet)",
        ),
        (1002, ProtocolError::OutOfSequence { seq: 4, expected: 2 }, "packet 4 came where packet 2 was expected"),
        (1002, ProtocolError::AckOfUnsent { ack: 4, last: 2 }, "packet 4 was acknowledged, but the last one sent is 2"),
        (
            1002,
            ProtocolError::MisplacedFrame { frame: "Notify", in_sequenced: false },
            "a Notify frame came in an unsequenced packet",
        ),
        (
            1002,
            ProtocolError::MisplacedFrame { frame: "Ping", in_sequenced: true },
            "a Ping frame came in a sequenced packet",
        ),
        (
            1002,
            ProtocolError::TooManyPings { burst: 10 },
            "too many pings and pongs came, those of the WebSocket included: 10 at once and one a second after that are taken",
        ),
        (
            1009,
            Handshake::TooLong { max: 16 }.into(),
            "more than 16 bytes came before the handshake was done (Config::max_handshake)",
        ),
        (1002, Handshake::NotAlone.into(), "the handshake must come alone and unsequenced"),
        (1002, Handshake::Second.into(), "a second handshake came on an open connection"),
        (
            1002,
            Handshake::NoHello { frame: "Ping" }.into(),
            "a Ping frame came where the handshake of the client was expected",
        ),
        (
            1002,
            Handshake::NoWelcome { frame: "Ping" }.into(),
            "a Ping frame came where the handshake of the server was expected",
        ),
        (
            1002,
            Handshake::OtherVersion { server: 2, client: 1 }.into(),
            "the server speaks version 2 of the protocol, this client speaks version 1",
        ),
        (
            1002,
            Handshake::UnfitChunk { chunk: 1, packet: 2 }.into(),
            "chunks of 1 bytes in packets of 2 bytes were announced; a chunk has 256 bytes at least, and a packet 512 more than a chunk",
        ),
        (
            1002,
            Handshake::TooManyContracts { count: 257, max: 256 }.into(),
            "257 contracts were announced; a side hosts 256 at most",
        ),
        (1002, Call::StillLive { call: 3 }.into(), "call 3 came while it was still live"),
        (
            1002,
            Call::TooMany { oneway: false, limit: 5, refused: 1000 }.into(),
            "more than 1000 calls came beyond the announced limits, the last one beyond the limit of 5 calls",
        ),
        (
            1002,
            Call::TooMany { oneway: true, limit: 5, refused: 1000 }.into(),
            "more than 1000 calls came beyond the announced limits, the last one beyond the limit of 5 one-way calls",
        ),
        (
            1002,
            Call::TooManyStrayCompletions { ignored: 100, call: 7 }.into(),
            "more than 100 completions came for calls that await none, the last for call 7",
        ),
        (
            1002,
            Call::DoneBeyondDepth { depth: 9 }.into(),
            "one-way calls of depth 9 were reported done, but there are none",
        ),
        (
            1002,
            Call::ImpossibleDone { depth: 1, count: 5, bytes: 6, sent: 3, sent_bytes: 4 }.into(),
            "one-way calls of depth 1 were reported done: 5 with 6 bytes; sent were 3 with 4 bytes",
        ),
        (1002, Transfer::OldNumber { id: 3, last: 4 }.into(), "transfer or stream 3 was announced after number 4"),
        (1002, Transfer::Empty { transfer: 3 }.into(), "transfer 3 was announced with no bytes"),
        (
            1009,
            Transfer::TooLong { transfer: 3, len: 9, max: 8 }.into(),
            "transfer 3 of 9 bytes exceeds the announced limit of 8 for payloads under way (Config::max_assembly)",
        ),
        (1002, Transfer::StrayChunk { transfer: 3 }.into(), "a chunk came for transfer 3, which is not under way"),
        (
            1002,
            Transfer::UnfitChunk { transfer: 3, len: 9, left: 8 }.into(),
            "a chunk of 9 bytes came for transfer 3, of which 8 bytes are left",
        ),
        (1002, Transfer::StrayAbort { transfer: 3 }.into(), "transfer 3 was aborted, but is not under way"),
        (1002, Stream::TooManyInFrame { count: 129, max: 128 }.into(), "one frame lists 129 streams; it may list 128"),
        (
            1002,
            Stream::TooMany { stream: 3, max: 2 }.into(),
            "stream 3 was opened beyond the announced limit of 2 streams",
        ),
        (1002, Stream::NotOpen { stream: 3 }.into(), "stream 3 is not open: it was never opened, or has ended"),
        (1002, Stream::ItemTooLong { stream: 3, len: 9 }.into(), "an item of stream 3 of 9 bytes cannot be counted"),
        (
            1002,
            Stream::ItemWithinItem { stream: 3 }.into(),
            "an item of stream 3 came before the end of the one before it",
        ),
        (1002, Stream::ItemAfterAborted { stream: 3 }.into(), "an item of stream 3 came after one that was given up"),
        (1002, Stream::BeyondCredit { stream: 3 }.into(), "an item of stream 3 came beyond its credit"),
        (
            1002,
            Stream::BeyondSharedCredit { stream: 3 }.into(),
            "an item of stream 3 came beyond the credit of all streams together",
        ),
        (
            1002,
            Stream::ItemByOtherNumber { stream: 3, transfer: 4 }.into(),
            "an item of stream 3 was announced as transfer 4; it has the stream's number",
        ),
        (1002, Stream::EndWithinItem { stream: 3 }.into(), "stream 3 ended within an item"),
        (
            1002,
            Stream::FinishedAfterAborted { stream: 3 }.into(),
            "stream 3 was finished after an item that was given up",
        ),
        (1002, Stream::FaultInChunks { stream: 3 }.into(), "the fault at the end of stream 3 was announced in chunks"),
        (1002, Stream::CreditForUnopened { stream: 3 }.into(), "credit came for stream 3, which was never opened"),
        (
            1002,
            Stream::CreditTooLarge { stream: 0 }.into(),
            "the credit of all streams together grew beyond what can be counted",
        ),
        (1002, Stream::CreditTooLarge { stream: 3 }.into(), "the credit of stream 3 grew beyond what can be counted"),
        (
            1002,
            Stream::ReadMoreThanSent { stream: 3, read: 2, sent: 1 }.into(),
            "items of stream 3 were reported read: 2; sent were 1",
        ),
    ];
    for (code, error, text) in cases {
        assert_eq!((error.close_code(), &*error.reason()), (CloseCode(*code), *text));
        assert_eq!(error.to_string(), format!("protocol error: {text}"));
    }
}

#[test]
fn each_rule_of_websocket_has_its_text_and_its_code() {
    use WebSocketViolation as Rule;

    let cases = [
        (1003, Rule::Text, "a text message, where only binary ones are taken"),
        (1009, Rule::MessageTooLong { len: 9, max: 8 }, "a message of 9 bytes or more, where at most 8 are taken"),
        (1007, Rule::TextNotUtf8, "text that is not UTF-8 (RFC 6455 §8.1)"),
        (
            1009,
            Rule::TooManyFragments { max: 8 },
            "a message in too many fragments: more than 8 bytes with the headers of its frames",
        ),
        (1002, Rule::Unmasked, "a frame from the client is not masked (RFC 6455 §5.1)"),
        (1002, Rule::Masked, "a frame from the server is masked (RFC 6455 §5.1)"),
        (1002, Rule::ReservedBits, "a frame has reserved bits set, and no extension was agreed (RFC 6455 §5.2)"),
        (1002, Rule::ReservedOpcode, "a frame has a reserved opcode (RFC 6455 §5.2)"),
        (1002, Rule::StrayContinuation, "a continuation without a message to continue (RFC 6455 §5.4)"),
        (1002, Rule::UnfinishedMessage, "a new message before the end of a fragmented one (RFC 6455 §5.4)"),
        (1002, Rule::FragmentedControl, "a control frame is fragmented (RFC 6455 §5.5)"),
        (1002, Rule::ControlTooLong, "a control frame has more than 125 bytes (RFC 6455 §5.5)"),
        (1002, Rule::DataAfterClose, "data after the close frame (RFC 6455 §5.5.1)"),
        (1002, Rule::CloseOfOneByte, "a close frame of one byte (RFC 6455 §5.5.1)"),
        (1002, Rule::ReasonNotUtf8, "the reason of a close frame is not UTF-8"),
        (1002, Rule::ForbiddenCode, "a close frame with a code that must not be sent (RFC 6455 §7.4)"),
        (1002, Rule::Framing, "the WebSocket framing is broken"),
    ];
    for (code, rule, text) in cases {
        let error = ProtocolError::from(rule);
        assert_eq!((error.close_code(), &*error.reason()), (CloseCode(code), text));
        assert_eq!(error.to_string(), format!("protocol error: {text}"));
    }
}

/// Functions for each frame that comes return it.
#[test]
fn an_error_is_small() {
    assert!(size_of::<ProtocolError>() <= 40, "{}", size_of::<ProtocolError>());
}

#[test]
fn what_cannot_be_decoded_keeps_its_text_and_its_place() {
    let cases = [
        (WireError::at("not text", 7), ProtocolError::Malformed { what: "not text".into(), at: Some(7) }),
        (WireError::new("not text"), ProtocolError::Malformed { what: "not text".into(), at: None }),
        (WireError::at(WireFault::UnknownFrame(15), 3), ProtocolError::UnknownFrame { kind: 15, at: Some(3) }),
        (WireError::at(WireFault::TooManyFrames(2), 9), ProtocolError::TooManyFrames { max: 2, at: Some(9) }),
    ];
    for (error, expected) in cases {
        let text = error.to_string();
        let error = ProtocolError::from(error);
        assert_eq!(error.reason(), text);
        assert_eq!(error, expected);
    }
}

#[test]
fn the_words_of_a_transport_are_escaped_where_they_are_shown() {
    let error = ProtocolError::transport(CloseCode::UNSUPPORTED, "no\nway");
    assert_eq!((error.close_code(), &*error.reason()), (CloseCode::UNSUPPORTED, "no\nway"));
    assert_eq!(error.to_string(), "protocol error: no\\nway");
}
