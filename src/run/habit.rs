//! Whether threads pay for short runs, learned from how long they take.
//!
//! A run of some ten microseconds gains from a second thread, or loses: how long a line of cache takes from one core to
//! the other, and who else wants these cores, nobody knows beforehand. So both ways are tried, again and again.

use std::time::Duration;

/// Runs that are compared. The first ones find helpers asleep, or data in another core's cache, and don't count.
const TRIAL: usize = 16;
const COUNTED: usize = 12;
/// Runs the better way until the other one is tried again.
const SETTLED: usize = 512;

/// How short runs of one plan go.
pub(super) struct Habit {
    /// What names the plan: the cost of its shared steps.
    cost: u64,
    /// Typical nanoseconds of a run with helpers and of one without; 0: not known.
    typical: [u32; 2],
    /// Which of the two is on.
    alone: bool,
    /// It is on to be measured.
    trial: bool,
    /// Runs until that is decided anew.
    left: usize,
    /// Nanoseconds of the last runs, the last one first when it is decided.
    times: [u32; TRIAL],
}

impl Habit {
    pub const NEW: Habit =
        Habit { cost: 0, typical: [0; 2], alone: false, trial: true, left: TRIAL, times: [0; TRIAL] };

    /// True if the next run, of this cost, is left to its caller.
    pub fn is_alone(&mut self, cost: u64) -> bool {
        if cost != self.cost {
            *self = Habit { cost, ..Habit::NEW };
        }
        self.alone
    }

    /// That run took so long.
    pub fn ran(&mut self, time: Duration) {
        self.left -= 1;
        self.times[self.left % TRIAL] = time.as_nanos().clamp(1, u32::MAX.into()) as u32;
        if self.left > 0 {
            return;
        }
        let counted = &mut self.times[..COUNTED];
        counted.sort_unstable();
        self.typical[usize::from(self.alone)] = counted[COUNTED / 2];
        let [together, alone] = self.typical;
        if self.trial && together > 0 && alone > 0 {
            (self.alone, self.trial, self.left) = (alone < together, false, SETTLED);
        } else {
            (self.alone, self.trial, self.left) = (!self.alone, true, TRIAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many runs were alone, if they take so many nanoseconds with helpers and without.
    fn alone(habit: &mut Habit, runs: usize, [together, alone]: [u64; 2]) -> usize {
        let run = |habit: &mut Habit| {
            let is_alone = habit.is_alone(7);
            habit.ran(Duration::from_nanos(if is_alone { alone } else { together }));
            usize::from(is_alone)
        };
        (0..runs).map(|_| run(habit)).sum()
    }

    #[test]
    fn the_faster_way_becomes_the_habit_and_may_change() {
        let mut habit = Habit::NEW;
        assert_eq!(alone(&mut habit, 2 * TRIAL, [100, 150]), TRIAL, "both are tried");
        assert_eq!(alone(&mut habit, SETTLED, [100, 150]), 0);
        assert_eq!(alone(&mut habit, TRIAL, [100, 150]), TRIAL, "the other one is tried again");
        assert_eq!(alone(&mut habit, SETTLED, [100, 150]), 0);
        // Somebody else wants the other core now.
        alone(&mut habit, TRIAL + SETTLED, [200, 150]);
        assert_eq!(alone(&mut habit, 10 * (SETTLED + TRIAL), [200, 150]), 10 * SETTLED);
    }

    #[test]
    fn what_is_rare_does_not_count() {
        let mut habit = Habit::NEW;
        for i in 0..2 * TRIAL {
            habit.is_alone(7);
            let time = if i % 4 == 0 { 1_000_000 } else { 100 + i as u64 };
            habit.ran(Duration::from_nanos(time));
        }
        assert_eq!(habit.typical.map(|t| t < 200), [true; 2]);
        assert!(!habit.is_alone(7));
        assert_eq!(habit.left, SETTLED);
        assert!(!habit.is_alone(8) && habit.trial, "another plan has its own");
    }
}
