//! Encoding and decoding of frames: pure, bounded, and the only place that knows MessagePack.

mod buffer;
mod decode;
mod decoder;
mod encode;
mod error;
mod fields;
pub mod frame;
mod handshake;
mod head;
mod hello;
mod layout;
mod packet;
mod payload;
mod plain;
mod put;
mod read;
mod rope;
mod scan;
mod status;
mod streams;

pub use buffer::encode_bytes;
pub use encode::{RequestHead, put_frame, put_marked_notify, put_plain_notify, put_plain_request, put_plain_response};
pub(crate) use error::WireFault;
pub use error::{PayloadLimit, WireError};
pub use frame::{
    BoxedPayload, CallId, ErrorBody, Frame, MetadataPairs, Notify, Payload, Request, TransferId, metadata_size,
};
pub use hello::{
    Hello, HostedContract, MAX_TOKEN, PeerLimits, Resume, SUBPROTOCOL, VERSION, Welcome, WithheldContract,
};
pub use layout::{Boxed, DecodeAs, Each, EncodeAs, Entries, Laid, LaidRef, Maybe, Octets, Same};
pub use packet::{Frames, MAX_FRAMES, PacketHeader, put_header, read_packet};
pub use payload::{ArgumentReader, Bin, EncodeError, Nil, NoArguments, decode, decode_bytes, encode};
pub use plain::PlainFrame;
pub(crate) use rope::MIN_PIECE;
pub use rope::{Blob, DeferredDrops, Rope, encode_rope};
pub(crate) use scan::MAX_NESTING;
pub use scan::{ScanLimits, scan, scan_exact};
pub use streams::Streams;
