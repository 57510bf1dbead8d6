//! Encoding and decoding of Hello and Welcome: maps with integer keys, so that either side may be newer. What the two
//! frames do to a connection is in `proto/handshake` and `proto/connection/handshake.rs`.

use bytes::{Bytes, BytesMut};

use super::{
    Hello, HostedContract, MAX_TOKEN, PeerLimits, Resume, Welcome, WireError, WithheldContract, put,
    read::Reader,
    status::{put_status, read_status},
};

/// A limit that is not announced.
const UNLIMITED: u64 = u64::MAX;

/// The keys of limits run from 1 up, in the order of [`PeerLimits`]. A new limit takes the next key, and with it a
/// value in [`PeerLimits::MISSING`] and an arm in [`read_limits`]. Limits up to this key are always announced, and
/// later ones only if there is a limit.
const LAST_REQUIRED_LIMIT: u64 = 13;

/// The keys of Hello and Welcome.
mod key {
    pub(super) const VERSION: u64 = 1;
    pub(super) const LIMITS: u64 = 2;
    pub(super) const KEEPALIVE: u64 = 3;
    pub(super) const CONTRACTS: u64 = 4;
    pub(super) const CREDENTIALS: u64 = 5;
    pub(super) const RESUME: u64 = 6;
    pub(super) const SESSION: u64 = 7;
    pub(super) const TOKEN: u64 = 8;
    pub(super) const RESUMED: u64 = 9;
    pub(super) const RECEIVED: u64 = 10;
    pub(super) const REFUSAL: u64 = 11;
    pub(super) const WITHHELD: u64 = 12;
    pub(super) const RESUME_WINDOW: u64 = 13;
}

pub(super) fn put_hello(out: &mut BytesMut, hello: &Hello) {
    let optional = [!hello.credentials.is_empty(), hello.resume.is_some(), hello.resume_window_ms > 0];
    put::map(out, 4 + optional.into_iter().filter(|is_there| *is_there).count());
    put::uint(out, key::VERSION);
    put::uint(out, hello.version);
    put_common(out, &hello.limits, hello.keepalive_ms, &hello.contracts);
    if !hello.credentials.is_empty() {
        put::uint(out, key::CREDENTIALS);
        put::bin(out, &hello.credentials);
    }
    if let Some(resume) = &hello.resume {
        put::uint(out, key::RESUME);
        put::array(out, 3);
        put::bin(out, &resume.token);
        put::uint(out, resume.epoch);
        put::uint(out, resume.received);
    }
    put_window(out, hello.resume_window_ms);
}

pub(super) fn put_welcome(out: &mut BytesMut, welcome: &Welcome) {
    if welcome.resumed {
        // The client knows all else.
        put::map(out, 3);
        put::uint(out, key::VERSION);
        put::uint(out, welcome.version);
        put::uint(out, key::RESUMED);
        put::boolean(out, true);
        put::uint(out, key::RECEIVED);
        return put::uint(out, welcome.received);
    }
    let optional = [
        !welcome.token.is_empty(),
        !welcome.withheld.is_empty(),
        welcome.refusal.is_some(),
        welcome.resume_window_ms > 0,
    ];
    put::map(out, 5 + optional.into_iter().filter(|is_there| *is_there).count());
    put::uint(out, key::VERSION);
    put::uint(out, welcome.version);
    put_common(out, &welcome.limits, welcome.keepalive_ms, &welcome.contracts);
    put::uint(out, key::SESSION);
    put::uint(out, welcome.session);
    if !welcome.token.is_empty() {
        put::uint(out, key::TOKEN);
        put::bin(out, &welcome.token);
    }
    if let Some(refusal) = &welcome.refusal {
        put::uint(out, key::REFUSAL);
        put_status(out, refusal);
    }
    if !welcome.withheld.is_empty() {
        put::uint(out, key::WITHHELD);
        put::array(out, welcome.withheld.len());
        for contract in &welcome.withheld {
            put::array(out, 2);
            put::text(out, &contract.name);
            put::text(out, &contract.callback);
        }
    }
    put_window(out, welcome.resume_window_ms);
}

/// Writes how long the session can be resumed, if it can be.
fn put_window(out: &mut BytesMut, ms: u64) {
    if ms > 0 {
        put::uint(out, key::RESUME_WINDOW);
        put::uint(out, ms);
    }
}

/// What follows the version in both frames: limits, keepalive and contracts.
fn put_common(out: &mut BytesMut, limits: &PeerLimits, keepalive_ms: u64, contracts: &[HostedContract]) {
    put::uint(out, key::LIMITS);
    put_limits(out, limits);
    put::uint(out, key::KEEPALIVE);
    put::uint(out, keepalive_ms);
    put::uint(out, key::CONTRACTS);
    put::array(out, contracts.len());
    for contract in contracts {
        put::array(out, if contract.windows.is_empty() { 2 } else { 3 });
        put::text(out, &contract.name);
        put::uint(out, contract.fingerprint);
        put_windows(out, &contract.windows);
    }
}

/// Writes the last element of a contract, which is left out if there are no windows.
fn put_windows(out: &mut BytesMut, windows: &[(u32, u32)]) {
    if windows.is_empty() {
        return;
    }
    put::map(out, windows.len());
    for (method, bytes) in windows {
        put::uint(out, u64::from(*method));
        put::uint(out, u64::from(*bytes));
    }
}

fn put_limits(out: &mut BytesMut, limits: &PeerLimits) {
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
    let contents = [nesting, values, containers];
    let all = (1_u64..).zip(counts.into_iter().chain(bytes).chain(windows).chain(contents));
    let announced = all.filter(|&(key, value)| key <= LAST_REQUIRED_LIMIT || value < UNLIMITED);
    put::map(out, announced.clone().count());
    for (key, value) in announced {
        put::uint(out, key);
        put::uint(out, value);
    }
}

pub(super) fn read_hello(reader: &mut Reader) -> Result<Hello, WireError> {
    let mut hello = Hello { version: 0, ..Hello::new(PeerLimits::MISSING, Vec::new()) };
    for _ in 0..reader.map()? {
        match reader.uint()? {
            key::VERSION => hello.version = reader.uint()?,
            key::LIMITS => hello.limits = read_limits(reader)?,
            key::KEEPALIVE => hello.keepalive_ms = reader.uint()?,
            key::CONTRACTS => hello.contracts = read_contracts(reader)?,
            key::CREDENTIALS => hello.credentials = reader.bin()?.to_vec(),
            key::RESUME => hello.resume = Some(read_resume(reader)?),
            key::RESUME_WINDOW => hello.resume_window_ms = reader.uint()?,
            _ => reader.skip()?,
        }
    }
    Ok(hello)
}

pub(super) fn read_welcome(reader: &mut Reader) -> Result<Welcome, WireError> {
    let mut welcome = Welcome { version: 0, ..Welcome::new(PeerLimits::MISSING, Vec::new(), 0) };
    for _ in 0..reader.map()? {
        match reader.uint()? {
            key::VERSION => welcome.version = reader.uint()?,
            key::LIMITS => welcome.limits = read_limits(reader)?,
            key::KEEPALIVE => welcome.keepalive_ms = reader.uint()?,
            key::CONTRACTS => welcome.contracts = read_contracts(reader)?,
            key::SESSION => welcome.session = reader.uint()?,
            key::TOKEN => welcome.token = read_token(reader)?,
            key::RESUME_WINDOW => welcome.resume_window_ms = reader.uint()?,
            key::RESUMED => welcome.resumed = reader.boolean()?,
            key::RECEIVED => welcome.received = reader.uint()?,
            key::REFUSAL => welcome.refusal = Some(read_status(reader)?),
            key::WITHHELD => welcome.withheld = read_withheld(reader)?,
            _ => reader.skip()?,
        }
    }
    Ok(welcome)
}

fn read_limits(reader: &mut Reader) -> Result<PeerLimits, WireError> {
    let mut limits = PeerLimits::MISSING;
    for _ in 0..reader.map()? {
        let key = reader.uint()?;
        match key {
            1 => limits.calls = read_count(reader)?.max(1),
            2 => limits.nested = read_count(reader)?.max(1),
            3 => limits.notifies = read_count(reader)?.max(1),
            4 => limits.depth = read_count(reader)?,
            5 => limits.payload = reader.uint()?,
            6 => limits.assembly = reader.uint()?,
            7 => limits.arguments = reader.uint()?,
            8 => limits.packet = reader.uint()?,
            9 => limits.chunk = reader.uint()?,
            10 => limits.streams = read_count(reader)?,
            11 => limits.stream_items = read_count(reader)?.max(1),
            12 => limits.stream_bytes = reader.uint()?,
            13 => limits.streams_bytes = reader.uint()?,
            14 => limits.nesting = reader.uint()?,
            15 => limits.values = reader.uint()?,
            16 => limits.containers = reader.uint()?,
            _ => reader.skip()?,
        }
    }
    Ok(limits)
}

/// A limit that counts. The other side may announce more than this side can count.
fn read_count(reader: &mut Reader) -> Result<u32, WireError> {
    Ok(u32::try_from(reader.uint()?).unwrap_or(u32::MAX))
}

fn read_contracts(reader: &mut Reader) -> Result<Vec<HostedContract>, WireError> {
    // The vector is not sized by the array's length, which may be a lie.
    let mut contracts = Vec::new();
    for _ in 0..reader.array()? {
        let len = reader.array()?;
        if len < 2 {
            return Err(reader.error("a contract without name and fingerprint"));
        }
        let name = reader.text()?.to_owned();
        let fingerprint = reader.uint()?;
        let windows = if len > 2 { read_windows(reader)? } else { Vec::new() };
        for _ in 3..len {
            reader.skip()?;
        }
        contracts.push(HostedContract { name, fingerprint, windows });
    }
    Ok(contracts)
}

fn read_withheld(reader: &mut Reader) -> Result<Vec<WithheldContract>, WireError> {
    let mut withheld = Vec::new();
    for _ in 0..reader.array()? {
        let len = reader.array()?;
        if len < 2 {
            return Err(reader.error("a withheld contract without its name and its callback contract"));
        }
        let (name, callback) = (reader.text()?.to_owned(), reader.text()?.to_owned());
        for _ in 2..len {
            reader.skip()?;
        }
        withheld.push(WithheldContract { name, callback });
    }
    Ok(withheld)
}

fn read_windows(reader: &mut Reader) -> Result<Vec<(u32, u32)>, WireError> {
    let mut windows = Vec::new();
    if reader.take_nil() {
        return Ok(windows);
    }
    for _ in 0..reader.map()? {
        let (method, bytes) = (reader.uint()?, read_count(reader)?);
        // No method has a number of more than 32 bits.
        windows.extend(u32::try_from(method).ok().map(|method| (method, bytes)));
    }
    Ok(windows)
}

fn read_resume(reader: &mut Reader) -> Result<Resume, WireError> {
    let len = reader.array()?;
    if len < 3 {
        return Err(reader.error("a resume without token, epoch and position"));
    }
    let resume = Resume { token: read_token(reader)?, epoch: reader.uint()?, received: reader.uint()? };
    for _ in 3..len {
        reader.skip()?;
    }
    Ok(resume)
}

/// A token, which is kept for as long as the session: not as a part of the packet.
fn read_token(reader: &mut Reader) -> Result<Bytes, WireError> {
    let token = reader.bin()?;
    if token.len() > MAX_TOKEN {
        return Err(reader.error("a token of more than 64 bytes"));
    }
    Ok(Bytes::copy_from_slice(&token))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No two limits have the same value, and none has the value that stands for a missing limit.
    fn distinct() -> PeerLimits {
        PeerLimits {
            calls: 101,
            nested: 102,
            notifies: 103,
            depth: 104,
            payload: 105,
            assembly: 106,
            arguments: 107,
            packet: 108,
            chunk: 109,
            streams: 110,
            stream_items: 111,
            stream_bytes: 112,
            streams_bytes: 113,
            nesting: 114,
            values: 115,
            containers: 116,
        }
    }

    fn read(bytes: BytesMut) -> PeerLimits {
        read_limits(&mut Reader::new(bytes.freeze())).unwrap()
    }

    fn put_map(entries: &[(u64, u64)]) -> BytesMut {
        let mut bytes = BytesMut::new();
        put::map(&mut bytes, entries.len());
        for &(key, value) in entries {
            put::uint(&mut bytes, key);
            put::uint(&mut bytes, value);
        }
        bytes
    }

    #[test]
    fn each_limit_that_is_written_is_read_back() {
        let mut bytes = BytesMut::new();
        put_limits(&mut bytes, &distinct());
        assert_eq!(read(bytes), distinct());
    }

    #[test]
    fn each_key_is_written_and_read_as_the_limit_of_its_place() {
        let mut bytes = BytesMut::new();
        put_limits(&mut bytes, &distinct());
        let mut reader = Reader::new(bytes.freeze());
        let count = reader.map().unwrap() as u64;
        for key in 1..=count {
            assert_eq!((reader.uint().unwrap(), reader.uint().unwrap()), (key, 100 + key));
            // The key alone in the map changes this limit, and no other.
            let (alone, all) = (format!("{:?}", read(put_map(&[(key, 999)]))), format!("{:?}", PeerLimits::MISSING));
            let changed = alone.split(", ").zip(all.split(", ")).filter(|(alone, all)| alone != all);
            let places: Vec<_> = changed.collect();
            assert_eq!(places.len(), 1, "key {key}: {places:?}");
            assert!(places[0].0.contains(": 999"), "key {key}: {places:?}");
        }
        assert_eq!(read(put_map(&[(count + 1, 999)])), PeerLimits::MISSING, "an unknown key is passed over");
    }

    #[test]
    fn limits_that_are_not_announced_have_the_defaults_of_the_protocol() {
        assert_eq!(read(put_map(&[])), PeerLimits::MISSING);
        let mut bytes = BytesMut::new();
        put_limits(&mut bytes, &PeerLimits::MISSING);
        assert_eq!(read(bytes), PeerLimits::MISSING);
    }
}
