//! Random data and the definition of integer convolution, written without any of the kernels' ideas.

use ottava_kernels::{ConvShape, ConvTransposeShape, Filter, Output, SLACK};

/// The whole range of u8, zero point 0.
pub const FULL: Output = Output { zero_point: 0, min: 0, max: 255 };

/// A small random generator (xorshift), the same on every run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[(self.next() % from.len() as u64) as usize]
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 24) as u8).collect()
    }
}

/// Weights, bias and multipliers of a convolution, and its input with slack.
pub struct Data {
    pub x: Vec<u8>,
    pub weights: Vec<i8>,
    /// Of the weights; none: all 0.
    pub zero_points: Vec<i16>,
    pub bias: Vec<i32>,
    pub multiplier: Vec<f32>,
    /// None, or one per channel.
    pub offset: Vec<f32>,
}

impl Data {
    /// Multipliers are such that outputs spread over the range of u8 and leave it now and then.
    pub fn random(random: &mut Random, x_len: usize, weights: usize, oc: usize) -> Data {
        let k = (weights / oc.max(1)).max(1) as f32;
        let scale = 1.0 / (60.0 * k.sqrt());
        let zero_points = match random.pick(&[true, false]) {
            true => (0..oc).map(|_| random.pick(&[0, 0, 1, -1, 20, -90, 127, -128])).collect(),
            false => vec![],
        };
        // Halves make ties; some leave the range of a byte, and of an i32.
        let offsets = [0.0, 0.5, -0.5, 1.25, -77.3, 300.0, -300.0, 3e9, -1e20];
        let offset = match random.pick(&[true, false]) {
            true => (0..oc).map(|_| random.pick(&offsets)).collect(),
            false => vec![],
        };
        Data {
            offset,
            x: random.bytes(x_len + SLACK),
            weights: random.bytes(weights).into_iter().map(|b| (b as i8).max(-127)).collect(),
            zero_points,
            bias: (0..oc).map(|_| (random.next() % 40_001) as i32 - 20_000).collect(),
            multiplier: (0..oc).map(|_| scale * (0.5 + (random.next() % 1000) as f32 / 1000.0)).collect(),
        }
    }

    /// As kernels take it.
    pub fn filter(&self) -> Filter<'_> {
        Filter {
            weights: &self.weights,
            zero_points: &self.zero_points,
            bias: &self.bias,
            multiplier: &self.multiplier,
            offset: &self.offset,
        }
    }

    /// A sum, modulo 2^32, in steps of the output.
    fn scaled(&self, sum: i64, oc: usize) -> f32 {
        let real = (sum as i32) as f32 * self.multiplier[oc];
        self.offset.get(oc).map_or(real, |offset| real + offset)
    }

    /// A weight less its zero point.
    fn weight(&self, oc: usize, at: usize) -> i64 {
        i64::from(self.weights[at]) - i64::from(self.zero_points.get(oc).copied().unwrap_or(0))
    }
}

/// `clamp(round_half_even(real) + zero_point)`
fn requantized(real: f32, out: Output) -> u8 {
    let q = f64::from(real.round_ties_even()) + f64::from(out.zero_point);
    q.clamp(f64::from(out.min), f64::from(out.max)) as u8
}

/// One padded axis: the input index under kernel position `k` of output `o`.
fn source(o: usize, k: usize, stride: usize, dilation: usize, pad: usize, len: usize) -> Option<usize> {
    (o * stride + k * dilation).checked_sub(pad).filter(|&i| i < len)
}

/// The convolution `[rows][oc]`.
pub fn conv(s: &ConvShape, d: &Data, x_zero_point: u8, out: Output) -> Vec<u8> {
    let sums = conv_sums(s, d, x_zero_point);
    sums.iter().enumerate().map(|(i, &sum)| requantized(d.scaled(sum, i % s.oc), out)).collect()
}

/// The convolution `[rows][oc]` as reals within bounds; what is not a number is the upper bound.
pub fn conv_reals(s: &ConvShape, d: &Data, x_zero_point: u8, [min, max]: [f32; 2]) -> Vec<f32> {
    let real = |(i, &sum): (usize, &i64)| {
        let real = d.scaled(sum, i % s.oc);
        let real = if real.is_nan() || real >= max { max } else { real };
        if real <= min { min } else { real }
    };
    conv_sums(s, d, x_zero_point).iter().enumerate().map(real).collect()
}

/// The exact sums of the convolution `[rows][oc]`.
pub fn conv_sums(s: &ConvShape, d: &Data, x_zero_point: u8) -> Vec<i64> {
    let (cg, og) = (s.c / s.groups, s.oc / s.groups);
    let mut y = Vec::with_capacity(s.y_len());
    for row in 0..s.rows() {
        let (n, oy, ox) = (row / (s.oh * s.ow), row / s.ow % s.oh, row % s.ow);
        for oc in 0..s.oc {
            let mut sum = i64::from(d.bias.get(oc).copied().unwrap_or(0));
            for ky in 0..s.kernel[0] {
                let Some(iy) = source(oy, ky, s.strides[0], s.dilations[0], s.pad[0], s.h) else { continue };
                for kx in 0..s.kernel[1] {
                    let Some(ix) = source(ox, kx, s.strides[1], s.dilations[1], s.pad[1], s.w) else {
                        continue;
                    };
                    for c in 0..cg {
                        let x = d.x[((n * s.h + iy) * s.w + ix) * s.c + oc / og * cg + c];
                        let w = d.weight(oc, ((oc * s.kernel[0] + ky) * s.kernel[1] + kx) * cg + c);
                        sum += (i64::from(x) - i64::from(x_zero_point)) * w;
                    }
                }
            }
            y.push(sum);
        }
    }
    y
}

/// The transposed convolution `[n][oh][ow][oc]`: every input spreads its products over the output.
pub fn conv_transpose(s: &ConvTransposeShape, d: &Data, x_zero_point: u8, out: Output) -> Vec<u8> {
    let (cg, og) = (s.c / s.groups, s.oc / s.groups);
    let mut sums: Vec<i64> = Vec::with_capacity(s.y_len());
    for _ in 0..s.n * s.oh * s.ow {
        sums.extend((0..s.oc).map(|oc| i64::from(d.bias.get(oc).copied().unwrap_or(0))));
    }
    for pixel in 0..s.n * s.h * s.w {
        let (n, iy, ix) = (pixel / (s.h * s.w), pixel / s.w % s.h, pixel % s.w);
        for ky in 0..s.kernel[0] {
            for kx in 0..s.kernel[1] {
                let oy =
                    (iy * s.strides[0] + ky * s.dilations[0]).checked_sub(s.pad[0]).filter(|&o| o < s.oh);
                let ox =
                    (ix * s.strides[1] + kx * s.dilations[1]).checked_sub(s.pad[1]).filter(|&o| o < s.ow);
                let (Some(oy), Some(ox)) = (oy, ox) else { continue };
                for oc in 0..s.oc {
                    for c in 0..cg {
                        let x = d.x[pixel * s.c + oc / og * cg + c];
                        let w = d.weight(oc, ((oc * s.kernel[0] + ky) * s.kernel[1] + kx) * cg + c);
                        sums[((n * s.oh + oy) * s.ow + ox) * s.oc + oc] +=
                            (i64::from(x) - i64::from(x_zero_point)) * w;
                    }
                }
            }
        }
    }
    sums.iter().enumerate().map(|(i, &sum)| requantized(d.scaled(sum, i % s.oc), out)).collect()
}
