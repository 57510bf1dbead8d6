//! `TextCheck`: finds text that is not UTF-8 while its frame is still coming (RFC 6455 §8.1).

use std::str::from_utf8;

use super::framing::{FIN, FIRST_CONTROL, MASKED, OPCODE, TEXT};

/// Bytes that are unmasked and looked at together.
const BLOCK: usize = 1024;
/// A character has four bytes at most, so three may be left over.
const LONGEST_REST: usize = 3;

/// Checks the payload of text messages piece by piece. The library checks frames that are whole.
#[derive(Debug, Default)]
pub(super) struct TextCheck {
    /// Whether the unfinished message is text.
    in_text: bool,
    /// The beginning of a character whose end is still to come.
    rest: [u8; LONGEST_REST],
    rest_len: usize,
    is_invalid: bool,
}

impl TextCheck {
    /// Looks at bytes of a frame's payload that begin at `offset`. `header` is whole; `ends` tells whether the frame
    /// ends with these bytes.
    pub(super) fn advance(&mut self, header: &[u8], offset: u64, bytes: &[u8], ends: bool) {
        let opcode = header[0] & OPCODE;
        let is_text = opcode == TEXT || (opcode == 0 && self.in_text);
        // The library checks a message in one frame as soon as it is there, so looking twice would find nothing sooner.
        let is_whole_message = opcode == TEXT && header[0] & FIN != 0 && offset == 0 && ends;
        if !is_text || is_whole_message || self.is_invalid {
            return;
        }
        let mask = match header {
            [.., a, b, c, d] if header[1] & MASKED != 0 => [*a, *b, *c, *d],
            _ => [0; 4],
        };
        let mut keys = (0..4).cycle().skip(usize::try_from(offset % 4).unwrap_or(0)).map(|index| mask[index]);
        for block in bytes.chunks(BLOCK) {
            let mut text = [0; LONGEST_REST + BLOCK];
            text[..self.rest_len].copy_from_slice(&self.rest[..self.rest_len]);
            let len = self.rest_len + block.len();
            for ((plain, byte), key) in text[self.rest_len..].iter_mut().zip(block).zip(&mut keys) {
                *plain = byte ^ key;
            }
            let text = &text[..len];
            self.rest_len = 0;
            let Err(error) = from_utf8(text) else { continue };
            if error.error_len().is_some() {
                self.is_invalid = true;
                return;
            }
            let rest = &text[error.valid_up_to()..];
            self.rest_len = rest.len();
            self.rest[..rest.len()].copy_from_slice(rest);
        }
    }

    /// A frame has ended.
    pub(super) fn end_frame(&mut self, header: &[u8]) {
        let opcode = header[0] & OPCODE;
        if opcode >= FIRST_CONTROL {
            return;
        }
        self.in_text = header[0] & FIN == 0 && (opcode == TEXT || (opcode == 0 && self.in_text));
        if !self.in_text {
            self.rest_len = 0;
        }
    }

    /// Whether text has come that is not UTF-8.
    pub(super) fn is_invalid(&self) -> bool {
        self.is_invalid
    }
}
