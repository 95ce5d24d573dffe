//! From accumulators to u8 or f32, the part that all channels share.

use super::dynamic::Dynamic;
use crate::Output;

/// [`Output`] in the form that kernels compute with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requantize {
    /// Added after rounding.
    pub zero_point: u8,
    /// Lowest result.
    pub min: u8,
    /// Highest result before the zero point is added.
    pub high: f32,
}

/// A sum in steps of the output (or as a real), each operation rounded once.
pub(crate) fn scaled(acc: i32, multiplier: f32, offset: Option<f32>) -> f32 {
    let real = acc as f32 * multiplier;
    match offset {
        Some(offset) => real + offset,
        None => real,
    }
}

impl Requantize {
    /// Panics if `min > max`.
    pub fn new(out: Output) -> Requantize {
        assert!(out.min <= out.max, "the range of the output is not empty");
        let high = f32::from(i16::from(out.max) - i16::from(out.zero_point));
        Requantize { zero_point: out.zero_point, min: out.min, high }
    }

    /// The definition, of what [`scaled`] gives. The upper bound is a whole number, so taking it before rounding gives
    /// the same as after it, and nothing is too large for an i32. What is not a number becomes the highest result, as
    /// the comparisons of every instruction set can have it.
    pub fn apply(&self, real: f32) -> u8 {
        let real = if real < self.high { real } else { self.high };
        let q = (real.round_ties_even() as i32).saturating_add(i32::from(self.zero_point));
        q.max(i32::from(self.min)) as u8
    }
}

/// What becomes of accumulators.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Epilogue {
    /// u8.
    Bytes(Requantize),
    /// f32: what [`scaled`] gives, within bounds.
    Reals(Bounds),
    /// i32 or f32, of an input whose quantization came with it.
    Dynamic(Dynamic),
}

impl Epilogue {
    /// Bytes of one output.
    pub fn size(&self) -> usize {
        match self {
            Epilogue::Bytes(_) => 1,
            Epilogue::Reals(_) | Epilogue::Dynamic(_) => 4,
        }
    }
}

/// Lowest and highest f32 result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub min: f32,
    pub max: f32,
}

impl Bounds {
    /// Panics if `min > max`.
    pub fn new([min, max]: [f32; 2]) -> Bounds {
        assert!(min <= max, "the range of the output is not empty");
        Bounds { min, max }
    }

    /// The definition. What is not a number becomes the highest result.
    pub fn apply(&self, real: f32) -> f32 {
        let real = if real < self.max { real } else { self.max };
        if real > self.min { real } else { self.min }
    }
}
