//! Sections that are consumed from front to back: a record says how many values it takes, never where they
//! are. Nothing can overlap, be read twice or stay unread.

use super::FormatError;
use super::error::Place;
use super::frame::{Frame, Span, check_zero};
use super::layout::{ALIGN, Section, align_up};
use bytemuck::Pod;
use std::ops::Range;

/// Values of one type.
pub(super) struct Pool<'a, T> {
    section: Section,
    offset: usize,
    values: &'a [T],
    next: usize,
}

impl<'a, T: Pod> Pool<'a, T> {
    pub fn new(frame: &Frame<'a>, section: Section) -> Result<Pool<'a, T>, FormatError> {
        let span = frame.section(section)?;
        Ok(Pool { section, offset: span.offset, values: span.records()?, next: 0 })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Offset in the file of the value that comes next.
    pub fn position(&self) -> usize {
        self.offset + self.next * size_of::<T>()
    }

    /// The next `count` values.
    pub fn take(&mut self, count: u64, at: impl FnOnce() -> Place) -> Result<&'a [T], FormatError> {
        let left = self.values.len() - self.next;
        match usize::try_from(count) {
            Ok(count) if count <= left => {
                let taken = &self.values[self.next..self.next + count];
                self.next += count;
                Ok(taken)
            }
            _ => {
                let section = self.section.name();
                Err(FormatError::PoolShort { at: at(), section, wanted: count, left })
            }
        }
    }

    /// All values must have been taken.
    pub fn finish(self) -> Result<(), FormatError> {
        match self.values.len() - self.next {
            0 => Ok(()),
            left => Err(FormatError::PoolLeft { section: self.section.name(), left }),
        }
    }
}

/// Strings: `count` ends as u32, then the bytes of all of them. String `i` goes from end `i - 1` to end `i`.
pub(super) struct Strings<'a> {
    section: Section,
    offset: usize,
    ends: &'a [u32],
    text: &'a [u8],
    next: usize,
}

impl<'a> Strings<'a> {
    pub fn new(span: Span<'a>) -> Result<Strings<'a>, FormatError> {
        let (ends, text) = span.head::<u32>()?;
        let left = text.len() - ends.last().map_or(0, |&e| text.len().min(e as usize));
        if left != 0 {
            return Err(FormatError::StringsLeft { section: span.section.name(), left });
        }
        Ok(Strings { section: span.section, offset: span.offset, ends, text, next: 0 })
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Offset in the file of the end of the string that comes next.
    pub fn position(&self) -> usize {
        self.offset + self.next * size_of::<u32>()
    }

    fn place(&self, index: usize) -> Place {
        let record = format!("{} string {index}", self.section.name());
        Place { record, offset: self.offset + index * size_of::<u32>() }
    }

    /// The string with this index, which must exist.
    pub fn get(&self, index: usize) -> Result<&'a str, FormatError> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        let end = self.ends[index];
        let text = self.text.get(start..end as usize);
        let text = text.ok_or_else(|| FormatError::StringEnd { at: self.place(index), end })?;
        std::str::from_utf8(text).map_err(|_| FormatError::Utf8 { at: self.place(index) })
    }

    /// The string that comes next.
    pub fn take(&mut self, at: impl FnOnce() -> Place) -> Result<&'a str, FormatError> {
        if self.next == self.ends.len() {
            let section = self.section.name();
            return Err(FormatError::PoolShort { at: at(), section, wanted: 1, left: 0 });
        }
        self.next += 1;
        self.get(self.next - 1)
    }

    /// All strings must have been taken.
    pub fn finish(self) -> Result<(), FormatError> {
        match self.ends.len() - self.next {
            0 => Ok(()),
            left => Err(FormatError::PoolLeft { section: self.section.name(), left }),
        }
    }
}

/// Words: strings that attributes share, in strictly ascending order of their bytes.
pub(super) struct Words<'a> {
    strings: Strings<'a>,
    used: Vec<bool>,
}

impl<'a> Words<'a> {
    pub fn new(span: Span<'a>) -> Result<Words<'a>, FormatError> {
        let strings = Strings::new(span)?;
        let mut before = None;
        for i in 0..strings.len() {
            let word = Some(strings.get(i)?);
            if before >= word {
                return Err(FormatError::WordOrder { at: strings.place(i) });
            }
            before = word;
        }
        Ok(Words { used: vec![false; strings.len()], strings })
    }

    /// The word with this index, marked as used.
    pub fn get(&mut self, index: u64, at: impl FnOnce() -> Place) -> Result<&'a str, FormatError> {
        let count = self.used.len();
        match usize::try_from(index) {
            Ok(i) if i < count => {
                self.used[i] = true;
                self.strings.get(i)
            }
            _ => Err(FormatError::WordIndex { at: at(), index, count }),
        }
    }

    /// All words must have been used.
    pub fn finish(self) -> Result<(), FormatError> {
        match self.used.iter().position(|u| !u) {
            Some(index) => Err(FormatError::WordUnused { index }),
            None => Ok(()),
        }
    }
}

/// Bytes that records point to: each run at the first multiple of 64 behind the run before it.
pub(super) struct Runs<'a> {
    section: Section,
    file: &'a [u8],
    next: usize,
    end: usize,
}

impl<'a> Runs<'a> {
    /// Runs of a section, from `skip` bytes behind its start to its end.
    pub fn new(file: &'a [u8], span: Span<'a>, skip: usize) -> Runs<'a> {
        let (section, end) = (span.section, span.offset + span.bytes.len());
        Runs { section, file, next: span.offset + skip, end }
    }

    /// The run of `len` bytes at `offset` of the file, which must be the next one.
    pub fn take(&mut self, offset: u64, len: u64, at: &Place) -> Result<Range<usize>, FormatError> {
        let at = || at.clone();
        let past = || FormatError::DataEnd { at: at(), offset, len, end: self.end };
        if !offset.is_multiple_of(ALIGN as u64) {
            return Err(FormatError::DataAlignment { at: at(), offset });
        }
        let wanted = align_up(self.next).ok_or_else(past)?;
        if offset < wanted as u64 {
            return Err(FormatError::DataOverlap { at: at(), offset, wanted });
        }
        if offset > wanted as u64 {
            return Err(FormatError::DataGap { at: at(), offset, wanted });
        }
        let len_here = usize::try_from(len).map_err(|_| past())?;
        let end = wanted.checked_add(len_here).filter(|&e| e <= self.end).ok_or_else(past)?;
        check_zero(self.file, self.next, wanted, "a byte between constants")?;
        self.next = end;
        Ok(wanted..end)
    }

    /// Nothing may be behind the last run.
    pub fn finish(self) -> Result<(), FormatError> {
        match self.end - self.next {
            0 => Ok(()),
            left => Err(FormatError::DataLeft { section: self.section.name(), left }),
        }
    }
}
