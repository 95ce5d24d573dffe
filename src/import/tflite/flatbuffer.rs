//! Reading FlatBuffers without trust: every offset, length and type is checked where it is followed, so that no
//! pass over the whole file has to come first and no unsafe code is needed.
//!
//! A table is a vtable of u16 offsets (slot `i` at byte `4 + 2 * i`) and fields that these point to; a field that
//! is not there has a default. Strings, vectors and tables are reached through u32 offsets relative to
//! themselves.

use super::super::ImportError;
use std::cell::Cell;

/// A file that tables are read from.
pub(super) struct Buffer<'a> {
    bytes: &'a [u8],
    /// What may still be read. Offsets may make many tables share one vector, so reading can take far more time
    /// than the file has bytes; this bounds it.
    left: Cell<u64>,
}

/// How often every byte of a file may be read, shared parts counted each time.
const READS_PER_BYTE: u64 = 16;

/// What may always be read.
const READS: u64 = 1 << 20;

/// Numbers that fields and vectors hold.
pub(super) trait Scalar: Sized {
    const SIZE: usize;
    /// From exactly `SIZE` bytes; `None` for any other number of them.
    fn from_le(bytes: &[u8]) -> Option<Self>;
}

macro_rules! scalars {
    ($($t:ty),*) => {$(
        impl Scalar for $t {
            const SIZE: usize = size_of::<$t>();
            fn from_le(bytes: &[u8]) -> Option<$t> {
                Some(<$t>::from_le_bytes(bytes.try_into().ok()?))
            }
        }
    )*};
}
scalars!(u8, i8, u16, i32, u32, i64, u64, f32);

impl<'a> Buffer<'a> {
    pub fn new(bytes: &'a [u8]) -> Buffer<'a> {
        let left = (bytes.len() as u64).saturating_mul(READS_PER_BYTE).saturating_add(READS);
        Buffer { bytes, left: Cell::new(left) }
    }

    /// All bytes of the file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The root table.
    pub fn root(&self) -> Result<Table<'a, '_>, ImportError> {
        Table::at(self, self.follow(0)?)
    }

    fn take(&self, start: usize, len: usize) -> Result<&'a [u8], ImportError> {
        let end = start.checked_add(len);
        let bytes = end.and_then(|end| self.bytes.get(start..end)).ok_or_else(|| self.cut_off(start))?;
        let left = self.left.get().checked_sub(len as u64).ok_or_else(|| {
            ImportError::damaged("its parts overlap so much that reading them would never end")
        })?;
        self.left.set(left);
        Ok(bytes)
    }

    fn cut_off(&self, at: usize) -> ImportError {
        let len = self.bytes.len();
        ImportError::damaged(format!(
            "something should be at byte {at}, but it reaches beyond the file's {len} bytes: the file is cut off \
             or damaged"
        ))
    }

    fn scalar<T: Scalar>(&self, at: usize) -> Result<T, ImportError> {
        T::from_le(self.take(at, T::SIZE)?).ok_or_else(|| self.cut_off(at))
    }

    /// Where the offset at `at` points to.
    fn follow(&self, at: usize) -> Result<usize, ImportError> {
        let offset = self.scalar::<u32>(at)?;
        at.checked_add(offset as usize).ok_or_else(|| self.cut_off(at))
    }

    /// Elements of `size` bytes: where the first one is, and how many there are; all of them are inside.
    fn vector(&self, at: usize, size: usize) -> Result<(usize, usize), ImportError> {
        let (count, start) = (self.scalar::<u32>(at)? as usize, at.saturating_add(4));
        let end = count.checked_mul(size).and_then(|len| start.checked_add(len));
        match end {
            Some(end) if end <= self.bytes.len() => Ok((start, count)),
            _ => Err(self.cut_off(at)),
        }
    }
}

/// A table: its fields are asked for by slot.
#[derive(Clone, Copy)]
pub(super) struct Table<'a, 'b> {
    buffer: &'b Buffer<'a>,
    at: usize,
    vtable: usize,
    vtable_len: usize,
}

impl<'a, 'b> Table<'a, 'b> {
    fn at(buffer: &'b Buffer<'a>, at: usize) -> Result<Table<'a, 'b>, ImportError> {
        let back = buffer.scalar::<i32>(at)?;
        let vtable = (at as i64) - i64::from(back);
        let vtable = usize::try_from(vtable).map_err(|_| buffer.cut_off(at))?;
        let vtable_len = usize::from(buffer.scalar::<u16>(vtable)?);
        let own_len = usize::from(buffer.scalar::<u16>(vtable.saturating_add(2))?);
        for (start, len) in [(vtable, vtable_len), (at, own_len)] {
            if start.saturating_add(len) > buffer.bytes.len() {
                return Err(buffer.cut_off(start));
            }
        }
        Ok(Table { buffer, at, vtable, vtable_len })
    }

    /// Where a field is, if it is there.
    fn field(&self, slot: usize) -> Result<Option<usize>, ImportError> {
        let at = 4 + 2 * slot;
        if at + 2 > self.vtable_len {
            return Ok(None);
        }
        let offset = usize::from(self.buffer.scalar::<u16>(self.vtable + at)?);
        Ok((offset != 0).then(|| self.at.saturating_add(offset)))
    }

    fn target(&self, slot: usize) -> Result<Option<usize>, ImportError> {
        self.field(slot)?.map(|at| self.buffer.follow(at)).transpose()
    }

    /// A number.
    pub fn scalar<T: Scalar>(&self, slot: usize, default: T) -> Result<T, ImportError> {
        self.field(slot)?.map_or(Ok(default), |at| self.buffer.scalar(at))
    }

    /// A table.
    pub fn table(&self, slot: usize) -> Result<Option<Table<'a, 'b>>, ImportError> {
        self.target(slot)?.map(|at| Table::at(self.buffer, at)).transpose()
    }

    /// A vector of tables; empty if it is not there.
    pub fn tables(&self, slot: usize) -> Result<Tables<'a, 'b>, ImportError> {
        let vector = self.target(slot)?.map(|at| self.buffer.vector(at, 4)).transpose()?;
        let (start, len) = vector.unwrap_or((0, 0));
        Ok(Tables { buffer: self.buffer, start, len })
    }

    /// A vector of bytes.
    pub fn bytes(&self, slot: usize) -> Result<Option<&'a [u8]>, ImportError> {
        let Some(at) = self.target(slot)? else { return Ok(None) };
        let (start, len) = self.buffer.vector(at, 1)?;
        self.buffer.take(start, len).map(Some)
    }

    /// A vector of numbers.
    pub fn numbers<T: Scalar>(&self, slot: usize) -> Result<Option<Vec<T>>, ImportError> {
        let Some(at) = self.target(slot)? else { return Ok(None) };
        let (start, count) = self.buffer.vector(at, T::SIZE)?;
        let bytes = self.buffer.take(start, count * T::SIZE)?;
        Ok(Some(bytes.chunks_exact(T::SIZE).filter_map(T::from_le).collect()))
    }

    /// A string; empty if it is not there.
    pub fn text(&self, slot: usize) -> Result<&'a str, ImportError> {
        let bytes = self.bytes(slot)?.unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|_| ImportError::damaged("it has a name that is not UTF-8"))
    }
}

/// A vector of tables.
#[derive(Clone, Copy)]
pub(super) struct Tables<'a, 'b> {
    buffer: &'b Buffer<'a>,
    start: usize,
    len: usize,
}

impl<'a, 'b> Tables<'a, 'b> {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Table `i`, if there are so many.
    pub fn get(&self, i: usize) -> Result<Option<Table<'a, 'b>>, ImportError> {
        if i >= self.len {
            return Ok(None);
        }
        Table::at(self.buffer, self.buffer.follow(self.start + 4 * i)?).map(Some)
    }
}
