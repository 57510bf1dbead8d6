//! Hello and Welcome to bytes and back: maps from integers, so that either side may be newer.

use bytes::BytesMut;

use super::{
    Hello, HostedContract, PeerLimits, Resume, Welcome, WireError, put,
    read::Reader,
    status::{put_status, read_status},
};

/// A limit that is not announced.
const UNLIMITED: u64 = u64::MAX;

pub(super) fn put_hello(out: &mut BytesMut, hello: &Hello) {
    put::map(out, 4 + usize::from(!hello.credentials.is_empty()) + usize::from(hello.resume.is_some()));
    put::uint(out, 1);
    put::uint(out, hello.version);
    put_common(out, &hello.limits, hello.keepalive_ms, &hello.contracts);
    if !hello.credentials.is_empty() {
        put::uint(out, 5);
        put::bin(out, &hello.credentials);
    }
    if let Some(resume) = &hello.resume {
        put::uint(out, 6);
        put::array(out, 5);
        put::uint(out, resume.session);
        put::bin(out, &resume.secret);
        put::uint(out, resume.epoch);
        put::uint(out, resume.received);
        put::uint(out, resume.oldest);
    }
}

pub(super) fn put_welcome(out: &mut BytesMut, welcome: &Welcome) {
    let resumed = if welcome.resumed { 2 } else { 0 };
    let optional = usize::from(!welcome.secret.is_empty()) + resumed + usize::from(welcome.refusal.is_some());
    put::map(out, 5 + optional);
    put::uint(out, 1);
    put::uint(out, welcome.version);
    put_common(out, &welcome.limits, welcome.keepalive_ms, &welcome.contracts);
    put::uint(out, 7);
    put::uint(out, welcome.session);
    if !welcome.secret.is_empty() {
        put::uint(out, 8);
        put::bin(out, &welcome.secret);
    }
    if welcome.resumed {
        put::uint(out, 9);
        put::boolean(out, true);
        put::uint(out, 10);
        put::uint(out, welcome.received);
    }
    if let Some(refusal) = &welcome.refusal {
        put::uint(out, 11);
        put_status(out, refusal);
    }
}

/// Keys 2 to 4.
fn put_common(out: &mut BytesMut, limits: &PeerLimits, keepalive_ms: u64, contracts: &[HostedContract]) {
    put::uint(out, 2);
    let PeerLimits {
        calls,
        nested,
        notifies,
        depth,
        payload,
        assembly,
        arguments,
        packet,
        chunk,
        streams,
        stream_items,
        stream_bytes,
        streams_bytes,
        nesting,
        values,
        containers,
    } = *limits;
    let counts = [calls, nested, notifies, depth].map(u64::from);
    let bytes = [payload, assembly, arguments, packet, chunk];
    let windows = [u64::from(streams), u64::from(stream_items), stream_bytes, streams_bytes];
    // What one payload may hold is not said where there is no limit.
    let held = [nesting, values, containers];
    put::map(out, 13 + held.iter().filter(|&&limit| limit < UNLIMITED).count());
    let all = (1_u64..).zip(counts.into_iter().chain(bytes).chain(windows).chain(held));
    for (key, value) in all.filter(|&(key, value)| key <= 13 || value < UNLIMITED) {
        put::uint(out, key);
        put::uint(out, value);
    }
    put::uint(out, 3);
    put::uint(out, keepalive_ms);
    put::uint(out, 4);
    put::array(out, contracts.len());
    for contract in contracts {
        put::array(out, 2);
        put::text(out, &contract.name);
        put::uint(out, contract.fingerprint);
    }
}

pub(super) fn read_hello(reader: &mut Reader) -> Result<Hello, WireError> {
    let mut hello = Hello {
        version: 0,
        limits: missing_limits(),
        keepalive_ms: 0,
        contracts: Vec::new(),
        credentials: Vec::new(),
        resume: None,
    };
    for _ in 0..reader.map()? {
        match reader.uint()? {
            1 => hello.version = reader.uint()?,
            2 => hello.limits = read_limits(reader)?,
            3 => hello.keepalive_ms = reader.uint()?,
            4 => hello.contracts = read_contracts(reader)?,
            5 => hello.credentials = reader.bin()?.to_vec(),
            6 => hello.resume = Some(read_resume(reader)?),
            _ => reader.skip()?,
        }
    }
    Ok(hello)
}

pub(super) fn read_welcome(reader: &mut Reader) -> Result<Welcome, WireError> {
    let mut welcome = Welcome {
        version: 0,
        limits: missing_limits(),
        keepalive_ms: 0,
        contracts: Vec::new(),
        session: 0,
        secret: Vec::new(),
        resumed: false,
        received: 0,
        refusal: None,
    };
    for _ in 0..reader.map()? {
        match reader.uint()? {
            1 => welcome.version = reader.uint()?,
            2 => welcome.limits = read_limits(reader)?,
            3 => welcome.keepalive_ms = reader.uint()?,
            4 => welcome.contracts = read_contracts(reader)?,
            7 => welcome.session = reader.uint()?,
            8 => welcome.secret = reader.bin()?.to_vec(),
            9 => welcome.resumed = reader.boolean()?,
            10 => welcome.received = reader.uint()?,
            11 => welcome.refusal = Some(read_status(reader)?),
            _ => reader.skip()?,
        }
    }
    Ok(welcome)
}

/// What a side takes that does not say so.
fn missing_limits() -> PeerLimits {
    const CHUNK: u64 = 64 * 1024;
    PeerLimits {
        calls: 1,
        nested: 1,
        notifies: 1,
        depth: 1,
        payload: CHUNK,
        assembly: CHUNK,
        arguments: CHUNK,
        packet: 2 * CHUNK,
        chunk: CHUNK,
        streams: 0,
        stream_items: 1,
        stream_bytes: CHUNK,
        streams_bytes: CHUNK,
        nesting: UNLIMITED,
        values: UNLIMITED,
        containers: UNLIMITED,
    }
}

fn read_limits(reader: &mut Reader) -> Result<PeerLimits, WireError> {
    let mut limits = missing_limits();
    for _ in 0..reader.map()? {
        let key = reader.uint()?;
        if !(1..=16).contains(&key) {
            reader.skip()?;
            continue;
        }
        let value = reader.uint()?;
        let count = u32::try_from(value).unwrap_or(u32::MAX);
        match key {
            1 => limits.calls = count.max(1),
            2 => limits.nested = count.max(1),
            3 => limits.notifies = count.max(1),
            4 => limits.depth = count,
            5 => limits.payload = value,
            6 => limits.assembly = value,
            7 => limits.arguments = value,
            8 => limits.packet = value,
            9 => limits.chunk = value,
            10 => limits.streams = count,
            11 => limits.stream_items = count.max(1),
            12 => limits.stream_bytes = value,
            13 => limits.streams_bytes = value,
            14 => limits.nesting = value,
            15 => limits.values = value,
            _ => limits.containers = value,
        }
    }
    Ok(limits)
}

fn read_contracts(reader: &mut Reader) -> Result<Vec<HostedContract>, WireError> {
    // Grows with what is there, not with what is claimed.
    let mut contracts = Vec::new();
    for _ in 0..reader.array()? {
        let len = reader.array()?;
        if len < 2 {
            return Err(reader.error("a contract without name and fingerprint"));
        }
        let name = reader.text()?.to_owned();
        let fingerprint = reader.uint()?;
        for _ in 2..len {
            reader.skip()?;
        }
        contracts.push(HostedContract { name, fingerprint });
    }
    Ok(contracts)
}

fn read_resume(reader: &mut Reader) -> Result<Resume, WireError> {
    let len = reader.array()?;
    if len < 5 {
        return Err(reader.error("a resume position that is cut short"));
    }
    let resume = Resume {
        session: reader.uint()?,
        secret: reader.bin()?.to_vec(),
        epoch: reader.uint()?,
        received: reader.uint()?,
        oldest: reader.uint()?,
    };
    for _ in 5..len {
        reader.skip()?;
    }
    Ok(resume)
}
