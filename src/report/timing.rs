//! How long an inference takes.

use crate::Result;
use serde::Serialize;
use std::time::{Duration, Instant};

/// A clock is read at most this often: reading it costs some 25 ns, which a tiny network would feel.
const SLICE: Duration = Duration::from_micros(20);

/// Shares of `seconds` that warm up caches, branch predictors and clock frequency first.
const WARM_UP: f64 = 0.1;

/// What was measured, in milliseconds per inference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Timing {
    /// Half of the inferences took at most as long.
    pub median_ms: f64,
    /// The fastest.
    pub min_ms: f64,
    /// Nine of ten took at most as long.
    pub p90_ms: f64,
    /// How many inferences were timed.
    pub runs: u64,
}

/// Calls `run` for about `seconds` after warming up (at least three calls each) and times every call. Calls that
/// take less than 20 microseconds are timed in small batches, each of which counts as that many equal calls.
///
/// # Errors
/// The first error of `run`.
pub fn measure(seconds: f64, run: &mut dyn FnMut() -> Result<()>) -> Result<Timing> {
    let seconds = seconds.clamp(0.0, 86_400.0);
    let estimate = warm_up(seconds * WARM_UP, run)?;
    let batch = (SLICE.as_secs_f64() / estimate.max(1e-9)).ceil().clamp(1.0, 1e4) as u32;
    let expected = seconds / (estimate.max(1e-9) * f64::from(batch));
    let mut batches = Vec::with_capacity((expected * 1.5).clamp(16.0, 1e7) as usize);
    let start = Instant::now();
    let mut last = start;
    loop {
        for _ in 0..batch {
            run()?;
        }
        let now = Instant::now();
        batches.push((now - last).as_secs_f64());
        last = now;
        if batches.len() >= 3 && (now - start).as_secs_f64() >= seconds {
            break;
        }
    }
    let runs = batches.len() as u64 * u64::from(batch);
    batches.sort_by(f64::total_cmp);
    let ms = |seconds: f64| seconds * 1e3 / f64::from(batch);
    Ok(Timing {
        median_ms: ms(sorted_median(&batches)),
        min_ms: ms(batches[0]),
        p90_ms: ms(batches[(batches.len() * 9).div_ceil(10) - 1]),
        runs,
    })
}

/// Takes the index of a step and its time.
pub type SeeStep<'a> = dyn FnMut(usize, Duration) + 'a;

/// The median time of each of `count` steps, in milliseconds: calls `run` as [`measure`] does, with a function
/// that it tells its steps to. Steps that are never told take no time.
///
/// # Errors
/// The first error of `run`.
pub fn measure_steps(
    seconds: f64,
    count: usize,
    run: &mut dyn FnMut(&mut SeeStep<'_>) -> Result<()>,
) -> Result<Vec<f64>> {
    let seconds = seconds.clamp(0.0, 86_400.0);
    warm_up(seconds * WARM_UP, &mut || run(&mut |_, _| ()))?;
    let mut times = vec![Vec::new(); count];
    let start = Instant::now();
    for calls in 1.. {
        run(&mut |step, time| times[step].push(time.as_secs_f64() * 1e3))?;
        if calls >= 3 && start.elapsed().as_secs_f64() >= seconds {
            break;
        }
    }
    Ok(times.iter_mut().map(|times| median(times)).collect())
}

/// Seconds per call, roughly.
fn warm_up(seconds: f64, run: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    let mut fastest = f64::INFINITY;
    let mut calls = 0;
    while calls < 3 || start.elapsed().as_secs_f64() < seconds {
        let before = Instant::now();
        run()?;
        fastest = fastest.min(before.elapsed().as_secs_f64());
        calls += 1;
    }
    Ok(fastest)
}

/// The median of some values, sorted here; 0 of nothing.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    sorted_median(values)
}

fn sorted_median(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    match n {
        0 => 0.0,
        _ if n % 2 == 1 => sorted[n / 2],
        _ => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_by_hand() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&mut []), 0.0);
    }

    #[test]
    fn long_calls_are_timed_one_by_one() {
        let mut calls = 0;
        let timing = measure(0.05, &mut || {
            calls += 1;
            std::thread::sleep(Duration::from_millis(2));
            Ok(())
        });
        let t = timing.unwrap();
        assert!(t.min_ms >= 2.0 && t.median_ms >= t.min_ms && t.p90_ms >= t.median_ms, "{t:?}");
        assert!(t.runs >= 3 && calls >= t.runs + 3, "{calls} calls, {t:?}");
    }

    #[test]
    fn short_calls_are_timed_in_batches() {
        let mut calls = 0u64;
        let timing = measure(0.01, &mut || {
            calls += 1;
            Ok(())
        });
        let t = timing.unwrap();
        assert!(t.median_ms < SLICE.as_secs_f64() * 1e3, "{t:?}");
        assert!(t.runs > 1000 && t.runs < calls, "{calls} calls, {t:?}");
    }

    #[test]
    fn steps_are_timed_apart() {
        let mut run = |see: &mut SeeStep<'_>| {
            see(2, Duration::from_millis(3));
            see(0, Duration::from_millis(1));
            Ok(())
        };
        assert_eq!(measure_steps(0.0, 3, &mut run).unwrap(), [1.0, 0.0, 3.0]);
    }

    #[test]
    fn errors_end_it() {
        let fail = || Err(crate::Error::io("x", std::io::ErrorKind::Other.into()));
        assert!(measure(10.0, &mut { fail }).is_err());
    }
}
