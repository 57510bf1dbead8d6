//! The names of the methods that a fake peer knows, and frames as text for people.

use rpc_core::contract::{ContractDescriptor, MethodDescriptor, method_id};

use super::frame::{ErrorBody, Frame, Payload};
use crate::travel::wire_text;

/// The methods of some contracts.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Vec<&'static MethodDescriptor>);

impl Names {
    /// The methods of these contracts, and of their callback contracts.
    pub(super) fn of(contracts: &[&'static ContractDescriptor]) -> Self {
        let all = contracts.iter().flat_map(|contract| [Some(*contract), contract.callback()]).flatten();
        Self(all.flat_map(|contract| contract.methods().iter().copied()).collect())
    }

    /// The number of a method by its name, `Contract.method`.
    pub(super) fn id(&self, name: &str) -> u32 {
        let known = self.0.iter().find(|method| method.to_string() == name);
        known.map_or_else(
            || {
                let (contract, method) = name.rsplit_once('.').unwrap_or(("", name));
                method_id(contract, method)
            },
            |method| method.id(),
        )
    }

    /// The name of a method by its number.
    pub(super) fn name(&self, id: u32) -> String {
        let known = self.0.iter().find(|method| method.id() == id);
        known.map_or_else(|| format!("an unknown method (number {id:#010x})"), ToString::to_string)
    }

    /// A frame, as a failed expectation shows it.
    pub(super) fn show(&self, frame: &Frame) -> String {
        match frame {
            Frame::Request { id, method, payload, .. } => {
                format!("Request {id} of {} with {}", self.name(*method), show_payload(payload))
            }
            Frame::Notify { method, payload, .. } => {
                format!("Notify of {} with {}", self.name(*method), show_payload(payload))
            }
            Frame::Response { id, payload, .. } => format!("Response {id} with {}", show_payload(payload)),
            Frame::Error { id, error } => format!("Error {id}, {}", show_error(error)),
            Frame::Item { stream, payload } => format!("Item of stream {stream}, {}", show_payload(payload)),
            Frame::End { stream, error: Some(error) } => format!("End of stream {stream}, {}", show_error(error)),
            Frame::End { stream, error: None } => format!("End of stream {stream}"),
            Frame::Cancel { id, .. } => format!("Cancel {id}"),
            Frame::Chunk { transfer, data } => format!("Chunk of transfer {transfer}, {} bytes", data.len()),
            Frame::Abort { transfer } => format!("Abort of transfer {transfer}"),
            Frame::Stop { transfer } => format!("Stop of stream or transfer {transfer}"),
            Frame::Bye { code, message } => format!("Bye {code}: {message}"),
            Frame::GoAway { message, .. } => format!("GoAway: {message}"),
            Frame::Credit { .. } | Frame::Done { .. } => format!("{frame:?}"),
        }
    }
}

fn show_payload(payload: &Payload) -> String {
    match payload {
        Payload::Inline(bytes) => wire_text(bytes),
        Payload::Announced { transfer, total } => format!("{total} bytes that follow as transfer {transfer}"),
    }
}

fn show_error(error: &ErrorBody) -> String {
    match error {
        ErrorBody::Fault(payload) => format!("the fault {}", show_payload(payload)),
        ErrorBody::Status(status) => format!("the status {status}"),
    }
}
