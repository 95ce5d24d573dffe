//! One scorer per task: what is right, and where two models agree.

use super::embedding::{Mask, cosine, pooled, spearman};
use super::metrics::{Confusion, Regression, argmax, in_top};
use crate::data::{DataError, Labels};
use std::collections::BTreeMap;

/// Metrics by name.
pub type Metrics = BTreeMap<&'static str, f64>;

/// What both models said about one sample.
pub(super) struct Answers<'a> {
    /// Index of the sample.
    pub sample: usize,
    /// Reals of each model's first output; equally many.
    pub values: [&'a [f32]; 2],
    /// Shape of the outputs.
    pub shape: &'a [usize],
    /// Positions that count, where the inputs say so.
    pub mask: Option<&'a Mask>,
}

/// The outcome of a whole data set.
pub(super) struct Scores {
    /// Per model.
    pub metrics: [Metrics; 2],
    /// Share of equal decisions, where the task decides anything.
    pub agreement: Option<f64>,
}

/// Collects answers.
pub(super) trait Scorer {
    /// Takes in one sample; the labels, if there are any, are asked for what is right.
    fn add(&mut self, answers: &Answers, labels: Option<&mut Labels>) -> Result<(), DataError>;
    /// The outcome.
    fn finish(&self) -> Scores;
}

/// How many classes an output of this shape tells apart: its last dimension that is not 1.
fn classes(shape: &[usize]) -> usize {
    shape.iter().rev().copied().find(|&d| d != 1).unwrap_or(1)
}

/// The greatest output is the class. A network that answers at every step of a sequence has said it at the last one.
#[derive(Default)]
pub(super) struct Classify {
    samples: u64,
    agreed: u64,
    labelled: bool,
    classes: usize,
    hits: [u64; 2],
    top5: [u64; 2],
}

impl Scorer for Classify {
    fn add(&mut self, answers: &Answers, labels: Option<&mut Labels>) -> Result<(), DataError> {
        self.samples += 1;
        self.classes = classes(answers.shape);
        let values = answers.values.map(|v| &v[v.len().saturating_sub(self.classes)..]);
        let said = values.map(argmax);
        self.agreed += u64::from(said[0] == said[1]);
        let Some(labels) = labels else { return Ok(()) };
        self.labelled = true;
        let class = labels.class(answers.sample)?;
        if class >= self.classes {
            let (sample, classes) = (answers.sample, self.classes);
            return Err(labels
                .fault(format!("label {class} of sample {sample}, but the model has {classes} classes")));
        }
        for (side, values) in values.into_iter().enumerate() {
            self.hits[side] += u64::from(said[side] == Some(class));
            self.top5[side] += u64::from(in_top(5, values, class));
        }
        Ok(())
    }

    fn finish(&self) -> Scores {
        let share = |part: u64| part as f64 / self.samples.max(1) as f64;
        let metrics = [0, 1].map(|side| {
            let mut metrics = Metrics::new();
            if self.labelled {
                metrics.insert("accuracy", share(self.hits[side]));
                if self.classes > 5 {
                    metrics.insert("top5", share(self.top5[side]));
                }
            }
            metrics
        });
        Scores { metrics, agreement: Some(share(self.agreed)) }
    }
}

/// Every output value decides about one pixel.
#[derive(Default)]
pub(super) struct Segment {
    labelled: bool,
    pixels: u64,
    /// Outputs are taken for probabilities if none lies outside of 0..=1.
    logits: bool,
    /// For each threshold, since which one holds is known at the end only.
    at: [Threshold; 2],
}

#[derive(Default)]
struct Threshold {
    confusion: [Confusion; 2],
    agreed: u64,
}

/// Logit and probability at which a pixel is taken for positive.
const THRESHOLDS: [f32; 2] = [0.0, 0.5];

impl Scorer for Segment {
    fn add(&mut self, answers: &Answers, labels: Option<&mut Labels>) -> Result<(), DataError> {
        let [a, b] = answers.values;
        let truth = match labels {
            Some(labels) => Some(mask_of(labels, answers.sample, a.len())?),
            None => None,
        };
        self.labelled |= truth.is_some();
        self.pixels += a.len() as u64;
        self.logits |= a.iter().chain(b).any(|v| !(0.0..=1.0).contains(v));
        for (at, threshold) in self.at.iter_mut().zip(THRESHOLDS) {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                let said = [*a > threshold, *b > threshold];
                at.agreed += u64::from(said[0] == said[1]);
                if let Some(truth) = &truth {
                    at.confusion[0].add(said[0], truth[i] > 0.5);
                    at.confusion[1].add(said[1], truth[i] > 0.5);
                }
            }
        }
        Ok(())
    }

    fn finish(&self) -> Scores {
        let at = &self.at[usize::from(!self.logits)];
        let metrics = at.confusion.map(|c| {
            let r = c.ratios();
            let all = [
                ("accuracy", r.accuracy),
                ("precision", r.precision),
                ("recall", r.recall),
                ("dice", r.dice),
                ("iou", r.iou),
            ];
            Metrics::from_iter(all.into_iter().filter(|_| self.labelled))
        });
        Scores { metrics, agreement: Some(at.agreed as f64 / self.pixels.max(1) as f64) }
    }
}

/// The labels of one sample, as many as the model has outputs.
fn mask_of(labels: &mut Labels, sample: usize, outputs: usize) -> Result<Vec<f64>, DataError> {
    let values = labels.values(sample)?;
    if values.len() != outputs {
        let what = format!("{} labels per sample, but the model has {outputs} outputs", values.len());
        return Err(labels.fault(what));
    }
    Ok(values)
}

/// The outputs are numbers.
#[derive(Default)]
pub(super) struct Regress {
    errors: [Regression; 2],
}

impl Scorer for Regress {
    fn add(&mut self, answers: &Answers, labels: Option<&mut Labels>) -> Result<(), DataError> {
        let Some(labels) = labels else { return Ok(()) };
        let targets = mask_of(labels, answers.sample, answers.values[0].len())?;
        for (errors, values) in self.errors.iter_mut().zip(answers.values) {
            errors.add(values, &targets);
        }
        Ok(())
    }

    fn finish(&self) -> Scores {
        let metrics = self.errors.map(|e| {
            let means = e.means().map(|(mse, mae)| [("mse", mse), ("mae", mae)]);
            Metrics::from_iter(means.into_iter().flatten())
        });
        Scores { metrics, agreement: None }
    }
}

/// The output is an embedding; labels, if given, score pairs of samples (2i, 2i + 1).
#[derive(Default)]
pub(super) struct Embed {
    samples: u64,
    cosines: f64,
    /// Of the even samples, until their partners come.
    waiting: [Vec<f32>; 2],
    alike: [Vec<f64>; 2],
    scores: Vec<f64>,
}

impl Scorer for Embed {
    fn add(&mut self, answers: &Answers, labels: Option<&mut Labels>) -> Result<(), DataError> {
        let vectors = answers.values.map(|v| pooled(v, answers.shape, answers.mask));
        self.samples += 1;
        self.cosines += cosine(&vectors[0], &vectors[1]);
        if answers.sample.is_multiple_of(2) {
            self.waiting = vectors;
            return Ok(());
        }
        let Some(labels) = labels else { return Ok(()) };
        let score = labels.values(answers.sample / 2)?;
        let [score] = score[..] else {
            return Err(labels.fault(format!("{} scores per pair instead of one", score.len())));
        };
        self.scores.push(score);
        for (side, vector) in vectors.iter().enumerate() {
            self.alike[side].push(cosine(&self.waiting[side], vector));
        }
        Ok(())
    }

    fn finish(&self) -> Scores {
        let cosine = self.cosines / self.samples.max(1) as f64;
        let metrics = [0, 1].map(|side| {
            let mut metrics = Metrics::from([("cosine", cosine)]);
            metrics.extend(spearman(&self.alike[side], &self.scores).map(|r| ("spearman", r)));
            metrics
        });
        Scores { metrics, agreement: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(scorer: &mut dyn Scorer, sample: usize, a: &[f32], b: &[f32]) {
        let answers = Answers { sample, values: [a, b], shape: &[1, a.len()], mask: None };
        scorer.add(&answers, None).unwrap();
    }

    #[test]
    fn classes_agree_where_the_greatest_is_the_same() {
        let mut s = Classify::default();
        add(&mut s, 0, &[1.0, 2.0], &[3.0, 4.0]);
        add(&mut s, 1, &[1.0, 2.0], &[4.0, 3.0]);
        let scores = s.finish();
        assert_eq!(scores.agreement, Some(0.5));
        assert!(scores.metrics[0].is_empty(), "no labels, no accuracy");
    }

    #[test]
    fn a_sequence_is_classified_at_its_end() {
        let (a, b) = ([9.0, 0.0, 1.0, 2.0], [0.0, 9.0, 1.0, 2.0]);
        let mut s = Classify::default();
        s.add(&Answers { sample: 0, values: [&a, &b], shape: &[2, 1, 2], mask: None }, None).unwrap();
        assert_eq!(s.finish().agreement, Some(1.0));
        assert_eq!([classes(&[1, 1000, 1, 1]), classes(&[1, 10]), classes(&[1])], [1000, 10, 1]);
    }

    #[test]
    fn masks_are_cut_at_a_half_or_at_zero() {
        let mut probabilities = Segment::default();
        add(&mut probabilities, 0, &[0.4, 0.6, 0.9, 0.1], &[0.6, 0.7, 0.8, 0.2]);
        assert_eq!(probabilities.finish().agreement, Some(0.75));
        let mut logits = Segment::default();
        add(&mut logits, 0, &[0.4, 0.6, -0.9, 0.1], &[0.6, 0.7, 0.8, 0.2]);
        assert_eq!(logits.finish().agreement, Some(0.75));
        add(&mut logits, 1, &[0.4, 0.6, 0.9, 0.1], &[0.6, 0.7, 0.8, 0.2]);
        assert_eq!(logits.finish().agreement, Some(0.875), "once a logit, always logits");
    }

    #[test]
    fn embeddings_point_the_same_way() {
        let mut s = Embed::default();
        add(&mut s, 0, &[3.0, 4.0], &[4.0, 3.0]);
        add(&mut s, 1, &[1.0, 0.0], &[2.0, 0.0]);
        let scores = s.finish();
        assert!((scores.metrics[0]["cosine"] - 0.98).abs() < 1e-12);
        assert!(!scores.metrics[0].contains_key("spearman"), "no pair scores were given");
    }
}
