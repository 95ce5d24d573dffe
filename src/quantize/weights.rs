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
    /// One per output channel, if there was a bias.
    pub bias: Option<Vec<i32>>,
}

/// What weights are quantized for.
pub(super) struct Target {
    /// Output channels.
    pub channels: usize,
    /// Scale of the input.
    pub input_scale: f32,
    /// Scale of the output.
    pub output_scale: f32,
    /// All channels get the same scale.
    pub per_tensor: bool,
}

/// Quantizes weights, output channels first, symmetrically to -127..=127.
///
/// A scale is made larger than the weights ask for where the bias would not fit 32 bits beside the largest sum, or
/// where the multiplier `input scale * weight scale / output scale` would not be a normal number. A channel of
/// zeros takes the largest of the others.
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
    let codes = rows.flat_map(|(row, &s)| row.iter().map(move |v| (v, s))).map(code).collect();
    let step = |s: f32| f64::from(target.input_scale) * f64::from(s);
    let bias = bias.map(|bias| {
        let steps = bias.iter().zip(&scales).map(|(b, &s)| f64::from(*b) / step(s));
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
        Target { channels, input_scale: 0.5, output_scale: 0.25, per_tensor: false }
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
