//! Two models on the same data.

use super::error_norm::ErrorNorm;
use super::scorer::{Answers, Classify, Embed, Metrics, Regress, Scorer, Segment};
use super::values::to_f32;
use super::{Mask, median};
use crate::data::{DataError, Dataset, Labels, Sample};
use crate::graph::DType;
use crate::run::Session;
use serde::Serialize;
use std::time::Instant;

/// Why two models could not be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// Their outputs can't be set against each other.
    #[error("the models have different outputs: {a} and {b}")]
    Outputs {
        /// Shapes of the one's.
        a: String,
        /// Shapes of the other's.
        b: String,
    },
    /// One of the data sets has fewer samples.
    #[error("the models' data have {a} and {b} samples")]
    Samples {
        /// For the one model.
        a: usize,
        /// For the other model.
        b: usize,
    },
    /// The data can't be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A model can't be run.
    #[error(transparent)]
    Model(#[from] crate::Error),
}

/// What a model's first output means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// The greatest value is the class. Labels: a class per sample.
    Classify,
    /// Each value says whether a pixel is positive: logits if any value lies outside of 0..=1, otherwise
    /// probabilities. Labels: a mask per sample, above 0.5 where positive.
    Segment,
    /// Values. Labels: as many targets per sample.
    Regress,
    /// An embedding ([`pooled`](super::pooled) if it is a sequence). Labels: a score for each pair of samples.
    Embed,
}

impl Task {
    /// How many labels the task needs for that many samples.
    pub fn labels(self, samples: usize) -> usize {
        if self == Task::Embed { samples / 2 } else { samples }
    }

    fn scorer(self) -> Box<dyn Scorer> {
        match self {
            Task::Classify => Box::<Classify>::default(),
            Task::Segment => Box::<Segment>::default(),
            Task::Regress => Box::<Regress>::default(),
            Task::Embed => Box::<Embed>::default(),
        }
    }
}

/// A model and the data, as its inputs take them.
pub struct Contestant<'a> {
    /// The model.
    pub session: &'a mut Session,
    /// The data.
    pub data: &'a mut Dataset,
}

/// What is told of one model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// Median time of an inference, in milliseconds.
    pub median_ms: f64,
    /// By name; which ones there are depends on the task and on whether there are labels.
    pub metrics: Metrics,
}

/// Two models on the same data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The reference.
    pub a: Side,
    /// The other.
    pub b: Side,
    /// Samples that both saw.
    pub samples: usize,
    /// Share of equal decisions: classes or pixels.
    pub agreement: Option<f64>,
    /// Signal to noise of all outputs of b against those of a, in dB; infinite if they are equal.
    pub sqnr_db: f64,
    /// The largest difference of any output value.
    pub max_abs_error: f64,
}

/// Runs both models on all samples, in turn, and says how they compare. `progress` is told how many samples are
/// done.
///
/// # Errors
/// The outputs differ in number or size, data or labels don't fit, or a model can't be run.
pub fn compare(
    a: Contestant,
    b: Contestant,
    mut labels: Option<&mut Labels>,
    task: Task,
    progress: &mut dyn FnMut(usize),
) -> Result<Comparison, CompareError> {
    let samples = a.data.len();
    if samples != b.data.len() {
        return Err(CompareError::Samples { a: samples, b: b.data.len() });
    }
    let mut scorer = task.scorer();
    let mut norm = ErrorNorm::default();
    let mut times = [Vec::new(), Vec::new()];
    let mut sides = [a, b];
    for sample in 0..samples {
        let mut answers = [Vec::new(), Vec::new()];
        let mut mask = None;
        for (i, Contestant { session, data }) in sides.iter_mut().enumerate() {
            let bytes = fit(session, data, sample)?;
            if i == 0 {
                mask = attention_mask(session, &bytes);
            }
            feed(session, &bytes)?;
            if sample == 0 {
                session.run()?;
                session.reset();
            }
            let before = Instant::now();
            session.run()?;
            times[i].push(before.elapsed().as_secs_f64() * 1e3);
            answers[i] = outputs(session)?;
        }
        check_outputs(sides[0].session, sides[1].session)?;
        let shape = sides[0].session.outputs().first().map(|o| o.shape.clone()).unwrap_or_default();
        let [a, b] = &answers;
        a.iter().zip(b).for_each(|(a, b)| norm.add(a, b));
        let (Some(first_a), Some(first_b)) = (a.first(), b.first()) else { continue };
        let answers = Answers { sample, values: [first_a, first_b], shape: &shape, mask: mask.as_ref() };
        scorer.add(&answers, labels.as_deref_mut())?;
        progress(sample + 1);
    }
    let scores = scorer.finish();
    let [metrics_a, metrics_b] = scores.metrics;
    let [times_a, times_b] = &mut times;
    Ok(Comparison {
        a: Side { median_ms: median(times_a), metrics: metrics_a },
        b: Side { median_ms: median(times_b), metrics: metrics_b },
        samples,
        agreement: scores.agreement,
        sqnr_db: norm.sqnr_db(),
        max_abs_error: norm.max_abs(),
    })
}

/// One sample of the data, with the session reshaped for it if it has shapes of its own.
///
/// # Errors
/// The sample can't be read, or the model can't run it.
pub fn fit(session: &mut Session, data: &mut Dataset, sample: usize) -> Result<Sample, CompareError> {
    if let Some(shapes) = data.shapes(sample)? {
        let shapes: Vec<_> = shapes.iter().map(|(name, dims)| (&name[..], &dims[..])).collect();
        session.reshape(&shapes)?;
    }
    Ok(data.sample(sample)?)
}

/// Puts a sample into a session's inputs. Samples have nothing to do with each other: states start anew.
pub fn feed(session: &mut Session, sample: &Sample) -> crate::Result<()> {
    session.reset();
    for (i, bytes) in sample.iter().enumerate() {
        let input = session.input_bytes_mut(i)?;
        // A data set that was checked against this session has samples of exactly this size.
        let n = input.len().min(bytes.len());
        input[..n].copy_from_slice(&bytes[..n]);
    }
    Ok(())
}

/// The reals of all outputs.
fn outputs(session: &Session) -> crate::Result<Vec<Vec<f32>>> {
    let ports = session.outputs().iter().enumerate();
    ports.map(|(i, p)| Ok(to_f32(p.dtype, p.quant.as_ref(), &p.shape, session.output_bytes(i)?))).collect()
}

/// Sequences are padded: what counts is said by an input of this name.
fn attention_mask(session: &Session, sample: &Sample) -> Option<Mask> {
    let at = session.inputs().iter().position(|i| i.name == "attention_mask")?;
    let input = &session.inputs()[at];
    let integer = !matches!(input.dtype, DType::F32 | DType::F16);
    integer.then(|| sample[at].chunks_exact(input.dtype.size()).map(|e| e.iter().any(|b| *b != 0)).collect())
}

fn check_outputs(a: &Session, b: &Session) -> Result<(), CompareError> {
    let shapes = |s: &Session| s.outputs().iter().map(|o| o.shape.clone()).collect::<Vec<_>>();
    let sizes = |s: &Session| s.outputs().iter().map(|o| o.shape.iter().product()).collect::<Vec<usize>>();
    if sizes(a) == sizes(b) {
        return Ok(());
    }
    Err(CompareError::Outputs { a: format!("{:?}", shapes(a)), b: format!("{:?}", shapes(b)) })
}
