//! `Framing`: finds the boundaries of frames and messages in the bytes of a stream (RFC 6455 §5.2).

#[cfg(feature = "raw")]
use super::text_check::TextCheck;

/// A header has two bytes, up to eight bytes of extended length, and four bytes of mask.
const LONGEST_HEADER: usize = 14;
pub(super) const FIN: u8 = 0x80;
pub(super) const OPCODE: u8 = 0x0f;
pub(super) const MASKED: u8 = 0x80;
pub(super) const TEXT: u8 = 0x1;
pub(super) const FIRST_CONTROL: u8 = 0x8;

/// Counts the bytes of the unfinished message, with the frame headers.
///
/// The WebSocket library counts payload bytes only, so it does not notice endless empty fragments. The library refuses
/// invalid frames; this parser must only not panic on them.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    header: [u8; LONGEST_HEADER],
    header_len: usize,
    /// Bytes of the current frame's payload that are still to come; `None` while its header is incomplete.
    payload_left: Option<u64>,
    /// Bytes of the current frame, header included.
    frame: u64,
    /// Bytes of the finished frames of the unfinished message.
    fragments: u64,
    /// Bytes of the finished frames of all messages.
    messages: u64,
    /// Frames that did not end their messages.
    parts: u64,
    /// Frames that did: what the library gives out, one by one.
    completed: u64,
    text_seen: bool,
    /// The check of text, if this WebSocket takes text.
    #[cfg(feature = "raw")]
    text: Option<TextCheck>,
}

impl Framing {
    /// A parser that also looks at text while it comes.
    #[cfg(feature = "raw")]
    pub(super) fn checking_text() -> Self {
        Self { text: Some(TextCheck::default()), ..Self::default() }
    }

    /// Processes the next bytes of the stream.
    pub(crate) fn advance(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = match &mut self.payload_left {
                None => {
                    let missing = header_len(&self.header[..self.header_len]) - self.header_len;
                    let taken = missing.min(bytes.len());
                    let end = self.header_len + taken;
                    self.header[self.header_len..end].copy_from_slice(&bytes[..taken]);
                    self.header_len = end;
                    self.payload_left = payload_len(&self.header[..end]);
                    taken
                }
                Some(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= taken as u64;
                    #[cfg(feature = "raw")]
                    if let Some(text) = &mut self.text {
                        let offset = self.frame - self.header_len as u64;
                        text.advance(&self.header[..self.header_len], offset, &bytes[..taken], *left == 0);
                    }
                    taken
                }
            };
            self.frame += taken as u64;
            bytes = &bytes[taken..];
            if self.payload_left == Some(0) {
                self.end_frame();
            }
        }
    }

    /// Bytes of the message or control frame that has begun and not ended; 0 between messages.
    pub(crate) fn unfinished(&self) -> u64 {
        self.fragments + self.frame
    }

    /// Bytes of all messages that have come, with their frame headers. Control frames count while they are unfinished.
    pub(crate) fn messages(&self) -> u64 {
        self.messages + self.frame
    }

    /// The number of whole frames that have come and did not end their messages.
    pub(crate) fn parts(&self) -> u64 {
        self.parts
    }

    /// The number of messages and control frames that have come whole.
    pub(crate) fn completed(&self) -> u64 {
        self.completed
    }

    /// Whether a whole text frame has come in.
    pub(crate) fn text_seen(&self) -> bool {
        self.text_seen
    }

    /// Whether text has come that is not UTF-8, as far as it is looked at.
    #[cfg(feature = "raw")]
    pub(crate) fn is_text_invalid(&self) -> bool {
        self.text.as_ref().is_some_and(TextCheck::is_invalid)
    }

    fn end_frame(&mut self) {
        #[cfg(feature = "raw")]
        if let Some(text) = &mut self.text {
            text.end_frame(&self.header[..self.header_len]);
        }
        let opcode = self.header[0] & OPCODE;
        let ends_message = self.header[0] & FIN != 0;
        self.parts += u64::from(!ends_message);
        self.completed += u64::from(ends_message);
        // Control frames may come between fragments (§5.4) and are no part of the message.
        if opcode < FIRST_CONTROL {
            self.text_seen |= opcode == TEXT;
            self.messages += self.frame;
            self.fragments = if ends_message { 0 } else { self.fragments + self.frame };
        }
        self.header_len = 0;
        self.payload_left = None;
        self.frame = 0;
    }
}

/// The length of a header that begins like this: 2 while its second byte is still to come.
fn header_len(header: &[u8]) -> usize {
    let Some(second) = header.get(1) else { return 2 };
    let mask = if second & MASKED == 0 { 0 } else { 4 };
    2 + extended_len(*second) + mask
}

/// The number of bytes that the length takes behind the second byte.
fn extended_len(second: u8) -> usize {
    match second & !MASKED {
        126 => 2,
        127 => 8,
        _ => 0,
    }
}

/// The payload's length; `None` while the header is incomplete.
fn payload_len(header: &[u8]) -> Option<u64> {
    if header.len() < header_len(header) {
        return None;
    }
    let second = header[1];
    Some(match extended_len(second) {
        0 => u64::from(second & !MASKED),
        extended => header[2..2 + extended].iter().fold(0, |length, &byte| length << 8 | u64::from(byte)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn frame(first: u8, payload: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { MASKED } else { 0 };
        let mut frame = vec![first];
        match payload {
            0..=125 => frame.push(mask | u8::try_from(payload).unwrap()),
            126..=0xffff => {
                frame.push(mask | 126);
                frame.extend(u16::try_from(payload).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        if masked {
            frame.extend(MASK);
        }
        frame.resize(frame.len() + payload, 0xaa);
        frame
    }

    #[test]
    fn whole_messages_leave_nothing_unfinished_however_they_are_cut() {
        let mut stream = Vec::new();
        for payload in [0, 1, 125, 126, 65_535, 65_536] {
            stream.extend(frame(0x82, payload, payload % 2 == 0));
        }
        for step in [1, 2, 3, 7, 1000, stream.len()] {
            let mut framing = Framing::default();
            let mut unfinished = 0;
            for piece in stream.chunks(step) {
                framing.advance(piece);
                unfinished = unfinished.max(framing.unfinished());
            }
            assert_eq!((framing.unfinished(), framing.completed()), (0, 6), "cut every {step} bytes");
            assert!(unfinished > 0 || step == stream.len());
        }
    }

    #[test]
    fn one_byte_of_a_message_is_a_message_begun() {
        let mut framing = Framing::default();
        framing.advance(&[0x82]);
        assert_eq!(framing.unfinished(), 1);
    }

    #[test]
    fn empty_fragments_count_by_their_headers_until_the_last_one() {
        let mut framing = Framing::default();
        framing.advance(&frame(0x02, 0, true));
        for _ in 0..99 {
            framing.advance(&frame(0x00, 0, true));
        }
        assert_eq!(framing.unfinished(), 600);
        framing.advance(&frame(0x80, 0, true));
        assert_eq!(framing.unfinished(), 0);
        assert_eq!((framing.messages(), framing.parts()), (606, 100));
    }

    #[test]
    fn control_frames_between_fragments_neither_count_nor_end_the_message() {
        let mut framing = Framing::default();
        framing.advance(&frame(0x02, 200, false));
        let before = framing.unfinished();
        framing.advance(&[0x89]);
        assert_eq!(framing.unfinished(), before + 1, "a control frame that has begun is something begun");
        framing.advance(&[0]);
        framing.advance(&frame(0x89, 100, false));
        framing.advance(&frame(0x8a, 0, false));
        assert_eq!((framing.unfinished(), framing.completed()), (before, 3));
        framing.advance(&frame(0x80, 10, false));
        assert_eq!((framing.unfinished(), framing.completed()), (0, 4));
    }

    #[test]
    fn control_frames_between_messages_leave_nothing() {
        let mut framing = Framing::default();
        for _ in 0..100 {
            framing.advance(&frame(0x89, 3, true));
        }
        assert_eq!((framing.unfinished(), framing.messages(), framing.completed()), (0, 0, 100));
    }

    #[test]
    fn absurd_lengths_stay_in_bounds() {
        let mut framing = Framing::default();
        framing.advance(&[0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        framing.advance(&[0; 1000]);
        assert_eq!(framing.unfinished(), 1010);
    }

    #[test]
    fn text_is_seen_and_binary_is_not_text() {
        let mut framing = Framing::default();
        framing.advance(&frame(0x82, 5, true));
        assert!(!framing.text_seen());
        framing.advance(&frame(0x01, 5, true));
        assert!(framing.text_seen());
    }
}
