//! The frame of a file: header, section table, places of the sections. Everything here is checked before a
//! record is looked at.

use super::FormatError;
use super::checksum::xxh64;
use super::error::Place;
use super::layout::*;
use crate::limits::Limits;
use bytemuck::Pod;

/// Offset of the checksum in the header.
const CHECKSUM_AT: usize = 8;
/// Offset of the file's length in the header.
const FILE_LEN_AT: usize = 32;

/// A file whose frame holds: sections stand where they must, and nothing stands between or behind them.
pub(super) struct Frame<'a> {
    pub bytes: &'a [u8],
    pub header: Header,
    /// Kinds of the optional sections that are not known.
    pub skipped: Vec<u32>,
    sections: [Option<SectionRecord>; Section::ALL.len()],
}

/// A section: its bytes, where they start in the file, and how many records its line of the table states.
#[derive(Clone, Copy)]
pub(super) struct Span<'a> {
    pub section: Section,
    pub bytes: &'a [u8],
    pub offset: usize,
    pub count: u32,
}

impl<'a> Span<'a> {
    /// The error of a count that contradicts the length.
    pub fn size_error(&self) -> FormatError {
        FormatError::SectionSize { section: self.section.name(), len: self.bytes.len(), count: self.count }
    }

    /// The first `count` records, in place, and the bytes behind them.
    pub fn head<T: Pod>(&self) -> Result<(&'a [T], &'a [u8]), FormatError> {
        let len = (self.count as usize).checked_mul(size_of::<T>()).ok_or_else(|| self.size_error())?;
        let (head, rest) = self.bytes.split_at_checked(len).ok_or_else(|| self.size_error())?;
        // Sections start at multiples of 64 of storage that does: the cast can't fail for want of alignment.
        let records = bytemuck::try_cast_slice(head).map_err(|_| FormatError::StorageAlignment)?;
        Ok((records, rest))
    }

    /// The records, in place; nothing may be behind them.
    pub fn records<T: Pod>(&self) -> Result<&'a [T], FormatError> {
        let (records, rest) = self.head()?;
        if rest.is_empty() { Ok(records) } else { Err(self.size_error()) }
    }
}

impl<'a> Frame<'a> {
    /// Checks the frame of a file. `bytes` must start at a multiple of 64.
    pub fn check(bytes: &'a [u8], limits: &Limits) -> Result<Frame<'a>, FormatError> {
        check_len(bytes.len() as u64, limits)?;
        if !bytes.as_ptr().addr().is_multiple_of(ALIGN) {
            return Err(FormatError::StorageAlignment);
        }
        let header = check_header(bytes)?;
        let mut frame = Frame { bytes, header, skipped: Vec::new(), sections: Default::default() };
        frame.check_sections()?;
        Ok(frame)
    }

    /// A section, if the file has it. Files lack optional ones only once [`Frame::check`] is through.
    pub fn optional(&self, section: Section) -> Option<Span<'a>> {
        let record = self.sections[section.index()]?;
        let offset = record.offset as usize;
        let bytes = &self.bytes[offset..offset + record.len as usize];
        Some(Span { section, bytes, offset, count: record.count })
    }

    /// A section that every file has.
    pub fn section(&self, section: Section) -> Result<Span<'a>, FormatError> {
        self.optional(section).ok_or(FormatError::SectionMissing { section: section.name() })
    }

    /// Walks the section table; notes where the sections are.
    fn check_sections(&mut self) -> Result<(), FormatError> {
        let len = self.bytes.len();
        let sections = self.header.sections;
        let too_many = || FormatError::SectionTable { sections, len };
        let table_start = size_of::<Header>();
        let table_len = (sections as usize).checked_mul(size_of::<SectionRecord>()).ok_or_else(too_many)?;
        let table_end = table_start.checked_add(table_len).filter(|&e| e <= len - TAIL);
        let mut end = table_end.ok_or_else(too_many)?;
        let lines = self.bytes[table_start..end].chunks_exact(size_of::<SectionRecord>());
        let mut before = 0;
        for (i, line) in lines.enumerate() {
            let record: SectionRecord = bytemuck::pod_read_unaligned(line);
            let offset = table_start + i * size_of::<SectionRecord>();
            let at = || Place { record: format!("section table line {i}"), offset };
            check_line(&record, before, at)?;
            before = record.kind;
            end = check_place(self.bytes, end, &record, at)?;
            match Section::from_code(record.kind) {
                Some(section) => self.sections[section.index()] = Some(record),
                None => self.skipped.push(record.kind),
            }
        }
        for &section in Section::ALL {
            if section.always() {
                self.section(section)?;
            }
        }
        let wanted = align_up(end).and_then(|e| e.checked_add(TAIL)).ok_or_else(too_many)?;
        if wanted != len {
            return Err(FormatError::Tail { len, wanted });
        }
        check_zero(self.bytes, end, len, "a byte of the file's tail")
    }
}

/// Refuses a file that is longer than the limit or shorter than any file.
pub(super) fn check_len(len: u64, limits: &Limits) -> Result<(), FormatError> {
    let least = size_of::<Header>() + TAIL;
    if len > limits.file_bytes {
        let what = "bytes of the file".to_string();
        return Err(FormatError::Limit { limit: "file_bytes", what, value: len, max: limits.file_bytes });
    }
    if len < least as u64 {
        return Err(FormatError::TooShort { len: len as usize, least });
    }
    Ok(())
}

fn check_header(bytes: &[u8]) -> Result<Header, FormatError> {
    let header: Header = bytemuck::pod_read_unaligned(&bytes[..size_of::<Header>()]);
    if header.magic != MAGIC {
        return Err(FormatError::Magic { found: header.magic });
    }
    if header.version != VERSION {
        return Err(FormatError::Version { found: header.version, known: VERSION });
    }
    if header.file_len != bytes.len() as u64 {
        return Err(FormatError::Length { stated: header.file_len, actual: bytes.len() });
    }
    let computed = xxh64(&bytes[CHECKED_FROM..]);
    if header.checksum != computed {
        return Err(FormatError::Checksum { stated: header.checksum, computed });
    }
    let unknown = header.features & !KNOWN_FEATURES;
    if unknown != 0 {
        return Err(FormatError::Features { unknown });
    }
    if header.reserved != 0 {
        return Err(FormatError::NotZero { what: "a reserved field of the header", offset: 56 });
    }
    Ok(header)
}

/// Checks a line of the section table on its own, but for the place it names.
fn check_line(record: &SectionRecord, before: u32, at: impl Fn() -> Place) -> Result<(), FormatError> {
    let SectionRecord { kind, flags, .. } = *record;
    if kind <= before {
        return Err(FormatError::SectionOrder { at: at(), kind, before });
    }
    if record.reserved != 0 {
        let what = "a reserved field of the section table";
        return Err(FormatError::NotZero { what, offset: at().offset });
    }
    let known = Section::from_code(kind);
    if known.is_none() && flags == SectionRecord::REQUIRED {
        return Err(FormatError::SectionUnknown { at: at(), kind });
    }
    if flags != known.map_or(0, Section::flags) {
        return Err(FormatError::SectionFlags { at: at(), kind, flags });
    }
    Ok(())
}

/// Checks that a section starts at the first multiple of 64 from `end` on and leaves room for the tail; gives its
/// end. `end` itself leaves room for the tail.
fn check_place(
    bytes: &[u8],
    end: usize,
    record: &SectionRecord,
    at: impl Fn() -> Place,
) -> Result<usize, FormatError> {
    let past = || FormatError::SectionEnd { at: at(), len: record.len };
    let wanted = align_up(end).ok_or_else(past)?;
    if record.offset != wanted as u64 {
        return Err(FormatError::SectionPlace { at: at(), found: record.offset, wanted });
    }
    let len = usize::try_from(record.len).map_err(|_| past())?;
    let next = wanted.checked_add(len).filter(|&e| e <= bytes.len() - TAIL).ok_or_else(past)?;
    check_zero(bytes, end, wanted, "a byte between sections")?;
    Ok(next)
}

/// Refuses bytes of `start..end` that are not zero.
pub(super) fn check_zero(
    bytes: &[u8],
    start: usize,
    end: usize,
    what: &'static str,
) -> Result<(), FormatError> {
    match bytes[start..end].iter().position(|&b| b != 0) {
        Some(i) => Err(FormatError::NotZero { what, offset: start + i }),
        None => Ok(()),
    }
}

/// Makes length and checksum of a file right again after its bytes were patched: for tools and tests. Shorter
/// than a header, it stays as it is.
pub fn reseal(file: &mut [u8]) {
    if file.len() < size_of::<Header>() {
        return;
    }
    let len = (file.len() as u64).to_le_bytes();
    file[FILE_LEN_AT..FILE_LEN_AT + 8].copy_from_slice(&len);
    let sum = xxh64(&file[CHECKED_FROM..]).to_le_bytes();
    file[CHECKSUM_AT..CHECKSUM_AT + 8].copy_from_slice(&sum);
}
