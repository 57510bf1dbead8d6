//! What an end tells the other end of the contracts that it hosts, and how many bytes that takes.

use bytes::BytesMut;

use super::Service;
use crate::{
    contract::MethodDescriptor,
    credential::Credential,
    wire::{Frame, Hello, HostedContract, PacketHeader, PeerLimits, Welcome, WithheldContract, put_frame, put_header},
};

/// More than the key and the header of a list take in a Welcome.
const LIST: usize = 8;

/// The contracts of these services, as the handshake announces them.
pub(super) fn announced<'a>(services: impl IntoIterator<Item = &'a Service>) -> Vec<HostedContract> {
    let contracts = services.into_iter().map(Service::contract);
    let hosted = contracts.map(|contract| HostedContract {
        name: contract.name().to_owned(),
        fingerprint: contract.fingerprint(),
        windows: windows(contract.methods()),
    });
    hosted.collect()
}

/// The contract of this service, as the handshake tells a client that it is not offered; `None` if the contract does
/// not require a callback contract.
pub(super) fn withhold(service: &Service) -> Option<WithheldContract> {
    let contract = service.contract();
    let callback = contract.required_callback()?;
    Some(WithheldContract { name: contract.name().to_owned(), callback: callback.name().to_owned() })
}

/// The largest length of a Welcome that announces the services. A Hello is shorter. Apart from the names, both consist
/// of numbers, which take their largest values here.
pub(super) fn handshake_len(services: &[Service]) -> usize {
    let length = |contracts, withheld| {
        let limits = PeerLimits::all(u32::MAX, u64::MAX);
        let welcome = Welcome::new(limits, contracts, u64::MAX);
        packet_len(Frame::Welcome(Box::new(Welcome { keepalive_ms: u64::MAX, withheld, ..welcome })))
    };
    // To each client, a contract is either offered or withheld: the longer one of both counts.
    let (mut offered, mut withheld) = (Vec::new(), Vec::new());
    for service in services {
        match withhold(service) {
            Some(it) if length(Vec::new(), vec![it.clone()]) > length(announced([service]), Vec::new()) => {
                withheld.push(it);
            }
            _ => offered.extend(announced([service])),
        }
    }
    length(offered, withheld) + LIST
}

/// The largest length of a Hello that announces the services and shows the credential.
pub(super) fn hello_len(services: &[Service], credential: &Credential) -> usize {
    let hello = Hello {
        keepalive_ms: u64::MAX,
        credentials: credential.expose().to_vec(),
        ..Hello::new(PeerLimits::all(u32::MAX, u64::MAX), announced(services))
    };
    packet_len(Frame::Hello(Box::new(hello)))
}

fn windows(methods: &[&MethodDescriptor]) -> Vec<(u32, u32)> {
    let windows = methods.iter().map(|method| (method.id(), method.announced_window()));
    windows.filter(|(_, window)| *window > 0).collect()
}

/// The length of the first packet of an end.
fn packet_len(frame: Frame) -> usize {
    let mut packet = BytesMut::new();
    put_header(&mut packet, PacketHeader { seq: 0, ack: 0 });
    put_frame(&mut packet, &frame);
    packet.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::HANDSHAKE,
        contract::ContractDescriptor,
        service::{Hosting, HostingError},
    };

    /// This many contracts without methods, whose names have this many bytes.
    fn services(contracts: usize, name: usize) -> Vec<Service> {
        let contract = |number| {
            let name: &'static str = format!("{number:0name$}").leak();
            ContractDescriptor::new(name, &[])
        };
        (0..contracts).map(|number| host(contract(number))).collect()
    }

    fn host(contract: ContractDescriptor) -> Service {
        Service::host(Box::leak(Box::new(contract)), (), |_, _, _, _| unreachable!("there is no method"))
    }

    fn build(services: Vec<Service>) -> Result<Hosting, HostingError> {
        services.into_iter().fold(Hosting::builder(), |builder, service| builder.service(service)).build()
    }

    #[test]
    fn names_that_no_handshake_holds_are_refused() {
        let error = build(services(160, 95)).expect_err("160 names of 95 bytes are too long");
        assert!(matches!(error, HostingError::TooLong { contracts: 160, bytes, most: 16_384 } if bytes > 16_384));
        assert!(error.to_string().contains("160 contracts") && error.to_string().contains("16384 bytes"), "{error}");
        assert!(build(services(256, 40)).is_ok(), "256 names of a common length");
        assert!((100..=200).contains(&handshake_len(&[])), "{} bytes beside the names", handshake_len(&[]));
    }

    #[test]
    fn what_passes_fits_a_handshake_whatever_the_limits_and_the_session_are() {
        let passes = |name: &usize| build(services(150, *name)).is_ok();
        let most = (1..200).rev().find(passes).expect("short names pass");
        let len = handshake_len(&services(150, most));
        assert!((HANDSHAKE - 150..=HANDSHAKE).contains(&len), "{len} bytes with names of {most} bytes");
    }

    #[test]
    fn the_names_of_callback_contracts_count_where_they_may_be_told() {
        static LONG: ContractDescriptor = ContractDescriptor::new(
            "ACallbackContractWithANameThatTakesMoreBytesThanAFingerprintAndIsToldToEachClientThatLacksIt",
            &[],
        );
        let with = |callback: fn(ContractDescriptor) -> ContractDescriptor| {
            (0..200).map(|n| host(callback(ContractDescriptor::new(format!("{n}").leak(), &[])))).collect()
        };
        assert!(matches!(build(with(|it| it.with_callback(&LONG))), Err(HostingError::TooLong { .. })));
        assert!(build(with(|it| it.with_optional_callback(&LONG))).is_ok(), "this name is never told");
    }
}
