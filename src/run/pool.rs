//! Threads: which steps are worth sharing out, and in how many units.

use ottava_kernels::team::{Rows, Team};
use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

/// The cost from which a step is shared out, in multiply-adds of the fastest kernels, of which a core does some 300 in a
/// nanosecond: two microseconds. Handing over costs 0.3 between cores that share a cache, 1 between others.
const SHARED_COST: u64 = 600_000;
/// The cost of a unit.
const UNIT_COST: u64 = 300_000;
/// Units for each thread at most: enough for one that comes late, and for threads of different speed.
const UNITS: u64 = 16;

/// The cost of a run, about 150 microseconds, that is over before helpers that sleep are there, or nearly.
const LONG_COST: u64 = 50_000_000;
/// Runs that begin so soon behind each other are many: helpers that are awake already are there for the next one.
const OFTEN: Duration = Duration::from_micros(200);

/// Behind a pause like this everything that a core had in its caches is gone, and each core that takes part fetches
/// weights and code anew: a run of two milliseconds then takes 1.25 to 1.7 times the CPU time when two share it.
const PAUSE: Duration = Duration::from_millis(50);
/// The cost of a run, about three milliseconds, that is shared out even so.
const WORTH_WAKING: u64 = 1_000_000_000;

/// The threads of a session.
pub(crate) struct Pool {
    /// `None`: the caller's thread alone.
    team: Option<Team>,
    /// Helpers that sleep are woken in this run.
    wakes: bool,
    /// When the last run ended.
    ended: Option<Instant>,
}

impl Pool {
    /// The caller's thread alone.
    pub const SERIAL: Pool = Pool { team: None, wakes: false, ended: None };

    /// A pool of `count` threads, the caller's among them (0 and 1: that alone).
    pub fn new(count: usize) -> io::Result<Pool> {
        Ok(Pool { team: if count > 1 { Some(Team::new(count)?) } else { None }, ..Pool::SERIAL })
    }

    /// Threads that take part.
    pub fn count(&self) -> usize {
        self.team.as_ref().map_or(1, Team::members)
    }

    /// A run begins whose [shared](Self::shares) steps cost so much together. Helpers that sleep get up if they will be
    /// there in time, or be there for the runs that seem to follow; behind a long pause only for a long run.
    pub fn begin(&mut self, cost: u64) {
        let Some(team) = &self.team else { return };
        let worth = match self.ended.map(|ended| ended.elapsed()) {
            Some(pause) if pause < OFTEN => 1,
            Some(pause) if pause > PAUSE => WORTH_WAKING,
            _ => LONG_COST,
        };
        self.wakes = cost >= worth;
        if self.wakes {
            team.wake();
        }
    }

    /// That run is over.
    pub fn end(&mut self) {
        self.ended = self.team.as_ref().map(|_| Instant::now());
    }

    /// True if a step of this cost is shared out.
    pub fn shares(&self, cost: u64) -> bool {
        self.team.is_some() && cost >= SHARED_COST
    }

    /// Calls `work(rows, y, scratch)` on parts of the output that cover it. `cost`: multiply-adds of the whole.
    pub fn split(
        &self,
        cost: u64,
        rows: Rows<'_>,
        work: &(impl Fn(Range<usize>, &mut [u8], &mut [u8]) + Sync),
    ) {
        match self.sharing(cost) {
            Some((team, units)) => team.split(rows, units, work),
            None => work(0..rows.count, rows.y, &mut rows.scratch[..rows.scratch_len]),
        }
    }

    /// The team and the most units for a step of this cost, if it is shared out.
    pub fn sharing(&self, cost: u64) -> Option<(&Team, usize)> {
        let team = self.team.as_ref().filter(|_| self.shares(cost))?;
        match (team.sleepers(), self.wakes) {
            (0, _) => {}
            (_, true) => team.wake(),
            (sleepers, false) if sleepers + 1 < team.members() => {}
            _ => return None,
        }
        // As many for each.
        let each = (cost / (UNIT_COST * team.members() as u64)).clamp(1, UNITS);
        Some((team, each as usize * team.members()))
    }
}
