use super::*;
use crate::testing::{Random, on_every_isa};

const DIMS: [usize; 4] = [2, 3, 5, 70];

fn subsets() -> impl Iterator<Item = Vec<usize>> {
    (0..16).map(|bits| (0..4).filter(|a| bits >> a & 1 == 1).collect())
}

/// For every output, the input offsets that it reduces, in memory order.
fn terms(axes: &[usize]) -> Vec<Vec<usize>> {
    let mut outputs: std::collections::BTreeMap<Vec<usize>, Vec<usize>> = Default::default();
    for i in 0..DIMS.iter().product() {
        let mut place = Vec::new();
        let mut rest = i;
        for &d in DIMS.iter().rev() {
            place.insert(0, rest % d);
            rest /= d;
        }
        for &a in axes {
            place[a] = 0;
        }
        outputs.entry(place).or_default().push(i);
    }
    outputs.into_values().collect()
}

#[test]
fn every_set_of_axes() {
    let len = DIMS.iter().product();
    let mut random = Random::new(2);
    let (floats, bytes) = (random.floats(len, 2.0), random.bytes(len));
    let longs: Vec<i64> = (0..len).map(|_| i64::from(random.bits() as i32)).collect();
    for axes in subsets() {
        let r = Reduction::new(&DIMS, &axes).unwrap();
        let terms = terms(&axes);
        assert_eq!((r.y_len(), r.terms()), (terms.len(), terms[0].len()), "{axes:?}");
        let count = r.terms() as f32;
        let out = Output { zero_point: 9, min: 2, max: 251 };
        let op = QReduce { x_zero_point: 100, multiplier: 0.9 / count, out };
        let mut scalar = vec![0.0; terms.len()];
        reduce_f32(crate::Isa::SCALAR, ReduceFn::Mean, &r, &floats, &mut scalar);
        on_every_isa(|isa| {
            let (mut y, mut z) = (vec![0.0; terms.len()], vec![0; terms.len()]);
            reduce_f32(isa, ReduceFn::Mean, &r, &floats, &mut y);
            assert_eq!(y, scalar, "{isa} {axes:?}");
            for (y, t) in y.iter().zip(&terms) {
                let exact = t.iter().map(|&i| f64::from(floats[i])).sum::<f64>() / f64::from(count);
                assert!((f64::from(*y) - exact).abs() < 1e-6, "{isa} {axes:?}");
            }
            reduce_f32(isa, ReduceFn::Max, &r, &floats, &mut y);
            for (y, t) in y.iter().zip(&terms) {
                assert_eq!(*y, t.iter().map(|&i| floats[i]).fold(f32::MIN, f32::max), "{isa} {axes:?}");
            }
            reduce_sum_u8(isa, &r, &op, &bytes, &mut z);
            for (z, t) in z.iter().zip(&terms) {
                let sum: i32 = t.iter().map(|&i| i32::from(bytes[i]) - 100).sum();
                let v = (sum as f32 * op.multiplier).round_ties_even() + 9.0;
                assert_eq!(*z, v.clamp(2.0, 251.0) as u8, "{isa} {axes:?}");
            }
            reduce_max(isa, &r, &bytes, &mut z);
            for (z, t) in z.iter().zip(&terms) {
                assert_eq!(*z, t.iter().map(|&i| bytes[i]).max().unwrap(), "{isa} {axes:?}");
            }
            reduce_min(isa, &r, &bytes, &mut z);
            for (z, t) in z.iter().zip(&terms) {
                assert_eq!(*z, t.iter().map(|&i| bytes[i]).min().unwrap(), "{isa} {axes:?}");
            }
        });
        let mut y = vec![0; terms.len()];
        reduce_i64(ReduceFn::Sum, &r, &longs, &mut y);
        for (y, t) in y.iter().zip(&terms) {
            assert_eq!(*y, t.iter().map(|&i| longs[i]).sum::<i64>());
        }
        reduce_i64(ReduceFn::Prod, &r, &longs, &mut y);
        for (y, t) in y.iter().zip(&terms) {
            assert_eq!(*y, t.iter().map(|&i| longs[i]).fold(1, i64::wrapping_mul));
        }
        let near_one: Vec<f32> = floats.iter().map(|v| 1.0 + v * 0.01).collect();
        let mut y = vec![0.0; terms.len()];
        reduce_f32(crate::Isa::SCALAR, ReduceFn::Prod, &r, &near_one, &mut y);
        for (y, t) in y.iter().zip(&terms) {
            let exact: f64 = t.iter().map(|&i| f64::from(near_one[i])).product();
            assert!((f64::from(*y) - exact).abs() < 1e-4 * exact, "{axes:?}");
        }
    }
}

#[test]
fn refuses_and_accepts_edges() {
    assert!(Reduction::new(&[2, 3], &[2]).is_none());
    assert!(Reduction::new(&[usize::MAX, 3], &[0]).is_none());
    let scalar = Reduction::new(&[], &[]).unwrap();
    let mut y = [0.0];
    reduce_f32(crate::Isa::SCALAR, ReduceFn::Mean, &scalar, &[4.0], &mut y);
    assert_eq!(y, [4.0]);
    let nothing = Reduction::new(&[2, 0], &[1]).unwrap();
    let mut y = [7.0; 2];
    reduce_f32(crate::Isa::SCALAR, ReduceFn::Sum, &nothing, &[], &mut y);
    assert_eq!(y, [0.0; 2]);
}

#[test]
fn greatest_index() {
    let x = [1u8, 5, 5, 0, 9, 2, 5, 9, 1, 3, 3, 3];
    let mut y = [0; 4];
    argmax([2, 3, 2], false, &x, &mut y);
    assert_eq!(y, [2, 0, 0, 0]);
    argmax([2, 3, 2], true, &x, &mut y);
    assert_eq!(y, [2, 0, 0, 0]);
    let mut y = [0; 3];
    argmax([3, 4, 1], true, &x, &mut y);
    assert_eq!(y, [2, 3, 3]);
    argmax([3, 4, 1], false, &x, &mut y);
    assert_eq!(y, [1, 0, 1]);
    let mut y = [0];
    argmax([1, 3, 1], false, &[f32::NAN, -2.0, -1.0], &mut y);
    assert_eq!(y, [2]);
}
