//! Threads: which steps are worth sharing out, and in how many units.

use ottava_kernels::team::{Rows, Team};
use std::io;
use std::ops::Range;

/// The cost from which a step is shared out, in multiply-adds of the fastest kernels, of which a core does some 300 in a
/// nanosecond: about twice what handing over costs.
const SHARED_COST: u64 = 250_000;
/// The cost of a unit.
const UNIT_COST: u64 = 100_000;
/// Units for each thread at most: enough for one that comes late, and for threads of different speed.
const UNITS: u64 = 16;

/// The threads of a session.
pub(crate) struct Pool {
    /// `None`: the caller's thread alone.
    team: Option<Team>,
}

impl Pool {
    /// The caller's thread alone.
    pub const SERIAL: Pool = Pool { team: None };

    /// A pool of `count` threads, the caller's among them (0 and 1: that alone).
    pub fn new(count: usize) -> io::Result<Pool> {
        Ok(Pool { team: if count > 1 { Some(Team::new(count)?) } else { None } })
    }

    /// Threads that take part.
    pub fn count(&self) -> usize {
        self.team.as_ref().map_or(1, Team::members)
    }

    /// Helpers that sleep get up, so that they are there for the first step that is shared out.
    pub fn wake(&self) {
        self.team.iter().for_each(Team::wake);
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
        // As many for each.
        let each = (cost / (UNIT_COST * team.members() as u64)).clamp(1, UNITS);
        Some((team, each as usize * team.members()))
    }
}
