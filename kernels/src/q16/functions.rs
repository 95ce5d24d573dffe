//! Functions of one element as a table of all 65,536, made when planned.

use crate::fixed;
use crate::math::double;

/// What each 16-bit integer becomes, the integer read as unsigned.
#[derive(Clone)]
pub struct Table(Box<[i16]>);

impl Table {
    fn new(mut f: impl FnMut(i32) -> i16) -> Table {
        Table((0..=u16::MAX).map(|x| f(i32::from(x as i16))).collect())
    }

    /// Looks every element up.
    pub fn run(&self, x: &[i16], y: &mut [i16]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = self.0[usize::from(x as u16)];
        }
    }

    /// `1 / (1 + exp(-x))` of integers with this scale, as integers of the scale 2^-15.
    pub fn logistic(scale: f32) -> Table {
        if scale == FIXED {
            return Table::new(|x| fixed::logistic(x) as i16);
        }
        let (input, samples) = (Input::new(scale), samples());
        Table::new(|x| {
            let x = input.apply(x);
            let at = x.unsigned_abs() as usize;
            let y = match samples.get(at >> 9..(at >> 9) + 2) {
                Some(&[a, b]) => (a << 9) + (at & 0x1ff) as i32 * (b - a),
                _ => 0x7fff << 10,
            };
            let y = if x >= 0 { y } else { (1 << 25) - y - 1 };
            ((y + (1 << 9)) >> 10) as i16
        })
    }

    /// The hyperbolic tangent of integers with this scale, as integers of the scale 2^-15: `2 logistic(2 x) - 1`.
    pub fn tanh(scale: f32) -> Table {
        if scale == FIXED || scale == 2.0 * FIXED {
            let twice = i32::from(scale != FIXED);
            return Table::new(|x| fixed::tanh((x << twice).clamp(-32768, 32767), 3) as i16);
        }
        let (input, samples) = (Input::new(scale), samples());
        Table::new(|x| {
            let x = input.apply(x);
            let at = x.unsigned_abs() as usize;
            let y = match samples.get(at >> 8..(at >> 8) + 2) {
                Some(&[a, b]) => (a << 8) + (at & 0xff) as i32 * (b - a),
                _ => 0xffff << 8,
            };
            let y = if x >= 0 { y - (1 << 23) } else { (1 << 23) - y - 1 };
            ((y + (1 << 7)) >> 8) as i16
        })
    }
}

/// The scale, 2^-12, for which both functions are fixed-point arithmetic, the hyperbolic tangent of twice that too.
const FIXED: f32 = 1.0 / 4096.0;

/// Brings inputs to steps of 1 / 12288, in which samples lie 2^9 apart (2^8 of what is doubled).
struct Input {
    multiplier: i32,
    shift: u32,
}

impl Input {
    fn new(scale: f32) -> Input {
        let (mut multiplier, mut shift) = (f64::from(scale) * 4096.0 * 3.0, 0);
        while multiplier <= 32767.0 / 2.0 && shift <= 30 {
            multiplier *= 2.0;
            shift += 1;
        }
        Input { multiplier: multiplier as i32, shift }
    }

    fn apply(&self, x: i32) -> i32 {
        let round = (1i64 << self.shift) >> 1;
        let y = (i64::from(x) * i64::from(self.multiplier) + round) >> self.shift;
        y.clamp(i64::from(i32::MIN + 1), i64::from(i32::MAX)) as i32
    }
}

/// Samples of the table that defines both functions which are one above the nearest integer.
const ABOVE: [u8; 43] = [
    4, 8, 12, 14, 15, 16, 17, 19, 20, 21, 22, 25, 27, 28, 29, 30, 31, 33, 34, 35, 37, 39, 40, 41, 43, 44, 45,
    46, 49, 50, 54, 62, 63, 64, 66, 82, 86, 93, 100, 103, 112, 116, 135,
];

/// The logistic function of i / 24, in steps of 2^-16.
fn samples() -> Vec<i32> {
    let sample = |i: u8| {
        let nearest = (65536.0 / (1.0 + double::exp(-f64::from(i) / 24.0))).round();
        // The last one is 65534.4, and stands for all that follow.
        if i == u8::MAX { 65535 } else { nearest as i32 + i32::from(ABOVE.contains(&i)) }
    };
    (0..=u8::MAX).map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_near_the_true_ones() {
        for scale in [2f32.powi(-12), 2f32.powi(-11), 1e-4, 3.3e-4, 0.01] {
            let (logistic, tanh) = (Table::logistic(scale), Table::tanh(scale));
            let x: Vec<i16> = (i16::MIN..=i16::MAX).collect();
            let mut y = [vec![0; x.len()], vec![0; x.len()]];
            logistic.run(&x, &mut y[0]);
            tanh.run(&x, &mut y[1]);
            for (i, &x) in x.iter().enumerate() {
                let real = f64::from(x) * f64::from(scale);
                let error = |y: i16, f: f64| (f64::from(y) / 32768.0 - f).abs();
                assert!(error(y[0][i], 1.0 / (1.0 + (-real).exp())) < 2e-4, "{scale} {x}");
                assert!(error(y[1][i], real.tanh()) < 4e-4, "{scale} {x}");
            }
        }
    }
}
