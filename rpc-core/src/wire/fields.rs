//! `Fields`: an array that may have fewer elements than this version knows, or more.

use super::{MetadataPairs, Payload, Streams, WireError, frame::pair_size, read::Reader};

/// The elements of a frame after its kind. A missing element reads as nil; unknown ones at the end are passed over.
pub(super) struct Fields<'a> {
    pub(super) reader: &'a mut Reader,
    pub(super) left: usize,
}

impl Fields<'_> {
    /// The reader at the next element, unless that element is nil or missing.
    pub(super) fn optional(&mut self) -> Result<Option<&mut Reader>, WireError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        Ok(if self.reader.take_nil() { None } else { Some(self.reader) })
    }

    /// The reader at the next element. If the element is nil or missing, the error is `missing`.
    pub(super) fn required(&mut self, missing: &'static str) -> Result<&mut Reader, WireError> {
        let at = self.reader.at();
        self.optional()?.ok_or_else(|| WireError::at(missing, at))
    }

    pub(super) fn uint(&mut self, missing: &'static str) -> Result<u64, WireError> {
        self.required(missing)?.uint()
    }

    pub(super) fn u32(&mut self, missing: &'static str) -> Result<u32, WireError> {
        let reader = self.required(missing)?;
        let at = reader.at();
        u32::try_from(reader.uint()?).map_err(|_| WireError::at("a number beyond 32 bits", at))
    }

    pub(super) fn opt_uint(&mut self) -> Result<Option<u64>, WireError> {
        self.optional()?.map(Reader::uint).transpose()
    }

    /// A number that a later version may replace by something else: any value that is no such number reads as nil.
    pub(super) fn uint_or_other(&mut self) -> Result<Option<u64>, WireError> {
        let Some(reader) = self.optional()? else { return Ok(None) };
        if reader.next_is_uint() {
            return reader.uint().map(Some);
        }
        reader.skip()?;
        Ok(None)
    }

    /// Metadata up to the first pair with which their size is beyond `max`; further pairs are checked and dropped.
    pub(super) fn metadata(&mut self, max: usize) -> Result<MetadataPairs, WireError> {
        let Some(reader) = self.optional()? else { return Ok(Vec::new()) };
        let (mut pairs, mut size) = (Vec::new(), 0);
        for _ in 0..reader.map()? {
            if size > max {
                reader.text()?;
                reader.text()?;
                continue;
            }
            let pair = (reader.text()?.to_owned(), reader.text()?.to_owned());
            size += pair_size(&pair);
            pairs.push(pair);
        }
        Ok(pairs)
    }

    #[inline]
    pub(super) fn streams(&mut self) -> Result<Streams, WireError> {
        if self.left == 0 { Ok(Streams::default()) } else { self.some_streams() }
    }

    fn some_streams(&mut self) -> Result<Streams, WireError> {
        let Some(reader) = self.optional()? else { return Ok(Streams::default()) };
        let len = reader.array()?;
        let mut streams = Vec::new();
        for _ in 0..len {
            streams.push(reader.uint()?);
        }
        Ok(streams.into())
    }

    pub(super) fn payload(&mut self, missing: &'static str) -> Result<Payload, WireError> {
        read_payload(self.required(missing)?)
    }

    pub(super) fn opt_payload(&mut self) -> Result<Option<Payload>, WireError> {
        self.optional()?.map(read_payload).transpose()
    }

    pub(super) fn skip_rest(&mut self) -> Result<(), WireError> {
        for _ in 0..self.left {
            self.reader.skip()?;
        }
        Ok(())
    }
}

fn read_payload(reader: &mut Reader) -> Result<Payload, WireError> {
    if !reader.next_is_array() {
        return Ok(Payload::Inline(reader.bin()?));
    }
    let len = reader.array()?;
    let mut fields = Fields { reader, left: len };
    let transfer = fields.uint("an announced payload without a transfer")?;
    let total = fields.uint("an announced payload without a length")?;
    fields.skip_rest()?;
    Ok(Payload::announced(transfer, total))
}
