//! From bytes of pixels to what a model's input takes.

use super::{DataError, InputSpec};
use crate::graph::{DType, Quant};

/// Where the channels of a sample are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Channels, height, width: as PyTorch exports.
    Nchw,
    /// Height, width, channels: as TensorFlow exports.
    Nhwc,
}

/// `real = (pixel * scale - mean) / std`, channel by channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalize {
    /// Applied first, to pixels of 0..=255.
    pub scale: f32,
    /// One value, or one per channel.
    pub mean: Vec<f32>,
    /// One value, or one per channel; not 0.
    pub std: Vec<f32>,
}

impl Default for Normalize {
    fn default() -> Normalize {
        Normalize { scale: 1.0, mean: vec![0.0], std: vec![1.0] }
    }
}

impl Normalize {
    fn check(&self, channels: usize) -> Result<(), DataError> {
        for (what, values) in [("--mean", &self.mean), ("--std", &self.std)] {
            if values.len() != 1 && values.len() != channels {
                let n = values.len();
                let told =
                    format!("{what} has {n} values, the input has {channels} channels: give 1 or {channels}");
                return Err(DataError::Options(told));
            }
        }
        let finite = |v: &[f32]| v.iter().all(|v| v.is_finite());
        if !self.scale.is_finite() || !finite(&self.mean) || !finite(&self.std) || self.std.contains(&0.0) {
            return Err(DataError::Options("--scale, --mean and --std must be finite, --std not 0".into()));
        }
        Ok(())
    }
}

/// What the reals become.
#[derive(Clone, Copy, Debug)]
enum Target {
    F32,
    F16,
    Affine { scale: f32, zero_point: f32, low: f32, high: f32 },
}

/// Turns u8 pixels into an input's elements: a table of 256 entries per channel, made once.
#[derive(Clone, Debug)]
pub(super) struct PixelEncoder {
    tables: Vec<Vec<u8>>,
    size: usize,
    /// Pixels that follow each other in the same channel.
    run: usize,
}

impl PixelEncoder {
    /// For an input whose sample has `channels` channels, laid out as `layout` says, `plane` pixels each.
    pub fn new(
        input: &InputSpec,
        normalize: Option<&Normalize>,
        channels: usize,
        plane: usize,
        layout: Layout,
    ) -> Result<PixelEncoder, DataError> {
        let run = if layout == Layout::Nchw { plane } else { 1 };
        let Some(normalize) = normalize else {
            if input.dtype == DType::U8 {
                return Ok(PixelEncoder { tables: vec![(0..=255).collect()], size: 1, run });
            }
            let fix = "say how pixels become numbers: --scale, --mean, --std for (pixel * scale - mean) / std \
                       (--scale 1 takes them as they are)";
            return Err(wrong_type(input, fix));
        };
        normalize.check(channels)?;
        let target = Target::of(input)?;
        let per_channel = normalize.mean.len().max(normalize.std.len());
        let tables = (0..per_channel).map(|c| {
            let mean = normalize.mean[c % normalize.mean.len()];
            let std = normalize.std[c % normalize.std.len()];
            (0..=255u8).flat_map(|p| target.encode((f32::from(p) * normalize.scale - mean) / std)).collect()
        });
        Ok(PixelEncoder { tables: tables.collect(), size: input.dtype.size(), run })
    }

    /// Encodes a whole sample; `out` has room for one element per pixel.
    pub fn encode(&self, pixels: &[u8], out: &mut [u8]) {
        for (i, (pixel, out)) in pixels.iter().zip(out.chunks_exact_mut(self.size)).enumerate() {
            let table = &self.tables[(i / self.run.max(1)) % self.tables.len()];
            let entry = usize::from(*pixel) * self.size;
            out.copy_from_slice(&table[entry..entry + self.size]);
        }
    }
}

impl Target {
    fn of(input: &InputSpec) -> Result<Target, DataError> {
        let single = input.quant.as_ref().and_then(Quant::single);
        let affine = |(scale, zero_point): (f32, i32), low: f32, high: f32| Target::Affine {
            scale,
            zero_point: zero_point as f32,
            low,
            high,
        };
        match (input.dtype, single) {
            (DType::F32, _) => Ok(Target::F32),
            (DType::F16, _) => Ok(Target::F16),
            (DType::U8, Some(quant)) => Ok(affine(quant, 0.0, 255.0)),
            (DType::I8, Some(quant)) => Ok(affine(quant, -128.0, 127.0)),
            _ => Err(wrong_type(input, "pixels can only become floats or quantized 8-bit integers")),
        }
    }

    fn encode(self, real: f32) -> Vec<u8> {
        match self {
            Target::F32 => real.to_le_bytes().to_vec(),
            Target::F16 => half::f16::from_f32(real).to_le_bytes().to_vec(),
            Target::Affine { scale, zero_point, low, high } => {
                let q = ((real / scale).round_ties_even() + zero_point).clamp(low, high);
                // Two's complement: the low byte is the u8 or the i8.
                vec![q as i32 as u8]
            }
        }
    }
}

fn wrong_type(input: &InputSpec, fix: &str) -> DataError {
    DataError::DType {
        input: input.name.clone(),
        wanted: input.dtype.name(),
        found: "pixels (u8)",
        fix: fix.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(dtype: DType, quant: Option<Quant>) -> InputSpec {
        InputSpec { name: "x".into(), dtype, shape: vec![1, 2, 1, 2], quant }
    }

    fn imagenet() -> Normalize {
        Normalize { scale: 1.0 / 255.0, mean: vec![0.5, 0.25], std: vec![0.5, 0.125] }
    }

    fn floats(encoder: &PixelEncoder, pixels: &[u8]) -> Vec<f32> {
        let mut out = vec![0; pixels.len() * 4];
        encoder.encode(pixels, &mut out);
        out.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }

    #[test]
    fn channels_have_their_own_numbers() {
        let normalize = imagenet();
        let nchw = PixelEncoder::new(&input(DType::F32, None), Some(&normalize), 2, 2, Layout::Nchw).unwrap();
        assert_eq!(floats(&nchw, &[0, 255, 0, 255]), [-1.0, 1.0, -2.0, 6.0]);
        let nhwc = PixelEncoder::new(&input(DType::F32, None), Some(&normalize), 2, 2, Layout::Nhwc).unwrap();
        assert_eq!(floats(&nhwc, &[0, 0, 255, 255]), [-1.0, -2.0, 1.0, 6.0]);
    }

    #[test]
    fn quantized_inputs_take_quantized_reals() {
        let i8s = input(DType::I8, Some(Quant::per_tensor(1.0, -128)));
        let encoder = PixelEncoder::new(&i8s, Some(&Normalize::default()), 1, 3, Layout::Nhwc).unwrap();
        let mut out = [0; 3];
        encoder.encode(&[0, 128, 255], &mut out);
        assert_eq!(out.map(|b| b as i8), [-128, 0, 127]);
    }

    #[test]
    fn bytes_stay_bytes() {
        let encoder = PixelEncoder::new(&input(DType::U8, None), None, 3, 1, Layout::Nhwc).unwrap();
        let mut out = [0; 3];
        encoder.encode(&[7, 0, 255], &mut out);
        assert_eq!(out, [7, 0, 255]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let f32s = input(DType::F32, None);
        let new =
            |n: Option<&Normalize>, input: &InputSpec| PixelEncoder::new(input, n, 3, 1, Layout::Nhwc).err();
        assert!(matches!(new(None, &f32s), Some(DataError::DType { .. })));
        assert!(
            matches!(new(Some(&imagenet()), &f32s), Some(DataError::Options(_))),
            "2 means for 3 channels"
        );
        let zero = Normalize { std: vec![0.0], ..Normalize::default() };
        assert!(matches!(new(Some(&zero), &f32s), Some(DataError::Options(_))));
        assert!(matches!(
            new(Some(&Normalize::default()), &input(DType::I64, None)),
            Some(DataError::DType { .. })
        ));
    }
}
