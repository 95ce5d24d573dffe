//! What packed weights of one row start with.

use crate::qconv::layout::HEADER;

/// 64 bytes: magic | layout id u32 | flags u32 | k u32 | n u32 | x zero point u32 | zeros.
#[derive(Clone, Debug)]
pub(super) struct Header([u64; HEADER / 8]);

/// Which of the words has the flags, in its upper half.
const FLAGS: usize = 1;

impl Header {
    /// With flags 0.
    pub fn new(magic: [u8; 8], id: u32, [k, n]: [usize; 2], x_zero_point: u8) -> Header {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&magic);
        let numbers = [id, 0, k as u32, n as u32, x_zero_point.into()];
        for (to, number) in bytes[8..].chunks_exact_mut(4).zip(numbers) {
            to.copy_from_slice(&number.to_le_bytes());
        }
        Header(words(&bytes))
    }

    /// The flags of packed bytes that start with this header; `None` if they start otherwise.
    pub fn flags(&self, packed: &[u8]) -> Option<u32> {
        let mut header = words(packed.first_chunk()?);
        let flags = (header[FLAGS] >> 32) as u32;
        header[FLAGS] &= u64::from(u32::MAX);
        // Not by a call, which would take longer.
        let differ = header.iter().zip(&self.0).fold(0, |differ, (a, b)| differ | (a ^ b));
        (differ == 0).then_some(flags)
    }

    /// Writes it in front of packed bytes.
    pub fn write(&self, flags: u32, packed: &mut [u8]) {
        let mut header = self.0;
        header[FLAGS] |= u64::from(flags) << 32;
        for (to, word) in packed[..HEADER].chunks_exact_mut(8).zip(header) {
            to.copy_from_slice(&word.to_le_bytes());
        }
    }
}

fn words(header: &[u8; HEADER]) -> [u64; HEADER / 8] {
    let (words, _) = header.as_chunks::<8>();
    std::array::from_fn(|i| u64::from_le_bytes(words[i]))
}
