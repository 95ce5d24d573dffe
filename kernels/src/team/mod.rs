//! Threads that share out one piece of work after the other.
//!
//! A [`Team`] is the thread that has the work, its caller, and helpers. The caller publishes how many units there
//! are, then everybody takes units, the caller from the front and helpers from the back, until none is left: each
//! thread's share stays together, and so do the lines of cache that it reads and writes. No helper is waited for
//! unless it has taken units, so the caller is never slower than alone by more than publishing costs (some 100 ns).
//!
//! A helper that finds nothing to do looks out for a few microseconds, since the next piece of work is mostly near, and
//! then sleeps. Nothing is allocated.

mod rows;
#[cfg(test)]
mod tests;

pub use rows::Rows;

use std::any::Any;
use std::hint::spin_loop;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a helper looks out for work before it sleeps. Waking it takes longer than this, and costs the caller about
/// a tenth of it.
const LINGER: Duration = Duration::from_micros(30);
/// Looks between two at the clock.
const LOOKS: usize = 32;
/// Looks of a caller at helpers that are late before it offers them its processor.
const PATIENCE: usize = 1 << 12;
/// The most units of one piece of work.
const MAX_UNITS: usize = u16::MAX as usize;

/// What a thread of a team (0: the caller) does with some units.
type Work<'a> = dyn Fn(usize, Range<usize>) + Sync + 'a;

/// The caller's thread and its helpers, which live as long as the team.
pub struct Team {
    board: Arc<Board>,
    helpers: Vec<JoinHandle<()>>,
}

/// Its own line of cache (and the one that is fetched along): what is written often must not disturb what is read.
#[repr(align(128))]
#[derive(Default)]
struct Line<T>(T);

/// What the threads of a team see of each other.
#[derive(Default)]
struct Board {
    /// The units that nobody has taken yet.
    left: Line<Left>,
    /// Points to the `&Work` of the units while some of them are not finished.
    work: AtomicPtr<&'static Work<'static>>,
    /// Units that helpers have finished.
    finished: Line<AtomicU32>,
    /// Helpers that sleep, or are about to.
    sleepers: Line<AtomicU32>,
    /// Somebody's work is being shared out.
    busy: AtomicBool,
    /// The team is no more.
    closed: AtomicBool,
    /// What a helper panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// A range of units in one word: its start in the low half, its end in the high half.
#[derive(Default)]
struct Left(AtomicU32);

/// Where units are taken from.
#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

fn word(units: Range<usize>) -> u32 {
    units.start as u32 | (units.end as u32) << 16
}

fn range(word: u32) -> Range<usize> {
    (word & 0xFFFF) as usize..(word >> 16) as usize
}

impl Left {
    /// The units are there from now on, with all that was written before.
    fn publish(&self, units: Range<usize>) {
        // In one order with `sleepers`: either the caller sees a sleeper, or that sees these units.
        self.0.store(word(units), Ordering::SeqCst);
    }

    fn is_empty(&self) -> bool {
        range(self.0.load(Ordering::SeqCst)).is_empty()
    }

    /// Takes a share for one of `members` from one end, larger ones first: a thread that arrives late finds enough.
    fn take(&self, end: End, members: usize) -> Option<Range<usize>> {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let Range { start, end: stop } = range(seen);
            if start >= stop {
                return None;
            }
            let share = share_of(stop - start, members);
            let (mine, rest) = match end {
                End::Front => (start..start + share, start + share..stop),
                End::Back => (stop - share..stop, start..stop - share),
            };
            match self.0.compare_exchange_weak(seen, word(rest), Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(mine),
                Err(now) => seen = now,
            }
        }
    }

    /// Takes all.
    fn take_all(&self) -> usize {
        range(self.0.swap(0, Ordering::Acquire)).len()
    }
}

/// Three quarters of an equal share, at least one unit.
fn share_of(units: usize, members: usize) -> usize {
    (units * 3 / (4 * members)).max(1)
}

impl Team {
    /// A team of so many threads; 0 and 1: the caller alone.
    ///
    /// # Errors
    /// The operating system gives no more threads.
    pub fn new(members: usize) -> io::Result<Team> {
        let mut team = Team { board: Arc::default(), helpers: Vec::new() };
        for member in 1..members {
            let board = Arc::clone(&team.board);
            let helper = thread::Builder::new().name(format!("ottava-{member}"));
            team.helpers.push(helper.spawn(move || board.help(member, members))?);
        }
        Ok(team)
    }

    /// Threads, the caller's among them.
    pub fn members(&self) -> usize {
        self.helpers.len() + 1
    }

    /// True if every helper is awake.
    pub fn is_awake(&self) -> bool {
        self.board.sleepers.0.load(Ordering::SeqCst) == 0
    }

    /// Wakes helpers that sleep, so that they are there when work comes.
    pub fn wake(&self) {
        if !self.is_awake() {
            self.helpers.iter().for_each(|helper| helper.thread().unpark());
        }
    }

    /// Calls `work(member, range)` on ranges that together are `0..units`, each unit once; `member` (below
    /// [`members`](Self::members)) is another one in every call that runs at the same time. Returns when all are
    /// finished. If the team is busy, as it is inside of `work`, the caller does all itself.
    ///
    /// Panics if there are more than 65535 units, or with what `work` panicked with.
    pub fn share(&self, units: usize, work: &Work<'_>) {
        let board = &*self.board;
        assert!(units <= MAX_UNITS, "units fit half a word");
        if units <= 1 || self.helpers.is_empty() || board.busy.swap(true, Ordering::Acquire) {
            return if units > 0 { work(0, 0..units) };
        }
        board.finished.0.store(0, Ordering::Relaxed);
        board.work.store(ptr::from_ref(&work).cast_mut().cast(), Ordering::Relaxed);
        let first = share_of(units, self.members());
        board.left.0.publish(first..units);
        self.wake();
        let mut own = first;
        let worked = catch_unwind(AssertUnwindSafe(|| {
            work(0, 0..first);
            while let Some(range) = board.left.0.take(End::Front, self.members()) {
                own += range.len();
                work(0, range);
            }
        }));
        if worked.is_err() {
            // Nobody needs the rest any more.
            own += board.left.0.take_all();
        }
        // From here on no helper takes units; those that were taken are finished before `work` may go.
        board.wait_for(units - own);
        let panicked = board.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        board.busy.store(false, Ordering::Release);
        if let Some(payload) = worked.err().or(panicked) {
            resume_unwind(payload);
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.board.closed.store(true, Ordering::SeqCst);
        for helper in self.helpers.drain(..) {
            helper.thread().unpark();
            // A helper's panics are caught; there is nothing to learn from how it ended.
            let _ = helper.join();
        }
    }
}

impl Board {
    /// What a helper does all its life.
    fn help(&self, member: usize, members: usize) {
        while !self.closed.load(Ordering::SeqCst) {
            match self.left.0.take(End::Back, members) {
                Some(units) => self.work(member, members, units),
                None => self.rest(),
            }
        }
    }

    /// Works these units that were taken, and others while there are some.
    fn work(&self, member: usize, members: usize, mut units: Range<usize>) {
        // SAFETY: `share` stored a pointer to a reference on its stack before it published the units of which we have
        // taken some (acquired with them), and it neither returns nor stores another one before we say below that all
        // that we have taken are finished. The work may be called from any thread: it is `Sync`.
        let work: &Work<'_> = unsafe { *self.work.load(Ordering::Relaxed) };
        let mut done = 0;
        loop {
            done += units.len();
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| work(member, units))) {
                *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(payload);
            }
            // These are of the same work, since that has unfinished units: ours.
            match self.left.0.take(End::Back, members) {
                Some(more) => units = more,
                None => break,
            }
        }
        self.finished.0.fetch_add(done as u32, Ordering::Release);
    }

    /// Until helpers have finished so many units.
    fn wait_for(&self, units: usize) {
        let mut looks = 0;
        while self.finished.0.load(Ordering::Acquire) as usize != units {
            looks += 1;
            if looks < PATIENCE { spin_loop() } else { thread::yield_now() }
        }
    }

    /// Looks out for work, then sleeps until somebody wakes this thread. May return without reason.
    fn rest(&self) {
        let since = Instant::now();
        while since.elapsed() < LINGER {
            for _ in 0..LOOKS {
                if !self.left.0.is_empty() {
                    return;
                }
                spin_loop();
            }
        }
        self.sleepers.0.fetch_add(1, Ordering::SeqCst);
        if self.left.0.is_empty() && !self.closed.load(Ordering::SeqCst) {
            thread::park();
        }
        self.sleepers.0.fetch_sub(1, Ordering::SeqCst);
    }
}
