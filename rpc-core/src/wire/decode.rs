//! Decoding of frames.

use super::{
    ErrorBody, Frame, Notify, Request, WireError, WireFault,
    fields::Fields,
    frame::kind,
    handshake::{read_hello, read_welcome},
    read::Reader,
    status::{read_status, read_text},
};
use crate::status::Code;

/// Reads a frame. `None` for a frame of an unknown kind that may be passed over.
pub(super) fn read_frame(reader: &mut Reader, max_metadata: usize) -> Result<Option<Frame>, WireError> {
    let len = reader.array()?;
    if len == 0 {
        return Err(reader.error("a frame without a kind"));
    }
    let begin = reader.at();
    let kind = reader.uint()?;
    let mut fields = Fields { reader, left: len - 1 };
    let frame = match kind {
        kind::HELLO => Frame::Hello(Box::new(read_hello(fields.required("a Hello without its map")?)?)),
        kind::WELCOME => Frame::Welcome(Box::new(read_welcome(fields.required("a Welcome without its map")?)?)),
        kind::REQUEST => Frame::Request(Request {
            id: fields.uint("a Request without an id")?,
            method: fields.u32("a Request without a method")?,
            deadline_ms: fields.opt_uint()?,
            depth: fields.u32("a Request without a depth")?,
            parent: fields.opt_uint()?,
            metadata: fields.metadata(max_metadata)?,
            payload: fields.payload("a Request without a payload")?,
            streams: fields.streams()?,
            window: u32::try_from(fields.uint_or_other()?.unwrap_or(0)).unwrap_or(u32::MAX),
        }),
        kind::NOTIFY => Frame::Notify(Notify {
            method: fields.u32("a Notify without a method")?,
            depth: fields.u32("a Notify without a depth")?,
            metadata: fields.metadata(max_metadata)?,
            payload: fields.payload("a Notify without a payload")?,
            missed: fields.uint_or_other()?,
        }),
        kind::RESPONSE => Frame::Response {
            id: fields.uint("a Response without an id")?,
            payload: fields.payload("a Response without a payload")?,
            streams: fields.streams()?,
        },
        kind::ERROR => {
            let id = fields.uint("an Error without an id")?;
            let status = fields.optional()?.map(read_status).transpose()?;
            let error = match status {
                Some(status) => ErrorBody::Status(status),
                None => ErrorBody::Fault(fields.payload("an Error with neither status nor fault")?),
            };
            Frame::Error { id, error }
        }
        kind::CANCEL => Frame::Cancel {
            id: fields.uint("a Cancel without an id")?,
            expired: fields.uint_or_other()? == Some(Code::DeadlineExceeded.number().into()),
        },
        kind::CHUNK => Frame::Chunk {
            transfer: fields.uint("a Chunk without a transfer")?,
            data: fields.required("a Chunk without data")?.bin()?.into(),
        },
        kind::ABORT => Frame::Abort { transfer: fields.uint("an Abort without a transfer")? },
        kind::ITEM => Frame::Item {
            stream: fields.uint("an Item without a stream")?,
            payload: fields.payload("an Item without a payload")?,
        },
        kind::END => {
            let stream = fields.uint("an End without a stream")?;
            let status = fields.optional()?.map(read_status).transpose()?;
            let error = match (status, fields.left) {
                (Some(status), _) => Some(ErrorBody::Status(status)),
                (None, 0) => None,
                (None, _) => fields.opt_payload()?.map(ErrorBody::Fault),
            };
            Frame::End { stream, error }
        }
        kind::CREDIT => Frame::Credit {
            stream: fields.uint("a Credit without a stream")?,
            items: fields.opt_uint()?.unwrap_or(0),
            bytes: fields.opt_uint()?.unwrap_or(0),
            read: fields.opt_uint()?.unwrap_or(0),
        },
        kind::STOP => Frame::Stop { transfer: fields.uint("a Stop without a transfer")? },
        kind::DONE => Frame::Done {
            depth: fields.u32("a Done without a depth")?,
            count: fields.uint("a Done without a count")?,
            bytes: fields.opt_uint()?.unwrap_or(0),
            marked: fields.uint_or_other()?.unwrap_or(0),
        },
        kind::BYE => {
            let code = fields.uint("a Bye without a code")?;
            let message = match fields.optional()? {
                Some(reader) => read_text(reader)?,
                None => String::new(),
            };
            // Close codes have 16 bits. A later version may have others, which this one does not know.
            Frame::Bye { code: u16::try_from(code).unwrap_or(u16::MAX), message }
        }
        kind::PING => Frame::Ping { token: fields.uint("a Ping without a token")? },
        kind::PONG => Frame::Pong { token: fields.uint("a Pong without a token")? },
        kind::GO_AWAY => Frame::GoAway {
            last_seq: fields.uint("a GoAway without a number")?,
            message: match fields.optional()? {
                Some(reader) => read_text(reader)?,
                None => String::new(),
            },
            after_ms: fields.opt_uint()?.unwrap_or(0),
        },
        kind::FIRST_IGNORABLE.. => {
            fields.skip_rest()?;
            return Ok(None);
        }
        _ => return Err(WireError::at(WireFault::UnknownFrame(kind), begin)),
    };
    fields.skip_rest()?;
    Ok(Some(frame))
}

impl Frame {
    /// The name of the frame's kind, for messages.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "Hello",
            Self::Welcome(_) => "Welcome",
            Self::Request(_) => "Request",
            Self::Notify(_) => "Notify",
            Self::Response { .. } => "Response",
            Self::Error { .. } => "Error",
            Self::Cancel { .. } => "Cancel",
            Self::Chunk { .. } => "Chunk",
            Self::Abort { .. } => "Abort",
            Self::Item { .. } => "Item",
            Self::End { .. } => "End",
            Self::Credit { .. } => "Credit",
            Self::Stop { .. } => "Stop",
            Self::Done { .. } => "Done",
            Self::Bye { .. } => "Bye",
            Self::Ping { .. } => "Ping",
            Self::Pong { .. } => "Pong",
            Self::GoAway { .. } => "GoAway",
        }
    }
}
