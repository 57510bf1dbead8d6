//! `Source`: what a program of steps reads its choices from.

/// The bytes of an input, from the first to the last. Behind the last one, every choice is 0.
pub(crate) struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let [first, rest @ ..] = self.0 else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A number below `end`, which is at most 256.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    /// A number of any length: short ones take one byte of the input.
    pub(crate) fn number(&mut self) -> u64 {
        match self.byte() {
            short @ 0..0xf0 => short.into(),
            0xff => u64::MAX,
            long => (0..=long & 7).fold(0, |number, _| number << 8 | u64::from(self.byte())),
        }
    }

    /// As [`Self::number`], in 32 bits.
    pub(crate) fn small(&mut self) -> u32 {
        u32::try_from(self.number()).unwrap_or(u32::MAX)
    }

    /// The length of a payload: mostly a short one.
    pub(crate) fn len(&mut self) -> usize {
        let byte = usize::from(self.byte());
        match byte {
            0..128 => byte,
            128..240 => (byte - 128) * 16,
            _ => (byte - 239) * 5000,
        }
    }

    /// One of the numbers in a list, and sometimes another number.
    pub(crate) fn pick(&mut self, from: &[u64]) -> u64 {
        let byte = self.byte();
        match from.len() {
            len @ 1.. if byte < 0xe0 => from[usize::from(byte) % len],
            _ => self.number(),
        }
    }

    /// The next bytes, at most `most`.
    pub(crate) fn bytes(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }
}
