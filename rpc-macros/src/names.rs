//! The numbers of methods, and the names that methods may not have.

/// The number of a method: FNV-1a, 32 bits, of `Contract.method`.
pub(crate) fn method_id(contract: &str, method: &str) -> u32 {
    let bytes = contract.bytes().chain([b'.']).chain(method.bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The names that the generated trait or client needs for its own functions.
pub(crate) const RESERVED: [&str; 11] = [
    "serve",
    "per_session",
    "try_per_session",
    "per_call",
    "with",
    "clone",
    "connect",
    "session",
    "from_peer",
    "as_peer",
    "drop",
];

/// The methods that take every type by value, and are always in scope: `client.into()` is `Into::into`.
pub(crate) const GENERAL: [&str; 2] = ["into", "try_into"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_reference() {
        // "Chat.join" hashed with the reference implementation of FNV-1a.
        let reference = b"Chat.join"
            .iter()
            .fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(16_777_619));
        assert_eq!(method_id("Chat", "join"), reference);
    }
}
