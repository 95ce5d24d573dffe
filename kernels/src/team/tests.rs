use super::*;
use std::sync::atomic::AtomicUsize;

/// Shares out `units` and checks that each was done once, by members that do not meet.
fn check(team: &Team, units: usize) {
    let times: Vec<AtomicUsize> = (0..units).map(|_| AtomicUsize::new(0)).collect();
    let inside: Vec<AtomicBool> = (0..team.members()).map(|_| AtomicBool::new(false)).collect();
    team.share(units, &|member, range| {
        assert!(!inside[member].swap(true, Ordering::SeqCst), "member {member} is in two calls");
        for unit in range {
            times[unit].fetch_add(1, Ordering::SeqCst);
        }
        inside[member].store(false, Ordering::SeqCst);
    });
    assert!(times.iter().all(|n| n.load(Ordering::SeqCst) == 1), "{units} units");
}

#[test]
fn every_unit_is_done_once() {
    for members in [0, 1, 2, 3, 8] {
        let team = Team::new(members).unwrap();
        assert_eq!(team.members(), members.max(1));
        for units in (0..40).chain([1000, MAX_UNITS]) {
            check(&team, units);
        }
    }
}

#[test]
fn one_piece_of_work_after_the_other() {
    let team = Team::new(4).unwrap();
    let sum = AtomicUsize::new(0);
    for i in 0..20_000 {
        // What is on the stack now must not be seen by a thread that comes late.
        let value = i % 7;
        let before = sum.load(Ordering::SeqCst);
        team.share(9, &|_, range| {
            sum.fetch_add(value * range.len(), Ordering::Relaxed);
        });
        assert_eq!(sum.load(Ordering::SeqCst), before + 9 * value);
        if i % 1000 == 0 {
            // Long enough for helpers to fall asleep.
            thread::sleep(2 * LINGER);
            team.wake();
        }
    }
}

#[test]
fn helpers_take_part_and_sleep_afterwards() {
    let team = Team::new(2).unwrap();
    let helped = AtomicBool::new(false);
    for _ in 0..1000 {
        team.wake();
        team.share(8, &|member, _| {
            helped.fetch_or(member == 1, Ordering::SeqCst);
            thread::sleep(Duration::from_micros(100));
        });
        if helped.load(Ordering::SeqCst) {
            break;
        }
    }
    assert!(helped.load(Ordering::SeqCst), "the helper never came");
    let patience = Instant::now();
    while team.sleepers() == 0 {
        assert!(patience.elapsed() < Duration::from_secs(60), "the helper does not sleep");
        thread::yield_now();
    }
    team.wake();
    check(&team, 100);
}

#[test]
fn work_inside_of_work_is_done_by_its_own_thread() {
    let team = Team::new(3).unwrap();
    let sum = AtomicUsize::new(0);
    team.share(20, &|_, outer| {
        for _ in outer {
            team.share(10, &|member, inner| {
                assert_eq!((member, inner.clone()), (0, 0..10));
                sum.fetch_add(inner.len(), Ordering::Relaxed);
            });
        }
    });
    assert_eq!(sum.into_inner(), 200);
    check(&team, 50);
}

#[test]
fn many_callers_of_one_team() {
    let team = Team::new(3).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..500).for_each(|i| check(&team, i % 33)));
        }
    });
}

#[test]
fn a_panic_reaches_the_caller_and_the_team_goes_on() {
    let team = Team::new(3).unwrap();
    for culprit in 0..30 {
        let done = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            team.share(30, &|_, range| {
                done.fetch_add(range.len(), Ordering::SeqCst);
                if range.contains(&culprit) {
                    panic!("unit {culprit}");
                }
                thread::yield_now();
            });
        }));
        let payload = result.unwrap_err();
        assert_eq!(payload.downcast_ref::<String>(), Some(&format!("unit {culprit}")));
        assert!(done.into_inner() <= 30);
        check(&team, 30);
    }
}

#[test]
fn every_row_is_computed_once() {
    for members in [1, 2, 3, 5] {
        let team = Team::new(members).unwrap();
        for (count, grain, stride) in
            [(0, 1, 3), (1, 1, 3), (7, 4, 2), (64, 6, 1), (100, 12, 5), (3, 8, 4), (9, 1, 0)]
        {
            for units in [0, 1, 2, 7, 1000] {
                // The last row may be shorter than the others.
                for short in 0..=usize::from(count > 0 && stride > 1) {
                    let mut y = vec![0u8; count * stride - short];
                    let mut scratch = vec![0u8; 16 * members];
                    let rows =
                        Rows { count, grain, stride, y: &mut y, scratch_len: 16, scratch: &mut scratch };
                    team.split(rows, units, &|r, y, s| {
                        assert_eq!((r.start % grain, s.len()), (0, 16));
                        for (i, row) in r.zip(y.chunks_mut(stride.max(1))) {
                            row.iter_mut().for_each(|v| *v += 1 + i as u8);
                        }
                    });
                    let want = (0..count * stride - short).map(|i| 1 + (i / stride) as u8);
                    assert_eq!(y, want.collect::<Vec<u8>>(), "{members} threads, {count} rows");
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "every thread has scratch")]
fn scratch_that_is_too_short_is_refused() {
    let rows = Rows { count: 4, grain: 1, stride: 1, y: &mut [0; 4], scratch_len: 8, scratch: &mut [0; 15] };
    Team::new(2).unwrap().split(rows, 4, &|_, _, _| ());
}
