//! Weights to i8, biases to i32.

use super::affine;

/// The most products that one sum may have. A product is at most 255 * 127 in size; what is left of 32 bits holds
/// at least [`MIN_BIAS`].
pub(super) const MAX_PRODUCTS: usize =
    (i32::MAX / (255 * 127)) as usize - 1 - (MIN_BIAS / (255 * 127)) as usize;

/// A bias may always be as large as this, in steps.
const MIN_BIAS: i32 = 1 << 20;

/// Weights, their scales, and the bias in steps of `input scale * weight scale`, per output channel.
pub(super) struct Weights {
    /// As many as there were.
    pub codes: Vec<i8>,
    /// One per output channel.
    pub scales: Vec<f32>,
    /// One per output channel, if there was a bias or there is one now.
    pub bias: Option<Vec<i32>>,
}

/// What weights are quantized for.
pub(super) struct Target {
    /// Output channels.
    pub channels: usize,
    /// Scale of the input.
    pub input_scale: f32,
    /// Scale of the output, 1 if that is f32.
    pub output_scale: f32,
    /// All channels get the same scale.
    pub per_tensor: bool,
    /// What is known of the input.
    pub input: Option<InputMeans>,
}

/// Means of the input's channels, which the output channels share in groups.
pub(super) struct InputMeans {
    /// One per input channel.
    pub means: Vec<f64>,
    /// Groups of the convolution.
    pub groups: usize,
}

impl InputMeans {
    /// How much each output channel is off on average if its weights are off by `errors`.
    fn mean_output(&self, errors: &[f64], channels: usize) -> Option<Vec<f64>> {
        let products = errors.len().checked_div(channels)?;
        let (inputs, outputs) =
            (self.means.len().checked_div(self.groups)?, channels.checked_div(self.groups)?);
        if inputs == 0 || outputs == 0 || products == 0 || products % inputs != 0 {
            return None;
        }
        let off = |(c, row): (usize, &[f64])| {
            let means = self.means[(c / outputs).min(self.groups - 1) * inputs..].iter().take(inputs);
            row.iter().zip(means.cycle()).map(|(e, m)| e * m).sum()
        };
        Some(errors.chunks_exact(products).enumerate().map(off).collect())
    }
}

/// Quantizes weights, output channels first, symmetrically to -127..=127.
///
/// A scale is made larger than the weights ask for where the bias would not fit 32 bits beside the largest sum, or
/// where the multiplier `input scale * weight scale / output scale` would not be a normal number. A channel of
/// zeros takes the largest of the others.
///
/// Rounding errors of a channel's weights add up to an offset where the inputs are not zero on average, and behind
/// a Relu they never are. If the means of the inputs are known, the bias takes that offset back.
pub(super) fn quantize(weights: &[f32], bias: Option<&[f32]>, target: &Target) -> Weights {
    let products = (weights.len() / target.channels.max(1)).max(1);
    let largest = |row: &[f32]| f64::from(row.iter().fold(0.0f32, |m, v| m.max(v.abs())));
    let whole = largest(weights);
    let mut scales: Vec<f64> = weights
        .chunks_exact(products)
        .map(|row| match largest(row) {
            max if target.per_tensor || max == 0.0 => affine::symmetric(whole.max(max), 8),
            max => affine::symmetric(max, 8),
        })
        .collect();
    let least = least_scale(target);
    let room = f64::from(i32::MAX) - products as f64 * (255.0 * 127.0);
    for (c, scale) in scales.iter_mut().enumerate() {
        let b = bias.and_then(|b| b.get(c)).map_or(0.0, |b| f64::from(b.abs()));
        *scale = scale.max(least).max(b / f64::from(target.input_scale) / room * 1.000001);
    }
    if target.per_tensor {
        let common = scales.iter().copied().fold(0.0, f64::max);
        scales.fill(common);
    }
    let scales: Vec<f32> = scales.iter().map(|&s| s as f32).collect();
    let code = |(v, s): (&f32, f32)| affine::quantize(f64::from(*v), f64::from(s), 0, -127, 127) as i8;
    let rows = weights.chunks_exact(products).zip(&scales);
    let codes: Vec<i8> = rows.flat_map(|(row, &s)| row.iter().map(move |v| (v, s))).map(code).collect();
    let offsets = target.input.as_ref().and_then(|input| {
        let of = |(i, (v, &q)): (usize, (&f32, &i8))| {
            f64::from(q) * f64::from(scales[i / products]) - f64::from(*v)
        };
        let errors: Vec<f64> = weights.iter().zip(&codes).enumerate().map(of).collect();
        input.mean_output(&errors, target.channels)
    });
    let real_bias = (bias.is_some() || offsets.is_some()).then(|| {
        let given = |c: usize| bias.and_then(|b| b.get(c)).map_or(0.0, |b| f64::from(*b));
        let offset = |c: usize| offsets.as_ref().and_then(|o| o.get(c)).copied().unwrap_or(0.0);
        (0..scales.len()).map(move |c| given(c) - offset(c))
    });
    let step = |s: f32| f64::from(target.input_scale) * f64::from(s);
    let bias = real_bias.map(|bias| {
        let steps = bias.zip(&scales).map(|(b, &s)| b / step(s));
        steps.map(|b| b.round_ties_even().clamp(-room, room) as i32).collect()
    });
    Weights { codes, scales, bias }
}

/// The least weight scale for which it and the multiplier are normal numbers, with room to spare.
fn least_scale(target: &Target) -> f64 {
    const TINY: f64 = f32::MIN_POSITIVE as f64 * 16.0;
    TINY.max(TINY * f64::from(target.output_scale) / f64::from(target.input_scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(channels: usize) -> Target {
        Target { channels, input_scale: 0.5, output_scale: 0.25, per_tensor: false, input: None }
    }

    #[test]
    fn each_channel_has_its_scale() {
        let w = quantize(&[1.27, -0.64, 0.0127, 0.0], Some(&[1.0, -1.0]), &target(2));
        assert_eq!(w.codes, [127, -64, 127, 0]);
        assert!((w.scales[0] - 0.01).abs() < 1e-8 && (w.scales[1] - 0.0001).abs() < 1e-10);
        assert_eq!(w.bias, Some(vec![200, -20000]));
    }

    #[test]
    fn one_scale_for_all_if_asked() {
        let w = quantize(&[1.27, -0.64, 0.0127, 0.0], None, &Target { per_tensor: true, ..target(2) });
        assert_eq!(w.codes, [127, -64, 1, 0]);
        assert_eq!(w.scales[0], w.scales[1]);
    }

    #[test]
    fn a_bias_that_does_not_fit_makes_the_scale_coarser() {
        let w = quantize(&[1e-6, 1.0], Some(&[1000.0, 0.0]), &target(2));
        let bias = w.bias.unwrap()[0];
        assert!((f64::from(bias) * 0.5 * f64::from(w.scales[0]) - 1000.0).abs() < 1e-3);
        assert!(i64::from(bias) + 255 * 127 <= i64::from(i32::MAX));
        assert_eq!(w.codes[1], 127);
    }

    #[test]
    fn the_bias_takes_back_what_rounding_adds_on_average() {
        // 0.4 steps are lost in each of the small weights.
        let weights = [127.0, 0.4, 127.0, 0.4];
        let input = Some(InputMeans { means: vec![0.0, 3.0, 0.0, 5.0], groups: 2 });
        let w = quantize(&weights, None, &Target { input, ..target(2) });
        assert_eq!(w.codes, [127, 0, 127, 0]);
        let steps = [0.4 * 3.0 / 0.5, 0.4 * 5.0 / 0.5].map(|s: f64| s.round_ties_even() as i32);
        assert_eq!(w.bias, Some(steps.to_vec()));
    }

    #[test]
    fn zero_and_tiny_channels_keep_normal_multipliers() {
        for weights in [[0.0; 2], [0.0, 1.0], [1e-44, 1.0], [1e-38, 1e-38]] {
            let extreme = Target { input_scale: 1e-3, output_scale: 1e6, ..target(2) };
            let w = quantize(&weights, Some(&[0.5, 0.5]), &extreme);
            for s in w.scales {
                assert!(s.is_normal() && (1e-3 * s / 1e6).is_normal(), "{weights:?}: {s}");
            }
            assert!(w.bias.unwrap().iter().all(|b| b.unsigned_abs() < 1 << 31));
        }
    }
}
