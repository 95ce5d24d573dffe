//! Sums of integer products whose factors are both computed, or of types that have no packed form: plain loops, all of
//! it modulo 2^32.

use crate::ConvShape;
use crate::multiversion::multiversion;
use crate::quantize::Int8;

/// Zero points of an operand: one, or one per output column.
#[derive(Clone, Copy, Debug)]
pub struct Zeros<'a>(pub &'a [i32]);

impl Zeros<'_> {
    #[inline(always)]
    fn at(&self, column: usize) -> i32 {
        match self.0 {
            [] => 0,
            [one] => *one,
            all => all[column],
        }
    }
}

multiversion! {
    /// `y[m][n] = sum over k of (a[m][k] - a_zero) * (b[k][n] - b_zero[n])`, dims = m, k, n.
    ///
    /// Panics if a slice is too short.
    pub fn matmul_sums<A: Int8, B: Int8>(
        dims: [usize; 3], a: &[A], a_zero: i32, b: &[B], b_zero: Zeros<'_>, y: &mut [i32],
    ) => matmul_body
}

#[inline(always)]
fn matmul_body<A: Int8, B: Int8>(
    [m, k, n]: [usize; 3],
    a: &[A],
    a_zero: i32,
    b: &[B],
    b_zero: Zeros<'_>,
    y: &mut [i32],
) {
    let (a, b, y) = (&a[..m * k], &b[..k * n], &mut y[..m * n]);
    y.fill(0);
    if n == 0 {
        return;
    }
    for (i, y) in y.chunks_exact_mut(n).enumerate() {
        let mut total = 0i32;
        for (&a, b) in a[i * k..][..k].iter().zip(b.chunks_exact(n)) {
            let a = a.widen() - a_zero;
            total = total.wrapping_add(a);
            for (y, &b) in y.iter_mut().zip(b) {
                *y = y.wrapping_add(a * b.widen());
            }
        }
        for (column, y) in y.iter_mut().enumerate() {
            *y = y.wrapping_sub(total.wrapping_mul(b_zero.at(column)));
        }
    }
}

multiversion! {
    /// The convolution `[rows][oc]` of x `[N,H,W,C]` and w `[O,KH,KW,C/groups]`; outside of the image lies `x_zero`.
    ///
    /// Panics if a slice is too short or the groups don't divide the channels.
    pub fn conv_sums<A: Int8, B: Int8>(
        shape: &ConvShape, x: &[A], x_zero: i32, w: &[B], w_zero: Zeros<'_>, y: &mut [i32],
    ) => conv_body
}

#[inline(always)]
fn conv_body<A: Int8, B: Int8>(
    s: &ConvShape,
    x: &[A],
    x_zero: i32,
    w: &[B],
    w_zero: Zeros<'_>,
    y: &mut [i32],
) {
    let (cg, og) = (s.c / s.groups, s.oc / s.groups);
    if s.oc == 0 {
        return;
    }
    for (row, y) in y[..s.rows() * s.oc].chunks_exact_mut(s.oc).enumerate() {
        let (image, oy, ox) = (row / s.ow / s.oh, row / s.ow % s.oh, row % s.ow);
        for (o, y) in y.iter_mut().enumerate() {
            let zero = w_zero.at(o);
            *y = 0;
            for ky in 0..s.kernel[0] {
                let iy = (oy * s.strides[0] + ky * s.dilations[0]).wrapping_sub(s.pad[0]);
                for kx in 0..s.kernel[1] {
                    let ix = (ox * s.strides[1] + kx * s.dilations[1]).wrapping_sub(s.pad[1]);
                    if iy >= s.h || ix >= s.w {
                        continue;
                    }
                    let x = &x[((image * s.h + iy) * s.w + ix) * s.c + o / og * cg..][..cg];
                    let w = &w[((o * s.kernel[0] + ky) * s.kernel[1] + kx) * cg..][..cg];
                    let mut sum = 0i32;
                    for (&x, &w) in x.iter().zip(w) {
                        sum = sum.wrapping_add((x.widen() - x_zero) * (w.widen() - zero));
                    }
                    *y = y.wrapping_add(sum);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, on_every_isa};

    #[test]
    fn both_ways_to_multiply_agree() {
        let mut random = Random::new(4);
        for [m, k, n] in [[1, 1, 1], [3, 17, 5], [2, 64, 33], [4, 0, 3], [0, 2, 2], [2, 3, 0]] {
            let a = random.bytes(m * k);
            let b: Vec<i8> = random.bytes(k * n).into_iter().map(|b| b as i8).collect();
            let turned: Vec<i8> = (0..n * k).map(|i| b[i % k * n + i / k]).collect();
            let per_column: Vec<i32> = (0..n).map(|i| i as i32 * 5 - 100).collect();
            for zeros in [&[][..], &[-128], &per_column] {
                on_every_isa(|isa| {
                    let mut product = vec![77; m * n];
                    matmul_sums(isa, [m, k, n], &a, 200, &b, Zeros(zeros), &mut product);
                    let mut conv = vec![77; m * n];
                    let shape = ConvShape::linear(m, k, n);
                    conv_sums(isa, &shape, &a, 200, &turned, Zeros(zeros), &mut conv);
                    assert_eq!(product, conv, "{isa} {m} {k} {n}");
                    for (i, y) in product.iter().enumerate() {
                        let zero = Zeros(zeros).at(i % n);
                        let sum = (0..k).map(|p| {
                            (i32::from(a[i / n * k + p]) - 200) * (i32::from(b[p * n + i % n]) - zero)
                        });
                        assert_eq!(*y, sum.sum::<i32>(), "{isa} {m} {k} {n} at {i}");
                    }
                });
            }
        }
    }
}
