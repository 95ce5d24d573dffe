//! Reading `.npy`: a fixed preamble, a header that is a Python dictionary, then the elements.
//!
//! The header is parsed here, by hand: it is three keys, and files from strangers must not bring a nested
//! expression, a shape whose product overflows, or a length that nothing backs.

use super::array::{Array, Storage};
use super::{DataError, Element};
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

/// The first bytes of every `.npy` file.
pub(super) const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// NumPy itself refuses longer headers by default.
const MAX_HEADER: usize = 10_000;

/// What the header says.
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    pub descr: String,
    pub fortran_order: bool,
    pub shape: Vec<usize>,
}

impl Header {
    /// Reads preamble and header; afterwards the reader is at the first element. Errors say what is damaged.
    pub fn read(from: &mut impl Read) -> Result<Header, String> {
        let mut preamble = [0; 8];
        from.read_exact(&mut preamble).map_err(|_| "shorter than its preamble")?;
        if !preamble.starts_with(MAGIC) {
            return Err("the magic bytes are missing".into());
        }
        let mut length = [0; 4];
        let width = match preamble[6] {
            1 => 2,
            2 | 3 => 4,
            other => return Err(format!("version {other} is unknown")),
        };
        from.read_exact(&mut length[..width]).map_err(|_| "shorter than its preamble")?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_HEADER {
            return Err(format!("{length} bytes of header, more than {MAX_HEADER}"));
        }
        let mut text = vec![0; length];
        from.read_exact(&mut text).map_err(|_| "shorter than its header")?;
        let text = std::str::from_utf8(&text).map_err(|_| "not text")?;
        Parser { rest: text }.header()
    }

    /// Number of elements, if it fits.
    pub fn elements(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))
    }
}

/// Walks through `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn header(mut self) -> Result<Header, String> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect("{")?;
        while !self.take("}") {
            let key = self.text()?;
            self.expect(":")?;
            match key {
                "descr" if descr.is_none() => descr = Some(self.text()?.to_string()),
                "fortran_order" if fortran_order.is_none() => fortran_order = Some(self.boolean()?),
                "shape" if shape.is_none() => shape = Some(self.tuple()?),
                other => return Err(format!("unexpected key '{other}'")),
            }
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        if !self.rest.trim().is_empty() {
            return Err("text behind the dictionary".into());
        }
        Ok(Header {
            descr: descr.ok_or("no 'descr'")?,
            fortran_order: fortran_order.ok_or("no 'fortran_order'")?,
            shape: shape.ok_or("no 'shape'")?,
        })
    }

    fn take(&mut self, token: &str) -> bool {
        match self.rest.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(format!("'{token}' expected")) }
    }

    fn text(&mut self) -> Result<&'a str, String> {
        let quote = match self.rest.trim_start().chars().next() {
            Some(q @ ('\'' | '"')) => q,
            Some('[') => return Err("records (structured arrays) can't be read".into()),
            _ => return Err("a quoted text expected".into()),
        };
        let (text, rest) =
            self.rest.trim_start()[1..].split_once(quote).ok_or("a text without closing quote")?;
        self.rest = rest;
        Ok(text)
    }

    fn boolean(&mut self) -> Result<bool, String> {
        if self.take("True") {
            Ok(true)
        } else if self.take("False") {
            Ok(false)
        } else {
            Err("True or False expected".into())
        }
    }

    fn tuple(&mut self) -> Result<Vec<usize>, String> {
        let mut dims = Vec::new();
        self.expect("(")?;
        while !self.take(")") {
            let rest = self.rest.trim_start();
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, rest) = rest.split_at(digits);
            dims.push(number.parse().map_err(|_| format!("'{number}' is no extent"))?);
            self.rest = rest;
            if !self.take(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(dims)
    }
}

/// Checks a header against what tensors can have. Returns the element type and the bytes of all elements.
pub(super) fn check(header: &Header, path: &Path, array: &str) -> Result<(Element, u64), DataError> {
    let element = Element::from_descr(&header.descr).ok_or_else(|| DataError::Element {
        path: path.into(),
        array: array.into(),
        found: header.descr.clone(),
    })?;
    if header.fortran_order && header.shape.len() > 1 {
        return Err(DataError::FortranOrder { path: path.into(), array: array.into() });
    }
    let bytes = header.elements().and_then(|n| n.checked_mul(element.size()));
    let bytes = bytes.ok_or_else(|| DataError::Header {
        path: path.into(),
        array: array.into(),
        what: format!("the shape {:?} is too large", header.shape),
    })?;
    Ok((element, bytes as u64))
}

/// Opens a `.npy` file; the elements stay in the file.
pub(super) fn open(path: &Path) -> Result<Array, DataError> {
    let io = |e| DataError::io(path, e);
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut reader = BufReader::new(File::open(path).map_err(io)?);
    let header = Header::read(&mut reader).map_err(|what| DataError::Header {
        path: path.into(),
        array: name.clone(),
        what,
    })?;
    let (element, wanted) = check(&header, path, &name)?;
    let offset = reader.stream_position().map_err(io)?;
    let file = reader.into_inner();
    let found = file.metadata().map_err(io)?.len().saturating_sub(offset);
    if found != wanted {
        return Err(DataError::Length { path: path.into(), array: name, wanted, found });
    }
    Ok(Array { path: path.into(), name, element, shape: header.shape, storage: Storage::File(file, offset) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn parse(text: &str) -> Result<Header, String> {
        Parser { rest: text }.header()
    }

    fn file(name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("ottava-npy-{}-{name}", std::process::id()));
        File::create(&path).unwrap().write_all(bytes).unwrap();
        path
    }

    fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 0]);
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn headers_as_numpy_writes_them() {
        let h = parse("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }          \n").unwrap();
        assert_eq!(h, Header { descr: "<f4".into(), fortran_order: false, shape: vec![3, 4] });
        assert_eq!(parse("{'shape': (7,), 'fortran_order': True, 'descr': \"|u1\"}").unwrap().shape, [7]);
        assert_eq!(
            parse("{'descr': '<i8', 'fortran_order': False, 'shape': (), }").unwrap().elements(),
            Some(1)
        );
    }

    #[test]
    fn damaged_headers_are_errors() {
        for text in [
            "",
            "{",
            "{'descr'",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'shape': (2,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} import os",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': ((((((((((1,)",
            "{'descr': '<f4",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rows_are_read_from_the_file() {
        let data: Vec<u8> = [1f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let bytes = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n", &data);
        let mut array = open(&file("rows.npy", &bytes)).unwrap();
        assert_eq!((array.rows(), array.row_bytes()), (2, 8));
        let mut row = [0; 8];
        array.read_row(1, &mut row).unwrap();
        assert_eq!(row, data[8..]);
        assert!(array.read_row(2, &mut row).is_err());
    }

    #[test]
    fn what_does_not_fit_the_file_is_refused() {
        let cut = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n", &[0; 15]);
        assert!(matches!(open(&file("cut.npy", &cut)), Err(DataError::Length { wanted: 16, found: 15, .. })));
        let huge = "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }\n";
        assert!(matches!(open(&file("huge.npy", &npy(huge, &[]))), Err(DataError::Header { .. })));
        let big_endian = "{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }\n";
        assert!(matches!(open(&file("be.npy", &npy(big_endian, &[0; 4]))), Err(DataError::Element { .. })));
        let fortran = "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1), }\n";
        assert!(matches!(open(&file("fo.npy", &npy(fortran, &[0; 4]))), Err(DataError::FortranOrder { .. })));
        let mut long = MAGIC.to_vec();
        long.extend([2, 0, 255, 255, 255, 255]);
        assert!(matches!(open(&file("long.npy", &long)), Err(DataError::Header { .. })));
    }

    #[test]
    fn every_truncation_and_flip_is_survived() {
        let whole = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2), }\n", &[1, 2, 3, 4]);
        for length in 0..whole.len() {
            assert!(open(&file("trunc.npy", &whole[..length])).is_err(), "{length}");
        }
        for i in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[i] ^= 0x15;
            // Some flips still make a valid header; none may panic.
            let _ = open(&file("flip.npy", &bytes)).map(|mut a| {
                let mut row = vec![0; a.row_bytes()];
                a.read_row(0, &mut row)
            });
        }
    }
}
