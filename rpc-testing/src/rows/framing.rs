//! Rows 6 to 14: bytes below the calls.

use rpc_core::__internals::wire::Frame;

use super::{
    Row,
    liar::{BINARY, CONTINUATION, FIN, PING, Side, TEXT, header},
};

const KIB: usize = 1024;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(6, "no handshake", |liar| Box::pin(async move { liar.closed(4408).await })).hasty(),
        Row::new(7, "17 KiB before the handshake is done", |liar| {
            Box::pin(async move {
                let bytes = liar.frame(FIN | BINARY, &[0; 17 * KIB]);
                liar.floods(&bytes, 1009).await;
            })
        }),
        Row::new(8, "a frame of 2^63 bytes", |liar| {
            Box::pin(async move {
                liar.greet().await;
                let bytes = liar.header(FIN | BINARY, 1 << 63);
                liar.floods(&bytes, 1009).await;
            })
        })
        .allocates(1 << 20),
        Row::new(9, "a message that is too long, in fragments", |liar| {
            Box::pin(async move {
                liar.greet().await;
                let mut bytes = liar.frame(BINARY, &[0; 32 * KIB]);
                bytes.extend(liar.frame(CONTINUATION, &[0; 32 * KIB]).repeat(4));
                liar.floods(&bytes, 1009).await;
            })
        }),
        Row::new(10, "fragments of a byte without end", |liar| {
            Box::pin(async move {
                liar.greet().await;
                let mut bytes = liar.frame(BINARY, &[]);
                bytes.extend(liar.frame(CONTINUATION, &[0]).repeat(200 * KIB));
                liar.floods(&bytes, 1009).await;
            })
        })
        .long(),
        Row::new(10, "fragments without a byte before the handshake is done", |liar| {
            Box::pin(async move {
                let mut bytes = liar.frame(BINARY, &[]);
                bytes.extend(liar.frame(CONTINUATION, &[]).repeat(10 * KIB));
                liar.floods(&bytes, 1009).await;
            })
        }),
        Row::new(11, "a message that begins and does not go on", |liar| {
            Box::pin(async move {
                liar.greet().await;
                let bytes = liar.frame(BINARY, &[0]);
                liar.floods(&bytes, 4408).await;
            })
        })
        .hasty(),
        Row::new(12, "a flood of pings of the WebSocket", |liar| {
            Box::pin(async move {
                liar.greet().await;
                let bytes = liar.frame(FIN | PING, b"?").repeat(1000);
                liar.floods(&bytes, 1002).await;
            })
        }),
        Row::new(12, "a flood of pings of the protocol", |liar| {
            Box::pin(async move {
                liar.greet().await;
                for token in 0..20 {
                    liar.say_apart(&[Frame::Ping { token }]).await;
                }
                liar.closed(1002).await;
            })
        }),
        Row::new(13, "a frame that is masked and should not be, or the other way round", |liar| {
            Box::pin(async move {
                liar.greet().await;
                let bytes = [&header(FIN | BINARY, 2, liar.side == Side::Client)[..], &[0, 0]].concat();
                liar.floods(&bytes, 1002).await;
            })
        }),
        Row::new(13, "reserved bits", |liar| {
            Box::pin(async move {
                liar.greet().await;
                let bytes = liar.frame(0x40 | FIN | BINARY, &[0, 0]);
                liar.floods(&bytes, 1002).await;
            })
        }),
        Row::new(13, "a reserved opcode", |liar| {
            Box::pin(async move {
                liar.greet().await;
                let bytes = liar.frame(FIN | 3, &[0, 0]);
                liar.floods(&bytes, 1002).await;
            })
        }),
        Row::new(14, "a text message", |liar| {
            Box::pin(async move {
                liar.greet().await;
                let bytes = liar.frame(FIN | TEXT, b"{}");
                liar.floods(&bytes, 1003).await;
            })
        }),
    ]
}
