//! Threads: a persistent pool, a static split over rows, serial below a cost threshold.

use std::ops::Range;

/// Work below which a step is not worth a second thread, in multiply-adds of the fastest kernels: waking a thread
/// takes several microseconds, in which a core does about this many.
const PARALLEL_COST: u64 = 2_000_000;

/// The threads of a session.
pub(crate) struct Pool {
    /// `None`: the caller's thread alone.
    threads: Option<rayon::ThreadPool>,
    count: usize,
}

/// Rows of an output that one kernel computes, to be split among threads.
pub(crate) struct Rows<'a> {
    /// How many.
    pub count: usize,
    /// A part starts at a multiple of this (tiles stay whole).
    pub grain: usize,
    /// Bytes from one row of the output to the next.
    pub stride: usize,
    /// The output: `count` rows, the last one possibly shorter than `stride`.
    pub y: &'a mut [u8],
    /// Scratch of one part; the whole has room for one per thread.
    pub scratch_len: usize,
    /// The scratch.
    pub scratch: &'a mut [u8],
    /// Multiply-adds of the whole.
    pub cost: u64,
}

impl Pool {
    /// The caller's thread alone.
    pub const SERIAL: Pool = Pool { threads: None, count: 1 };

    /// A pool of `count` threads (0 and 1: no pool).
    pub fn new(count: usize) -> Result<Pool, rayon::ThreadPoolBuildError> {
        let count = count.max(1);
        let threads = match count {
            1 => None,
            _ => Some(
                rayon::ThreadPoolBuilder::new()
                    .num_threads(count)
                    .thread_name(|i| format!("ottava-{i}"))
                    .build()?,
            ),
        };
        Ok(Pool { threads, count })
    }

    /// Threads that take part.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Runs `walk` where splits cost least: on a thread of the pool if there is one and `parallel` holds.
    pub fn enter<R: Send>(&self, parallel: bool, walk: impl FnOnce() -> R + Send) -> R {
        match &self.threads {
            Some(pool) if parallel => pool.install(walk),
            _ => walk(),
        }
    }

    /// Threads that a step of this cost is split among.
    pub fn parts(&self, cost: u64) -> usize {
        if cost < PARALLEL_COST { 1 } else { self.count }
    }

    /// Calls `work(rows, y, scratch)` on parts of the output that cover it, at most one per thread.
    pub fn split(&self, rows: Rows<'_>, work: &(impl Fn(Range<usize>, &mut [u8], &mut [u8]) + Sync)) {
        let parts = self.parts(rows.cost);
        split(rows, 0, parts, work);
    }
}

/// Halves the parts until one is left. Stays on this thread for one of the halves, so nothing is allocated.
fn split(
    rows: Rows<'_>,
    first: usize,
    parts: usize,
    work: &(impl Fn(Range<usize>, &mut [u8], &mut [u8]) + Sync),
) {
    let Rows { count, grain, stride, y, scratch_len, scratch, cost } = rows;
    if parts <= 1 || count <= grain {
        return work(first..first + count, y, &mut scratch[..scratch_len]);
    }
    let left_parts = parts / 2;
    let left = (count * left_parts / parts).next_multiple_of(grain).min(count);
    let (ya, yb) = y.split_at_mut((left * stride).min(y.len()));
    let (sa, sb) = scratch.split_at_mut(left_parts * scratch_len);
    let a = Rows { count: left, grain, stride, y: ya, scratch_len, scratch: sa, cost };
    let b = Rows { count: count - left, grain, stride, y: yb, scratch_len, scratch: sb, cost };
    rayon::join(
        || split(a, first, left_parts, work),
        || {
            if b.count > 0 {
                split(b, first + left, parts - left_parts, work)
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_visited_once() {
        for threads in [1, 2, 3, 5] {
            let pool = Pool::new(threads).unwrap();
            for (count, grain, stride) in [(1, 1, 3), (7, 4, 2), (64, 6, 1), (100, 12, 5), (3, 8, 4)] {
                let mut y = vec![0u8; count * stride];
                let mut scratch = vec![0u8; 16 * threads];
                let rows = Rows {
                    count,
                    grain,
                    stride,
                    y: &mut y,
                    scratch_len: 16,
                    scratch: &mut scratch,
                    cost: u64::MAX,
                };
                pool.enter(true, || {
                    pool.split(rows, &|r, y, s| {
                        assert_eq!(s.len(), 16);
                        assert_eq!(y.len(), r.len() * stride);
                        for (i, row) in r.zip(y.chunks_mut(stride)) {
                            row.iter_mut().for_each(|v| *v += 1 + i as u8);
                        }
                    })
                });
                let want: Vec<u8> = (0..count * stride).map(|i| 1 + (i / stride) as u8).collect();
                assert_eq!(y, want, "{threads} threads, {count} rows");
            }
        }
    }
}
