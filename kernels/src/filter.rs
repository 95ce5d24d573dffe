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
}
