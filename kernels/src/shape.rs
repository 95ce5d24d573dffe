//! What convolution-like kernels are told about their geometry and their output.

/// Geometry of a convolution over NHWC, or of a matrix product ([`ConvShape::linear`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Images.
    pub n: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Input channels.
    pub c: usize,
    /// Output channels.
    pub oc: usize,
    /// Kernel height, width.
    pub kernel: [usize; 2],
    /// Down, right.
    pub strides: [usize; 2],
    /// Down, right.
    pub dilations: [usize; 2],
    /// Padding above and left of the image; what is below and right follows from `oh`, `ow`.
    pub pad: [usize; 2],
    /// Output height.
    pub oh: usize,
    /// Output width.
    pub ow: usize,
    /// `c` and `oc` are split into this many parts.
    pub groups: usize,
}

impl ConvShape {
    /// `[m, k] x [n, k]^T` as a 1x1 convolution.
    pub const fn linear(m: usize, k: usize, n: usize) -> ConvShape {
        ConvShape {
            n: 1,
            h: m,
            w: 1,
            c: k,
            oc: n,
            kernel: [1, 1],
            strides: [1, 1],
            dilations: [1, 1],
            pad: [0, 0],
            oh: m,
            ow: 1,
            groups: 1,
        }
    }

    /// Output positions: rows of the matrix product.
    pub const fn rows(&self) -> usize {
        self.n * self.oh * self.ow
    }

    /// Products per output element.
    pub const fn k(&self) -> usize {
        self.kernel[0] * self.kernel[1] * (self.c / self.groups)
    }

    /// Multiply-adds.
    pub const fn macs(&self) -> u64 {
        self.rows() as u64 * self.oc as u64 * self.k() as u64
    }

    /// Elements of the input.
    pub const fn x_len(&self) -> usize {
        self.n * self.h * self.w * self.c
    }

    /// Elements of the output.
    pub const fn y_len(&self) -> usize {
        self.rows() * self.oc
    }

    /// True if a row of the product is a row of the input as it lies in memory.
    pub const fn is_pointwise(&self) -> bool {
        self.kernel[0] == 1
            && self.kernel[1] == 1
            && self.strides[0] == 1
            && self.strides[1] == 1
            && self.pad[0] == 0
            && self.pad[1] == 0
            && self.groups == 1
            && self.oh == self.h
            && self.ow == self.w
    }

    /// True if every output channel reads exactly one input channel of its own.
    pub const fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.c && self.c == self.oc
    }
}

/// Geometry of a transposed convolution over NHWC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvTransposeShape {
    /// Images.
    pub n: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Input channels.
    pub c: usize,
    /// Output channels.
    pub oc: usize,
    /// Kernel height, width.
    pub kernel: [usize; 2],
    /// Down, right.
    pub strides: [usize; 2],
    /// Down, right.
    pub dilations: [usize; 2],
    /// Rows and columns cut off above and left of the full output; what is cut off or added below and right
    /// follows from `oh`, `ow`.
    pub pad: [usize; 2],
    /// Output height.
    pub oh: usize,
    /// Output width.
    pub ow: usize,
    /// `c` and `oc` are split into this many parts.
    pub groups: usize,
}

impl ConvTransposeShape {
    /// Elements of the input.
    pub const fn x_len(&self) -> usize {
        self.n * self.h * self.w * self.c
    }

    /// Elements of the output.
    pub const fn y_len(&self) -> usize {
        self.n * self.oh * self.ow * self.oc
    }

    /// Multiply-adds: every input element meets every weight of its channel, those that fall outside counted in.
    pub const fn macs(&self) -> u64 {
        let taps = self.kernel[0] as u64 * self.kernel[1] as u64;
        self.x_len() as u64 * taps * (self.oc / self.groups) as u64
    }
}

/// How an i32 accumulator becomes a u8: the parts that are the same for all channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// Added after rounding.
    pub zero_point: u8,
    /// Lowest result.
    pub min: u8,
    /// Highest result.
    pub max: u8,
}

/// Panics unless a window is a window: all of kernel, strides and dilations at least 1.
pub(crate) fn assert_window(kernel: [usize; 2], strides: [usize; 2], dilations: [usize; 2]) {
    let all = [kernel, strides, dilations];
    assert!(all.as_flattened().iter().all(|&v| v > 0), "kernel, strides and dilations are at least 1");
}
