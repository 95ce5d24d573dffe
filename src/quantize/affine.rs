//! Affine quantization of plain numbers: `real = scale * (q - zero_point)`.
//!
//! Pure functions in f64, so that published numbers can be checked to the last printed digit; the pipeline rounds
//! the scales to f32 once, at the end.

/// The highest code of an unsigned integer of `bits` bits; `bits` is taken as 1 to 16.
pub fn unsigned_max(bits: u32) -> i32 {
    (1 << bits.clamp(1, 16)) - 1
}

/// The highest code of a symmetric signed integer of `bits` bits (the lowest is its negative: -128 stays unused);
/// `bits` is taken as 2 to 16.
pub fn signed_max(bits: u32) -> i32 {
    (1 << (bits.clamp(2, 16) - 1)) - 1
}

/// Scale and zero point that spread `min..=max` over `0..=2^bits - 1`. The zero point is rounded half to even and
/// clamped to the codes. An empty range gets the scale 1: it holds one value, the zero point.
pub fn asymmetric(min: f64, max: f64, bits: u32) -> (f64, i32) {
    let top = unsigned_max(bits);
    let scale = (max - min) / f64::from(top);
    if !scale.is_normal() || scale < 0.0 {
        return (1.0, (-min).round_ties_even().clamp(0.0, f64::from(top)) as i32);
    }
    (scale, (-min / scale).round_ties_even().clamp(0.0, f64::from(top)) as i32)
}

/// The scale that spreads `-max_abs..=max_abs` over the codes of [`signed_max`]. All zeros get the scale 1.
pub fn symmetric(max_abs: f64, bits: u32) -> f64 {
    let scale = max_abs.abs() / f64::from(signed_max(bits));
    if scale.is_normal() { scale } else { 1.0 }
}

/// The code of a real: `round_half_even(x / scale + zero_point)` clamped to `low..=high`. NaN becomes the zero
/// point.
pub fn quantize(x: f64, scale: f64, zero_point: i32, low: i32, high: i32) -> i32 {
    let q = x / scale + f64::from(zero_point);
    if q.is_nan() {
        return zero_point.clamp(low, high);
    }
    q.round_ties_even().clamp(f64::from(low), f64::from(high)) as i32
}

/// The real that a code stands for.
pub fn dequantize(q: i32, scale: f64, zero_point: i32) -> f64 {
    scale * (f64::from(q) - f64::from(zero_point))
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: [f64; 20] = [
        150.62, -50.23, 0., -19.75, 149.62, -49.23, 63.98, -22.26, -48.74, -32.55, 43.99, 45.24, 52.48,
        143.28, 143.56, 26.49, 46.81, -17.5, -16.16, 133.69,
    ];

    fn mse(y: &[f64]) -> f64 {
        X.iter().zip(y).map(|(a, b)| (a - b) * (a - b)).sum::<f64>() / X.len() as f64
    }

    #[test]
    fn asymmetric_numbers_of_a_known_vector() {
        let (scale, zp) = asymmetric(-50.23, 150.62, 8);
        assert_eq!((scale, zp), (0.7876470588235294, 64));
        let q: Vec<i32> = X.iter().map(|&x| quantize(x, scale, zp, 0, 255)).collect();
        let want = [255, 0, 64, 39, 254, 1, 145, 36, 2, 23, 120, 121, 131, 246, 246, 98, 123, 42, 43, 234];
        assert_eq!(q, want);
        let back: Vec<f64> = q.iter().map(|&q| dequantize(q, scale, zp)).collect();
        assert!((mse(&back) - 0.05278839100346078).abs() < 1e-14);
    }

    #[test]
    fn symmetric_numbers_of_a_known_vector() {
        let scale = symmetric(150.62, 8);
        assert_eq!(scale, 1.185984251968504);
        let q: Vec<i32> = X.iter().map(|&x| quantize(x, scale, 0, -127, 127)).collect();
        let want =
            [127, -42, 0, -17, 126, -42, 54, -19, -41, -27, 37, 38, 44, 121, 121, 22, 39, -15, -14, 113];
        assert_eq!(q, want);
        let back: Vec<f64> = q.iter().map(|&q| dequantize(q, scale, 0)).collect();
        assert!((mse(&back) - 0.1063697786595571).abs() < 1e-14);
    }

    #[test]
    fn degenerate_ranges_keep_usable_parameters() {
        assert_eq!(asymmetric(0.0, 0.0, 8), (1.0, 0));
        assert_eq!(asymmetric(0.0, 1e-320, 8), (1.0, 0));
        assert_eq!(symmetric(0.0, 8), 1.0);
        assert_eq!(quantize(f64::NAN, 1.0, 7, 0, 255), 7);
        assert_eq!(quantize(f64::INFINITY, 1.0, 7, 0, 255), 255);
    }
}
