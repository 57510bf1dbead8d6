//! Encoding and decoding of a status.

use bytes::BytesMut;

use super::{WireError, fields::Fields, put, read::Reader};
use crate::{
    status::{Code, Execution, Reason, Status},
    text::{MAX_PEER_TEXT, cut},
};

pub(super) fn put_status(out: &mut BytesMut, status: &Status) {
    put::array(out, if status.reason().is_some() { 5 } else { 4 });
    put::uint(out, u64::from(status.code().number()));
    put::text(out, status.message());
    if status.details().is_empty() {
        put::nil(out);
    } else {
        put::bin(out, status.details());
    }
    put::uint(out, u64::from(status.execution() == Execution::NotExecuted));
    if let Some(Reason::WouldDeadlock) = status.reason() {
        put::uint(out, 1);
    }
}

/// Reads a status. Its message is cut to the length that a peer's text may have, and details that do not fit beside the
/// message are dropped.
pub(super) fn read_status(reader: &mut Reader) -> Result<Status, WireError> {
    let left = reader.array()?;
    let mut fields = Fields { reader, left };
    let code = Code::from_number(fields.uint("a status without a code")?);
    let message = match fields.optional()? {
        Some(reader) => read_text(reader)?,
        None => String::new(),
    };
    let details = fields.optional()?.map(Reader::bin).transpose()?;
    let details = details.filter(|details| message.len() + details.len() <= MAX_PEER_TEXT);
    let execution = match fields.uint_or_other()? {
        Some(1) => Execution::NotExecuted,
        _ => Execution::Unknown,
    };
    let reason = match fields.uint_or_other()? {
        Some(1) => Some(Reason::WouldDeadlock),
        _ => None,
    };
    fields.skip_rest()?;
    let status = Status::new(code, message).with_execution(execution).with_reason(reason);
    Ok(match details {
        Some(details) => status.with_details(details),
        None => status,
    })
}

/// Reads a text for people, cut to the length that a peer's text may have.
pub(super) fn read_text(reader: &mut Reader) -> Result<String, WireError> {
    Ok(cut(reader.text()?, MAX_PEER_TEXT).to_owned())
}
