//! Where each buffer of a run lies: one arena, offsets decided once, greedy by size.
//!
//! A buffer lives from the step that writes it to the last step that reads it. Buffers are placed from the
//! largest to the smallest, each at the lowest offset where it meets no placed buffer that is alive at the same
//! time (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020).

use std::ops::Range;

/// Alignment of every buffer: a cache line, the widest vector.
pub const ALIGN: usize = 64;

/// A buffer to be placed.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// Bytes.
    pub len: usize,
    /// First step that touches it.
    pub first: usize,
    /// Last step that touches it.
    pub last: usize,
}

/// Offsets of all buffers (same order) and the arena's length; `None` if that overflows.
pub fn place(buffers: &[Buffer]) -> Option<(Vec<usize>, usize)> {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(buffers[i].len));
    let mut offsets = vec![0usize; buffers.len()];
    let mut placed: Vec<(Range<usize>, usize)> = Vec::new();
    let mut total = 0;
    for i in order {
        let b = &buffers[i];
        let len = b.len.checked_next_multiple_of(ALIGN)?;
        let mut at = 0usize;
        // `placed` is sorted by offset: the first gap that is wide enough is the lowest.
        for (range, other) in &placed {
            let o = &buffers[*other];
            if o.last < b.first || b.last < o.first {
                continue;
            }
            if range.start >= at.checked_add(len)? {
                break;
            }
            at = at.max(range.end);
        }
        let end = at.checked_add(len)?;
        offsets[i] = at;
        total = total.max(end);
        let pos = placed.partition_point(|(r, _)| r.start <= at);
        placed.insert(pos, (at..end, i));
    }
    Some((offsets, total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buffers_that_never_meet_share_memory() {
        let chain: Vec<Buffer> = (0..10).map(|i| Buffer { len: 1000, first: i, last: i + 1 }).collect();
        let (_, total) = place(&chain).unwrap();
        assert_eq!(total, 2048);
    }

    #[test]
    fn overflowing_lengths_are_refused() {
        let b = Buffer { len: usize::MAX - 3, first: 0, last: 1 };
        assert!(place(&[b.clone(), b]).is_none());
    }

    proptest! {
        #[test]
        fn living_buffers_never_overlap(spec in prop::collection::vec((1usize..5000, 0usize..20, 0usize..5), 1..40)) {
            let buffers: Vec<Buffer> =
                spec.iter().map(|&(len, first, d)| Buffer { len, first, last: first + d }).collect();
            let (at, total) = place(&buffers).unwrap();
            for (i, a) in buffers.iter().enumerate() {
                prop_assert!(at[i] % ALIGN == 0 && at[i] + a.len <= total);
                for (j, b) in buffers.iter().enumerate().take(i) {
                    let together = a.first <= b.last && b.first <= a.last;
                    let apart = at[i] + a.len <= at[j] || at[j] + b.len <= at[i];
                    prop_assert!(!together || apart);
                }
            }
        }
    }
}
