//! What the kernels of integer convolutions and products multiply with.

/// Weights, biases and multipliers, output channels first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// `[oc][kh][kw][c / groups]`, all of -128..=127.
    pub weights: &'a [i8],
    /// Per output channel what its weights are less: products are with `weight - zero_point`, which lies within
    /// -255..=255. Empty: all 0.
    pub zero_points: &'a [i16],
    /// Per output channel, in steps of the accumulator. Empty: all 0.
    pub bias: &'a [i32],
    /// Per output channel: from steps of the accumulator to steps of the output.
    pub multiplier: &'a [f32],
    /// Per output channel, in steps of the output: added to what the multiplier gives. It holds what of a bias is no
    /// whole number of the accumulator's steps. Empty: none; only kernels made `with_offsets` take any.
    pub offset: &'a [f32],
}

impl Filter<'_> {
    /// The zero point of an output channel's weights.
    pub(crate) fn zero_point(&self, channel: usize) -> i16 {
        self.zero_points.get(channel).copied().unwrap_or(0)
    }

    /// Panics unless there are `k` weights for each of `oc` output channels, as many of all else (zero points and biases may
    /// be none), and offsets just if a kernel takes `offsets`.
    pub(crate) fn check(&self, [oc, k]: [usize; 2], offsets: bool) {
        let all_or_none = |len: usize| len == 0 || len == oc;
        assert_eq!(self.weights.len(), oc * k, "there are {k} weights for each of {oc} channels");
        assert!(all_or_none(self.zero_points.len()), "there is a zero point for every channel or none");
        assert!(all_or_none(self.bias.len()), "there is a bias for every channel or none");
        assert_eq!(self.multiplier.len(), oc, "there is a multiplier for every channel");
        let wanted = if offsets { oc } else { 0 };
        assert_eq!(self.offset.len(), wanted, "there is an offset for every channel or none");
    }

    /// The sum of the `k` weights of a channel, and its bias with `-x_zero_point * sum(w - zero point)` folded in; all of
    /// it wraps, as sums of products do.
    pub(crate) fn sum_and_bias(&self, channel: usize, k: usize, x_zero_point: u8) -> [i32; 2] {
        let weights = &self.weights[channel * k..][..k];
        let sum = weights.iter().fold(0, |sum: i32, &w| sum.wrapping_add(i32::from(w)));
        let centred = sum.wrapping_sub(i32::from(self.zero_point(channel)).wrapping_mul(k as i32));
        let shift = i32::from(x_zero_point).wrapping_mul(centred);
        [sum, self.bias.get(channel).copied().unwrap_or(0).wrapping_sub(shift)]
    }
}
