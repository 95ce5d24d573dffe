//! How right answers are.

use serde::Serialize;

/// Index of the greatest value, the first of equals; values that are not numbers never win. `None` of nothing.
pub fn argmax(values: &[f32]) -> Option<usize> {
    let mut best: Option<(usize, f32)> = None;
    for (i, &v) in values.iter().enumerate() {
        if !v.is_nan() && best.is_none_or(|(_, b)| v > b) {
            best = Some((i, v));
        }
    }
    best.map(|(i, _)| i)
}

/// True if fewer than `k` classes come before `class`: a greater value, or an equal one at a lower index.
pub fn in_top(k: usize, values: &[f32], class: usize) -> bool {
    let Some(&own) = values.get(class).filter(|v| !v.is_nan()) else { return false };
    let before = values.iter().enumerate().filter(|(i, v)| **v > own || (**v == own && *i < class));
    before.count() < k
}

/// Right and wrong answers to yes-or-no questions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Confusion {
    /// Said yes, is yes.
    pub true_positive: u64,
    /// Said yes, is no.
    pub false_positive: u64,
    /// Said no, is no.
    pub true_negative: u64,
    /// Said no, is yes.
    pub false_negative: u64,
}

/// The usual ratios of a [`Confusion`]. A ratio of nothing to nothing is 1: nothing was missed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratios {
    /// Right answers of all.
    pub accuracy: f64,
    /// Of those that were said, those that are.
    pub precision: f64,
    /// Of those that are, those that were said.
    pub recall: f64,
    /// `2 tp / (2 tp + fp + fn)`, also known as F1.
    pub dice: f64,
    /// `tp / (tp + fp + fn)`: intersection over union.
    pub iou: f64,
}

impl Confusion {
    /// Counts one answer.
    pub fn add(&mut self, said: bool, is: bool) {
        let count = match (said, is) {
            (true, true) => &mut self.true_positive,
            (true, false) => &mut self.false_positive,
            (false, false) => &mut self.true_negative,
            (false, true) => &mut self.false_negative,
        };
        *count += 1;
    }

    /// The usual ratios.
    pub fn ratios(&self) -> Ratios {
        let Confusion { true_positive: tp, false_positive: fp, true_negative: tn, false_negative: fn_ } =
            *self;
        let of = |part: u64, whole: u64| if whole == 0 { 1.0 } else { part as f64 / whole as f64 };
        Ratios {
            accuracy: of(tp + tn, tp + tn + fp + fn_),
            precision: of(tp, tp + fp),
            recall: of(tp, tp + fn_),
            dice: of(2 * tp, 2 * tp + fp + fn_),
            iou: of(tp, tp + fp + fn_),
        }
    }
}

/// Errors of predicted numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Regression {
    squares: f64,
    absolutes: f64,
    count: u64,
}

impl Regression {
    /// Counts predictions and what they should be; the slices are equally long.
    pub fn add(&mut self, predicted: &[f32], targets: &[f64]) {
        for (p, t) in predicted.iter().zip(targets) {
            let error = f64::from(*p) - t;
            self.squares += error * error;
            self.absolutes += error.abs();
            self.count += 1;
        }
    }

    /// Mean squared and mean absolute error; `None` of nothing.
    pub fn means(&self) -> Option<(f64, f64)> {
        let n = self.count as f64;
        (self.count > 0).then(|| (self.squares / n, self.absolutes / n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_wins_and_ties_go_to_the_first() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0, f32::NAN]), Some(1));
        assert_eq!(argmax(&[f32::NAN, f32::NEG_INFINITY]), Some(1));
        assert_eq!(argmax(&[]), None);
    }

    #[test]
    fn top_k_counts_who_comes_before() {
        let values = [0.5, 0.1, 0.9, 0.5];
        assert!(in_top(1, &values, 2) && !in_top(1, &values, 0));
        assert!(in_top(2, &values, 0) && !in_top(2, &values, 3), "of equals the first comes first");
        assert!(in_top(4, &values, 1) && !in_top(4, &values, 4), "there is no class 4");
    }

    #[test]
    fn ratios_by_hand() {
        // said 1 1 1 0 0 0 0 0, is 1 1 0 1 0 0 0 0
        let mut c = Confusion::default();
        for (said, is) in [(1, 1), (1, 1), (1, 0), (0, 1), (0, 0), (0, 0), (0, 0), (0, 0)] {
            c.add(said == 1, is == 1);
        }
        let want =
            Ratios { accuracy: 0.75, precision: 2.0 / 3.0, recall: 2.0 / 3.0, dice: 2.0 / 3.0, iou: 0.5 };
        assert_eq!(c.ratios(), want);
        let mut nothing = Confusion::default();
        nothing.add(false, false);
        let all = Ratios { accuracy: 1.0, precision: 1.0, recall: 1.0, dice: 1.0, iou: 1.0 };
        assert_eq!(nothing.ratios(), all);
    }

    #[test]
    fn errors_by_hand() {
        let mut r = Regression::default();
        assert_eq!(r.means(), None);
        r.add(&[1.0, 2.0], &[2.0, 5.0]);
        assert_eq!(r.means(), Some((5.0, 2.0)));
    }
}
