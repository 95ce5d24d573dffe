//! Threads that share out one piece of work after the other.
//!
//! A [`Team`] is the thread that has the work, its caller, and helpers. The caller publishes how many units there
//! are, then everybody takes units, the caller from the front and helpers from the back, until none is left: each
//! thread's share stays together, and so do the lines of cache that it reads and writes. No helper is waited for
//! unless it has taken units, so the caller is never slower than alone by more than publishing costs (some 100 ns).
//!
//! A helper that finds nothing to do looks out for some microseconds, since the next piece of work is mostly near, and
//! then sleeps until the caller wakes it. Nothing is allocated.

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

/// How long a helper looks out for work before it sleeps. It does not yield meanwhile: a thread that has yielded to
/// others gets its processor back after milliseconds, one that has slept when it is woken.
const LINGER: Duration = Duration::from_micros(25);
/// Looks between two at the clock.
const LOOKS: usize = 64;
/// Looks of a caller at helpers that are late, some 100 microseconds, before it offers its processor to them.
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

/// What the threads of a team see of each other. A line that one thread has written takes some 100 ns to another one's
/// cache, so what is needed together lies together.
#[derive(Default)]
struct Board {
    offer: Line<Offer>,
    done: Line<Done>,
    rest: Line<Rest>,
    /// Somebody's work is being shared out.
    busy: AtomicBool,
}

/// What a caller writes and helpers look at.
#[derive(Default)]
struct Offer {
    /// The units that nobody has taken yet.
    left: Left,
    /// How many a thread takes first.
    share: AtomicU32,
    /// Points to the `&Work` of the units while some of them are not finished.
    work: AtomicPtr<&'static Work<'static>>,
}

/// What helpers write and the caller looks at.
#[derive(Default)]
struct Done {
    /// Units that helpers have finished.
    units: AtomicU32,
    /// One of them panicked.
    panicked: AtomicBool,
    /// What it panicked with.
    payload: Mutex<Option<Box<dyn Any + Send>>>,
}

/// What is written seldom.
#[derive(Default)]
struct Rest {
    /// Helpers that sleep, or are about to.
    sleepers: AtomicU32,
    /// The team is no more.
    closed: AtomicBool,
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
        self.0.store(word(units), Ordering::Release);
    }

    fn is_empty(&self) -> bool {
        range(self.0.load(Ordering::Relaxed)).is_empty()
    }

    /// Takes units from one end, as many of those that are left as `share` says.
    fn take(&self, end: End, share: impl Fn(usize) -> usize) -> Option<Range<usize>> {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let Range { start, end: stop } = range(seen);
            if start >= stop {
                return None;
            }
            let share = share(stop - start).clamp(1, stop - start);
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

/// Three quarters of an equal share, at least one unit. A thread first takes that of all units, then again and again that
/// of those that are left: threads of equal speed meet in the middle every time, so that each finds in its cache what it
/// wrote a step before, and one that comes late finds enough.
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

    /// Helpers that sleep.
    pub fn sleepers(&self) -> usize {
        self.board.rest.0.sleepers.load(Ordering::Relaxed) as usize
    }

    /// Wakes helpers that sleep, so that they are there when work comes.
    pub fn wake(&self) {
        if self.sleepers() > 0 {
            self.helpers.iter().for_each(|helper| helper.thread().unpark());
        }
    }

    /// Calls `work(member, range)` on ranges that together are `0..units`, each unit once; `member` (below
    /// [`members`](Self::members)) is another one in every call that runs at the same time. Returns when all are
    /// finished. Helpers that sleep go on sleeping. If the team is busy, as it is inside of `work`, the caller does all
    /// itself.
    ///
    /// Panics if there are more than 65535 units, or with what `work` panicked with.
    pub fn share(&self, units: usize, work: &Work<'_>) {
        assert!(units <= MAX_UNITS, "units fit half a word");
        let Board { offer: Line(offer), done: Line(done), busy, .. } = &*self.board;
        if units <= 1 || self.helpers.is_empty() || busy.swap(true, Ordering::Acquire) {
            return if units > 0 {
                work(0, 0..units)
            };
        }
        done.units.store(0, Ordering::Relaxed);
        offer.work.store(ptr::from_ref(&work).cast_mut().cast(), Ordering::Relaxed);
        let first = share_of(units, self.members());
        offer.share.store(first as u32, Ordering::Relaxed);
        offer.left.publish(first..units);
        let mut own = first;
        let worked = catch_unwind(AssertUnwindSafe(|| {
            work(0, 0..first);
            while let Some(range) = offer.left.take(End::Front, |left| share_of(left, self.members())) {
                own += range.len();
                work(0, range);
            }
        }));
        if worked.is_err() {
            // Nobody needs the rest any more.
            own += offer.left.take_all();
        }
        // From here on no helper takes units; those that were taken are finished before `work` may go.
        done.wait_for(units - own);
        let panicked = done.take_panic();
        busy.store(false, Ordering::Release);
        if let Some(payload) = worked.err().or(panicked) {
            resume_unwind(payload);
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.board.rest.0.closed.store(true, Ordering::Relaxed);
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
        loop {
            // The share may be that of other work: then it is just not the best.
            let share = |_| self.offer.0.share.load(Ordering::Relaxed) as usize;
            if let Some(units) = self.offer.0.left.take(End::Back, share) {
                self.work(member, members, units);
            }
            if !self.await_work() {
                return;
            }
        }
    }

    /// Works these units that were taken, and others while there are some.
    fn work(&self, member: usize, members: usize, mut units: Range<usize>) {
        let Board { offer: Line(offer), done: Line(done), .. } = self;
        // SAFETY: `share` stored a pointer to a reference on its stack before it published the units of which we have
        // taken some (acquired with them), and it neither returns nor stores another one before we say below that all
        // that we have taken are finished. The work may be called from any thread: it is `Sync`.
        let work: &Work<'_> = unsafe { *offer.work.load(Ordering::Relaxed) };
        let mut count = 0;
        loop {
            count += units.len();
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| work(member, units))) {
                done.keep_panic(payload);
            }
            // These are of the same work, since that has unfinished units: ours.
            match offer.left.take(End::Back, |left| share_of(left, members)) {
                Some(more) => units = more,
                None => break,
            }
        }
        done.units.fetch_add(count as u32, Ordering::Release);
    }

    /// Looks out for work, and sleeps when none comes. False if none will come any more.
    fn await_work(&self) -> bool {
        let (left, rest) = (&self.offer.0.left, &self.rest.0);
        loop {
            let since = Instant::now();
            while since.elapsed() < LINGER {
                for _ in 0..LOOKS {
                    if !left.is_empty() {
                        return true;
                    }
                    spin_loop();
                }
            }
            rest.sleepers.fetch_add(1, Ordering::Relaxed);
            if left.is_empty() && !rest.closed.load(Ordering::Relaxed) {
                thread::park();
            }
            rest.sleepers.fetch_sub(1, Ordering::Relaxed);
            if rest.closed.load(Ordering::Relaxed) {
                return false;
            }
        }
    }
}

impl Done {
    /// Until helpers have finished so many units.
    fn wait_for(&self, units: usize) {
        let mut looks = 0;
        while self.units.load(Ordering::Acquire) as usize != units {
            looks += 1;
            if looks < PATIENCE { spin_loop() } else { thread::yield_now() }
        }
    }

    fn keep_panic(&self, payload: Box<dyn Any + Send>) {
        *self.payload.lock().unwrap_or_else(PoisonError::into_inner) = Some(payload);
        self.panicked.store(true, Ordering::Relaxed);
    }

    /// What a helper panicked with, if one did; all that it did happened before.
    fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        let panicked = self.panicked.load(Ordering::Relaxed);
        panicked.then(|| {
            self.panicked.store(false, Ordering::Relaxed);
            self.payload.lock().unwrap_or_else(PoisonError::into_inner).take()
        })?
    }
}
