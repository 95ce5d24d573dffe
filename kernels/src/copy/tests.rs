use super::*;
use crate::testing::{Random, on_every_isa};

/// The position of element `i` in a dense tensor.
fn place(dims: &[usize], mut i: usize) -> Vec<usize> {
    let mut place = vec![0; dims.len()];
    for (p, &d) in place.iter_mut().zip(dims).rev() {
        *p = i % d;
        i /= d;
    }
    place
}

fn index(dims: &[usize], place: &[usize]) -> usize {
    dims.iter().zip(place).fold(0, |at, (&d, &p)| at * d + p)
}

fn numbered(dims: &[usize]) -> Vec<u32> {
    (0..dims.iter().product::<usize>() as u32).collect()
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![vec![]];
    }
    let shorter = permutations(n - 1);
    let with_last = |at: usize| {
        let insert = move |p: &Vec<usize>| {
            let mut p = p.clone();
            p.insert(at, n - 1);
            p
        };
        shorter.iter().map(insert).collect::<Vec<_>>()
    };
    (0..n).flat_map(with_last).collect()
}

#[test]
fn every_permutation() {
    for dims in [
        vec![],
        vec![7],
        vec![3, 50],
        vec![1, 65, 33],
        vec![2, 3, 1, 5],
        vec![2, 3, 4, 35],
        // Planes as long as some vectors and a bit more.
        vec![2, 131],
        vec![3, 200],
        vec![4, 259],
        vec![3, 2, 2, 4, 3],
    ] {
        for perm in permutations(dims.len()) {
            let out: Vec<usize> = perm.iter().map(|&p| dims[p]).collect();
            let x = numbered(&dims);
            let bytes: Vec<u8> = x.iter().map(|&v| v as u8).collect();
            let longs: Vec<u64> = x.iter().map(|&v| u64::from(v)).collect();
            let transpose = Transpose::new(&dims, &perm).unwrap();
            let [rows, row_len] = transpose.rows();
            assert_eq!(rows * row_len, x.len());
            on_every_isa(|isa| {
                let (mut y, mut y1, mut y8) = (vec![0; x.len()], vec![0; x.len()], vec![0; x.len()]);
                transpose.run(isa, &x, &mut y, 0..rows);
                // In two parts.
                for part in [0..rows / 3, rows / 3..rows] {
                    let range = part.start * row_len..part.end * row_len;
                    transpose.run(isa, &bytes, &mut y1[range.clone()], part.clone());
                    transpose.run(isa, &longs, &mut y8[range], part);
                }
                for i in 0..x.len() {
                    let to = place(&out, i);
                    let mut from = vec![0; dims.len()];
                    for (axis, &p) in perm.iter().enumerate() {
                        from[p] = to[axis];
                    }
                    let expected = index(&dims, &from) as u32;
                    assert_eq!(
                        (y[i], y1[i], y8[i]),
                        (expected, expected as u8, expected.into()),
                        "{isa} {dims:?} {perm:?}"
                    );
                }
            });
        }
    }
    assert!(Transpose::new(&[2, 3], &[0, 0]).is_none());
    assert!(Transpose::new(&[2, 3], &[0]).is_none());
    assert!(Transpose::new(&[2, 0, 3], &[2, 1, 0]).unwrap().is_empty());
}

#[test]
fn slices() {
    let dims = [4, 5, 6];
    let x = numbered(&dims);
    for (starts, steps, out) in [
        ([0, 0, 0], [1, 1, 1], [4, 5, 6]),
        ([1, 0, 0], [1, 1, 1], [2, 5, 6]),
        ([3, 4, 5], [-1, -2, -1], [4, 3, 6]),
        ([0, 1, 5], [3, 2, -5], [2, 2, 2]),
        ([2, 2, 2], [7, 7, 7], [1, 1, 1]),
    ] {
        let slice = Slice::new(&dims, &starts, &steps, &out).unwrap();
        let mut y = vec![0; slice.len()];
        slice.run(&x, &mut y);
        for (i, &y) in y.iter().enumerate() {
            let from: Vec<usize> = (place(&out, i).iter().enumerate())
                .map(|(a, &p)| starts[a].wrapping_add_signed(steps[a] * p as isize))
                .collect();
            assert_eq!(y as usize, index(&dims, &from), "{starts:?} {steps:?}");
        }
    }
    assert!(Slice::new(&dims, &[0, 0, 0], &[1, 1, 1], &[4, 5, 7]).is_none());
    assert!(Slice::new(&dims, &[0, 0, 0], &[1, -1, 1], &[4, 2, 6]).is_none());
    assert!(Slice::new(&dims, &[4, 0, 0], &[1, 1, 1], &[1, 1, 1]).is_none());
    assert!(Slice::new(&dims, &[0, 0, 0], &[isize::MAX, 1, 1], &[3, 1, 1]).is_none());
    assert!(Slice::new(&dims, &[9, 0, 0], &[1, 1, 1], &[0, 1, 1]).unwrap().is_empty());
}

#[test]
fn pads() {
    let dims = [3, 4];
    let x = numbered(&dims);
    for (mode, source) in [
        (PadMode::Constant, (|i, n| if (0..n).contains(&i) { i } else { -1 }) as fn(i64, i64) -> i64),
        (PadMode::Edge, |i, n| i.clamp(0, n - 1)),
        (PadMode::Reflect, |i: i64, n| {
            if i < 0 {
                -i
            } else if i >= n {
                2 * (n - 1) - i
            } else {
                i
            }
        }),
    ] {
        for (before, after) in [([1, 2], [2, 3]), ([0, 0], [0, 0]), ([-1, 2], [1, -2]), ([2, -1], [-2, 0])] {
            let pad = Pad::new(&dims, &before, &after, mode).unwrap();
            let out = [0, 1].map(|a| (dims[a] as i64 + before[a] + after[a]) as usize);
            let mut y = vec![0; pad.len()];
            pad.run(99, &x, &mut y);
            assert_eq!(y.len(), out[0] * out[1]);
            for (i, &y) in y.iter().enumerate() {
                let at = [0, 1].map(|a| source(place(&out, i)[a] as i64 - before[a], dims[a] as i64));
                let expected = if at.contains(&-1) { 99 } else { (at[0] * 4 + at[1]) as u32 };
                assert_eq!(y, expected, "{mode:?} {before:?} {after:?}");
            }
        }
    }
    assert!(Pad::new(&dims, &[-4, 0], &[0, 0], PadMode::Constant).is_none());
    assert!(Pad::new(&dims, &[i64::MAX, 0], &[i64::MAX, 0], PadMode::Constant).is_none());
    assert!(Pad::new(&[0], &[1], &[0], PadMode::Edge).is_none());
    let mut y = [0; 2];
    Pad::new(&[0], &[1], &[1], PadMode::Constant).unwrap().run(5, &[], &mut y);
    assert_eq!(y, [5, 5]);
    let mut y = [0; 1];
    Pad::new(&[], &[], &[], PadMode::Edge).unwrap().run(5, &[8], &mut y);
    assert_eq!(y, [8]);
}

#[test]
fn reflections_of_any_length() {
    let mut y = [0; 11];
    Pad::new(&[3], &[4], &[4], PadMode::Reflect).unwrap().run(0, &[1, 2, 3], &mut y);
    assert_eq!(y, [1, 2, 3, 2, 1, 2, 3, 2, 1, 2, 3]);
}

#[test]
fn blocks_and_rows() {
    // Lengths that have loops of their own, and those around them.
    for len in [0, 1, 7, 8, 9, 16, 17, 31, 32, 33, 63, 64, 65, 129] {
        for (x_stride, y_stride) in [(len, len + 4), (len + 3, len), (len, len), (len + 1, 2 * len)] {
            for blocks in [0, 1, 4] {
                // The last block has no room behind it.
                let end = |stride: usize| if blocks == 0 { 0 } else { (blocks - 1) * stride + len };
                let x = Random::new(1).bytes(end(x_stride));
                let mut y = vec![77; end(y_stride)];
                copy_blocks(&x, &mut y, blocks, len, x_stride, y_stride);
                for (i, &y) in y.iter().enumerate() {
                    let (block, at) = (i / y_stride, i % y_stride);
                    let want = if at < len { x[block * x_stride + at] } else { 77 };
                    assert_eq!(y, want, "{blocks} blocks of {len}, {x_stride} and {y_stride} apart: {i}");
                }
            }
        }
    }
    let x = Random::new(1).bytes(24);
    let mut y = vec![0; 2 * 4 * 3];
    gather([2, 4, 3], &x, &[3, -4, 1, -1], &mut y).unwrap();
    assert_eq!(y[..12], [&x[9..12], &x[..3], &x[3..6], &x[9..12]].concat());
    assert_eq!(y[12..15], x[21..24]);
    for index in [4, -5, i64::MIN, i64::MAX] {
        let error = gather([2, 4, 3], &x, &[index], &mut y).unwrap_err();
        assert_eq!(error, IndexError { index, len: 4 });
    }
}
