//! Shapes that operators give.

use super::*;

fn conv(pads: [usize; 4], strides: [usize; 2], dilations: [usize; 2], groups: usize) -> Conv {
    Conv { strides, pads, dilations, groups, clamp: Clamp::NONE }
}

fn pool(kernel: [usize; 2], strides: [usize; 2], pads: [usize; 4], ceil: bool) -> Pool {
    let kind = PoolKind::Max;
    Pool { kind, kernel, strides, pads, dilations: [1, 1], ceil, count_include_pad: false }
}

#[test]
fn convolutions() {
    let plain = conv([1, 1, 1, 1], [2, 2], [1, 1], 1);
    assert_eq!(gives(plain, &[f(&[-1, 224, 224, 3]), f(&[32, 3, 3, 3]), f(&[32])]), "f32 [n, 112, 112, 32]");
    let depthwise = conv([1, 1, 1, 1], [1, 1], [1, 1], 8);
    assert_eq!(gives(depthwise.clone(), &[f(&[1, 5, 7, 8]), f(&[8, 3, 3, 1])]), "f32 [1, 5, 7, 8]");
    let dilated = conv([0; 4], [1, 1], [2, 3], 1);
    assert_eq!(gives(dilated, &[f(&[1, 9, 9, 4]), f(&[2, 3, 3, 4])]), "f32 [1, 5, 3, 2]");
    // What keeps the size keeps a free size; anything else gets a dimension of its own.
    assert_eq!(gives(depthwise, &[f(&[-1, -2, -2, 8]), f(&[8, 3, 3, 1])]), "f32 [n, m, m, 8]");
    let halved = conv([1, 1, 1, 1], [2, 2], [1, 1], 1);
    assert_eq!(gives(halved, &[f(&[1, -2, -2, 8]), f(&[4, 3, 3, 8])]), "f32 [1, node[1], node[2], 4]");
}

#[test]
fn convolutions_that_cannot_be() {
    let plain = conv([0; 4], [1, 1], [1, 1], 1);
    refused(plain.clone(), &[f(&[1, 5, 5, 3]), f(&[4, 3, 3, 4])], "differ in channels");
    refused(plain.clone(), &[f(&[1, 5, 5, 3]), f(&[4, 3, 3, 3]), f(&[3])], "must be [4]");
    refused(plain.clone(), &[f(&[1, 2, 5, 3]), f(&[4, 3, 3, 3])], "does not fit 2");
    refused(plain.clone(), &[f(&[5, 5, 3]), f(&[4, 3, 3, 3])], "must be [N,H,W,C]");
    refused(plain.clone(), &[f(&[1, 5, 5, 3]), f(&[4, 0, 3, 3])], "none may be 0");
    refused(plain.clone(), &[f(&[1, 5, 5, 3]), f(&[-1, 3, 3, 3])], "free dimension");
    refused(plain, &[f(&[1, 5, 5, 3])], "input 1 is missing");
    refused(conv([0; 4], [0, 1], [1, 1], 1), &[f(&[1, 5, 5, 3]), f(&[4, 3, 3, 3])], "none may be 0");
    refused(conv([0; 4], [1, 1], [1, 1], 0), &[f(&[1, 5, 5, 3]), f(&[4, 3, 3, 3])], "0 groups");
    refused(conv([0; 4], [1, 1], [1, 1], 3), &[f(&[1, 5, 5, 3]), f(&[4, 3, 3, 1])], "3 groups");
    let huge = usize::MAX;
    refused(conv([huge; 4], [1, 1], [1, 1], 1), &[f(&[1, 5, 5, 3]), f(&[4, 3, 3, 3])], "too many");
    refused(conv([0; 4], [1, 1], [huge, 1], 1), &[f(&[1, 5, 5, 3]), f(&[4, 3, 3, 3])], "too large");
    let bomb = conv([1 << 60, 1 << 60, 0, 0], [1, 1], [1, 1], 1);
    refused(bomb, &[f(&[1, 5, 5, 3]), f(&[4, 3, 3, 3])], "larger than any memory");
}

#[test]
fn transposed_convolutions() {
    let transposed = |strides, pads, output_pads| ConvTranspose {
        strides,
        pads,
        output_pads,
        dilations: [1, 1],
        groups: 1,
        clamp: Clamp::NONE,
    };
    let doubled = transposed([2, 2], [0; 4], [0, 0]);
    assert_eq!(gives(doubled, &[f(&[-1, 16, 16, 8]), f(&[4, 2, 2, 8])]), "f32 [n, 32, 32, 4]");
    let padded = transposed([2, 2], [1, 1, 1, 1], [1, 1]);
    assert_eq!(gives(padded, &[f(&[1, 7, 7, 8]), f(&[4, 3, 3, 8])]), "f32 [1, 14, 14, 4]");
    refused(transposed([2, 2], [9; 4], [0, 0]), &[f(&[1, 2, 2, 8]), f(&[4, 2, 2, 8])], "cuts off all");
    refused(transposed([2, 2], [0; 4], [0, 0]), &[f(&[1, 0, 2, 8]), f(&[4, 2, 2, 8])], "empty dimension");
    refused(transposed([usize::MAX; 2], [0; 4], [0, 0]), &[f(&[1, 3, 2, 8]), f(&[4, 2, 2, 8])], "too large");
}

#[test]
fn pooling() {
    let x = [f(&[1, 7, 7, 3])];
    assert_eq!(gives(pool([3, 3], [2, 2], [0; 4], false), &x), "f32 [1, 3, 3, 3]");
    assert_eq!(gives(pool([2, 2], [2, 2], [0; 4], false), &x), "f32 [1, 3, 3, 3]");
    assert_eq!(gives(pool([2, 2], [2, 2], [0; 4], true), &x), "f32 [1, 4, 4, 3]");
    // A last window that would start behind the input is left out.
    assert_eq!(gives(pool([1, 1], [4, 4], [0; 4], true), &[f(&[1, 6, 4, 3])]), "f32 [1, 2, 1, 3]");
    refused(pool([2, 2], [2, 2], [2, 0, 0, 0], false), &x, "as wide as the window");
    refused(pool([2, 0], [2, 2], [0; 4], false), &x, "none may be 0");
    refused(pool([2, 2], [2, 0], [0; 4], false), &x, "none may be 0");
    let gap = Pool { dilations: [3, 1], ..pool([2, 1], [1, 1], [1, 0, 3, 0], false) };
    refused(gap, &[f(&[1, 1, 1, 1])], "can miss all");
}

#[test]
fn products() {
    let linear = Linear { clamp: Clamp::NONE };
    assert_eq!(gives(linear.clone(), &[f(&[-1, 12, 384]), f(&[10, 384]), f(&[10])]), "f32 [n, 12, 10]");
    assert_eq!(gives(linear.clone(), &[f(&[384]), f(&[10, 384])]), "f32 [10]");
    refused(linear.clone(), &[f(&[1, 5]), f(&[10, 4])], "differ in length");
    refused(linear.clone(), &[f(&[]), f(&[10, 4])], "scalar");
    refused(linear.clone(), &[f(&[1, 4]), f(&[10, 4]), f(&[9])], "must be [10]");
    refused(linear, &[f(&[1, 4]), f(&[10, 4]), f(&[1, 10])], "must be a vector");
    let matmul = |transpose_b| MatMul { transpose_b };
    assert_eq!(gives(matmul(false), &[f(&[-1, 12, -2, 64]), f(&[-1, 12, 64, -2])]), "f32 [n, 12, m, m]");
    assert_eq!(gives(matmul(true), &[f(&[3, 4]), f(&[7, 2, 5, 4])]), "f32 [7, 2, 3, 5]");
    refused(matmul(false), &[f(&[3, 4]), f(&[5, 4])], "inner dimensions");
    refused(matmul(false), &[f(&[4]), f(&[4, 4])], "takes matrices");
    refused(matmul(false), &[f(&[2, 3, 4]), f(&[3, 4, 4])], "broadcast");
}

#[test]
fn elementwise() {
    let add = Binary { kind: BinaryKind::Add, clamp: Clamp::NONE };
    assert_eq!(gives(add.clone(), &[f(&[-1, 1, 5]), f(&[4, 1])]), "f32 [n, 4, 5]");
    assert_eq!(gives(add.clone(), &[f(&[-1, 3]), f(&[])]), "f32 [n, 3]");
    assert_eq!(gives(add.clone(), &[f(&[-1, 3]), f(&[8, 3])]), "f32 [8, 3]");
    assert_eq!(gives(add.clone(), &[f(&[-1, 3]), f(&[-2, 3])]), "f32 [node[0], 3]");
    refused(add.clone(), &[f(&[2, 3]), f(&[2, 4])], "broadcast");
    refused(add, &[f(&[2, 3])], "input 1 is missing");
    let less = Binary { kind: BinaryKind::Less, clamp: Clamp::NONE };
    assert_eq!(gives(less, &[f(&[2, 1]), f(&[3])]), "bool [2, 3]");
    let condition = In::Typed(DType::Bool, vec![4, 1]);
    assert_eq!(gives(Where {}, &[condition, f(&[3]), f(&[])]), "f32 [4, 3]");
    let norm = BatchNorm { axis: 1, epsilon: 1e-5 };
    assert_eq!(gives(norm.clone(), &[f(&[-1, 3]), f(&[3]), f(&[3]), f(&[3]), f(&[3])]), "f32 [n, 3]");
    refused(norm, &[f(&[-1, 3]), f(&[3]), f(&[3]), f(&[4]), f(&[3])], "must be [3]");
    let leaky = |alpha| Unary { kind: UnaryKind::LeakyRelu, alpha, beta: 0.0 };
    assert_eq!(gives(leaky(0.1), &[f(&[-1, 3])]), "f32 [n, 3]");
    refused(leaky(f32::NAN), &[f(&[-1, 3])], "NaN");
    let vain = BatchNorm { axis: 1, epsilon: f32::NAN };
    refused(vain, &[f(&[-1, 3]), f(&[3]), f(&[3]), f(&[3]), f(&[3])], "epsilon");
}

#[test]
fn reductions() {
    let mean = |axes: &[usize], keep_dims| Reduce { kind: ReduceKind::Mean, axes: axes.to_vec(), keep_dims };
    assert_eq!(gives(mean(&[1, 2], true), &[f(&[-1, 7, 7, 5])]), "f32 [n, 1, 1, 5]");
    assert_eq!(gives(mean(&[1, 2], false), &[f(&[-1, 7, 7, 5])]), "f32 [n, 5]");
    refused(mean(&[2, 1], true), &[f(&[1, 7, 7, 5])], "not ascending");
    refused(mean(&[1, 1], true), &[f(&[1, 7, 7, 5])], "not ascending");
    refused(mean(&[4], true), &[f(&[1, 7, 7, 5])], "rank 4");
    assert_eq!(gives(mean(&[1], true), &[f(&[1, 0])]), "f32 [1, 1]");
    let argmax = |axis| ArgMax { axis, keep_dims: false, select_last: false };
    assert_eq!(gives(argmax(1), &[f(&[-1, 10])]), "i64 [n]");
    refused(argmax(usize::MAX), &[f(&[1, 10])], "rank 2");
    assert_eq!(gives(Softmax { axis: 1, log: false }, &[f(&[-1, 10])]), "f32 [n, 10]");
    refused(Softmax { axis: 2, log: false }, &[f(&[-1, 10])], "axis 2");
}

#[test]
fn joining_and_cutting() {
    let concat = |axis| Concat { axis };
    assert_eq!(gives(concat(1), &[f(&[-1, 3]), f(&[4, 5]), f(&[-1, 2])]), "f32 [4, 10]");
    assert_eq!(gives(concat(0), &[f(&[-1, 3]), f(&[1, 3])]), "f32 [node[0], 3]");
    refused(concat(2), &[f(&[1, 3]), f(&[1, 3])], "axis 2");
    refused(concat(0), &[f(&[1, 3]), f(&[1, 4])], "differ in dimension 1");
    refused(concat(0), &[f(&[1, 3]), In::Missing], "input 1 is missing");
    refused(concat(0), &[], "input 0 is missing");
    let half = usize::MAX / 2 + 1;
    refused(concat(0), &[f(&[i64::MAX, 0]), f(&[i64::MAX, 0]), f(&[i64::MAX, 0])], "too large");

    let split = |sizes: &[usize]| Split { axis: 1, sizes: sizes.to_vec() };
    let parts = |sizes: &[usize], count| outputs(split(sizes), &[f(&[-1, 7])], count);
    assert_eq!(parts(&[3, 4], 2).unwrap(), ["f32 [n, 3]", "f32 [n, 4]"]);
    assert_eq!(parts(&[], 2).unwrap(), ["f32 [n, 4]", "f32 [n, 3]"]);
    assert!(parts(&[3, 3], 2).unwrap_err().contains("do not sum up"));
    assert!(parts(&[half, half, 7], 3).unwrap_err().contains("do not sum up"));
    assert!(parts(&[3, 4], 3).unwrap_err().contains("2 sizes and 3 outputs"));
    assert!(parts(&[], 5).unwrap_err().contains("can't be split"));
    assert!(parts(&[], 0).unwrap_err().contains("no output"));

    assert_eq!(gives(Gather { axis: 0 }, &[f(&[30, 8]), ints(&[1, -30])]), "f32 [2, 8]");
    let indices = In::Typed(DType::I64, vec![-1, 6]);
    assert_eq!(gives(Gather { axis: 1 }, &[f(&[2, 30, 8]), indices]), "f32 [2, n, 6, 8]");
    refused(Gather { axis: 0 }, &[f(&[30, 8]), ints(&[30])], "outside of axis 0");
    refused(Gather { axis: 0 }, &[f(&[30, 8]), ints(&[i64::MIN])], "outside of axis 0");
    refused(Gather { axis: 2 }, &[f(&[30, 8]), ints(&[0])], "axis 2");
}

#[test]
fn slicing() {
    let slice = |bounds: &[&[i64]]| {
        let mut inputs = vec![f(&[-1, 10])];
        inputs.extend(bounds.iter().map(|b| ints(b)));
        outputs(Slice {}, &inputs, 1).map(|mut o| o.remove(0))
    };
    assert_eq!(slice(&[&[2], &[i64::MAX], &[1]]).unwrap(), "f32 [n, 8]");
    assert_eq!(slice(&[&[-3], &[-1], &[-1]]).unwrap(), "f32 [n, 2]");
    assert_eq!(slice(&[&[-1], &[i64::MIN], &[1], &[-3]]).unwrap(), "f32 [n, 4]");
    assert_eq!(slice(&[&[5], &[2], &[1]]).unwrap(), "f32 [n, 0]");
    assert_eq!(slice(&[&[0], &[i64::MAX], &[0]]).unwrap(), "f32 [n, 10]");
    assert_eq!(slice(&[&[1], &[i64::MAX], &[0]]).unwrap(), "f32 [node[0], 10]");
    assert!(slice(&[&[0], &[1], &[1], &[0]]).unwrap_err().contains("is 0"));
    assert!(slice(&[&[0], &[1], &[2]]).unwrap_err().contains("axis 2"));
    assert!(slice(&[&[0, 0], &[1, 1], &[1, -1]]).unwrap_err().contains("twice"));
    assert!(slice(&[&[0, 0], &[1]]).unwrap_err().contains("different numbers"));
    assert!(slice(&[&[0, 0, 0], &[1, 1, 1]]).unwrap_err().contains("axis 2"));
}

#[test]
fn slice_bounds_follow_python() {
    for n in 0..6usize {
        for start in -8..8i64 {
            for end in -8..8i64 {
                for step in [-3, -2, -1, 1, 2, 3i64] {
                    let (first, count) = slice_bounds(n, start, end, step).unwrap();
                    let taken: Vec<i64> = (0..count as i64).map(|i| first as i64 + i * step).collect();
                    assert_eq!(taken, python(n as i64, start, end, step), "{n}[{start}:{end}:{step}]");
                }
            }
        }
    }
}

/// `list(range(n))[start:end:step]` by definition: walk from the start, take while on the right side of the end.
fn python(n: i64, start: i64, end: i64, step: i64) -> Vec<i64> {
    let lowest = if step < 0 { -1 } else { 0 };
    let highest = if step < 0 { n - 1 } else { n };
    let place = |v: i64| (if v < 0 { v + n } else { v }).max(lowest).min(highest);
    let (mut at, end) = (place(start), place(end));
    let mut taken = vec![];
    while if step < 0 { at > end } else { at < end } {
        taken.push(at);
        at += step;
    }
    taken
}

#[test]
fn reshaping() {
    let reshape = |x: &[i64], spec: &[i64]| {
        outputs(Reshape { allow_zero: false }, &[f(x), ints(spec)], 1).map(|mut o| o.remove(0))
    };
    assert_eq!(reshape(&[-1, 7, 7, 64], &[-1, 3136]).unwrap(), "f32 [n, 3136]");
    assert_eq!(reshape(&[-1, 7, 7, 64], &[0, -1]).unwrap(), "f32 [n, 3136]");
    assert_eq!(reshape(&[-1, 12], &[-1, 24]).unwrap(), "f32 [node[0], 24]");
    assert_eq!(reshape(&[-1, -2, 8], &[-1, 8]).unwrap(), "f32 [node[0], 8]");
    assert_eq!(reshape(&[-1, 10], &[1, 10]).unwrap(), "f32 [1, 10]");
    assert_eq!(reshape(&[1], &[]).unwrap(), "f32 []");
    assert_eq!(reshape(&[2, 0, 3], &[-1, 6]).unwrap(), "f32 [0, 6]");
    assert!(reshape(&[4, 6], &[-1, -1]).unwrap_err().contains("more than one"));
    assert!(reshape(&[4, 6], &[5, -1]).unwrap_err().contains("can't become"));
    assert!(reshape(&[4, 6], &[4, 7]).unwrap_err().contains("can't become"));
    assert!(reshape(&[4, 6], &[4, 6, 0]).unwrap_err().contains("copies dimension 2"));
    assert!(reshape(&[4, 6], &[-2, 6]).unwrap_err().contains("-2"));
    assert!(reshape(&[4, 6], &[1 << 62, 1 << 62]).unwrap_err().contains("more elements"));
    let zero = |spec| outputs(Reshape { allow_zero: true }, &[f(&[0, 3]), ints(spec)], 1);
    assert_eq!(zero(&[3, 0]).unwrap(), ["f32 [3, 0]"]);
    assert!(zero(&[0, -1]).unwrap_err().contains("can't become"));
    refused(Reshape { allow_zero: false }, &[f(&[4]), f(&[1])], "must be i64");
    let unknown = In::Typed(DType::I64, vec![3]);
    let three = gives(Reshape { allow_zero: false }, &[f(&[4]), unknown]);
    assert_eq!(three, "f32 [node[0], node[1], node[2]]");
    refused(Reshape { allow_zero: false }, &[f(&[4]), In::Typed(DType::I64, vec![-1])], "short vector");
    refused(Reshape { allow_zero: false }, &[f(&[4]), In::Typed(DType::I64, vec![1 << 40])], "short vector");
    refused(Reshape { allow_zero: false }, &[f(&[1]), ints(&[1; 9])], "rank 9");
}

#[test]
fn flattening_and_transposing() {
    assert_eq!(gives(Flatten { axis: 1 }, &[f(&[-1, 3, 4])]), "f32 [n, 12]");
    assert_eq!(gives(Flatten { axis: 0 }, &[f(&[2, 3])]), "f32 [1, 6]");
    assert_eq!(gives(Flatten { axis: 3 }, &[f(&[2, 3, 4])]), "f32 [24, 1]");
    assert_eq!(gives(Flatten { axis: 2 }, &[f(&[-1, 3, 4])]), "f32 [node[0], 4]");
    refused(Flatten { axis: 4 }, &[f(&[2, 3, 4])], "axis 4");
    let transpose = |perm: &[usize]| Transpose { perm: perm.to_vec() };
    assert_eq!(gives(transpose(&[0, 2, 1]), &[f(&[-1, 3, 4])]), "f32 [n, 4, 3]");
    for bad in [&[0, 1][..], &[0, 1, 1], &[0, 1, 3], &[0, 1, 2, 3], &[usize::MAX, 0, 1]] {
        refused(transpose(bad), &[f(&[2, 3, 4])], "not a permutation");
    }
    let squeeze = |axes: &[usize]| Squeeze { axes: axes.to_vec() };
    assert_eq!(gives(squeeze(&[1]), &[f(&[-1, 1, 4])]), "f32 [n, 4]");
    assert_eq!(gives(squeeze(&[]), &[f(&[1, 3, 1])]), "f32 [3]");
    assert_eq!(gives(squeeze(&[0]), &[f(&[-1, 3])]), "f32 [3]");
    refused(squeeze(&[1]), &[f(&[1, 3])], "is not 1");
    refused(squeeze(&[]), &[f(&[-1, 3])], "name the axes");
    refused(squeeze(&[2]), &[f(&[1, 3])], "rank 2");
    let unsqueeze = |axes: &[usize]| Unsqueeze { axes: axes.to_vec() };
    assert_eq!(gives(unsqueeze(&[0, 3]), &[f(&[-1, 3])]), "f32 [1, n, 3, 1]");
    refused(unsqueeze(&[3]), &[f(&[1, 3])], "rank 3");
    refused(unsqueeze(&[0, 1, 2, 3, 4, 5, 6]), &[f(&[1, 3])], "rank 9");
}

#[test]
fn padding_and_resizing() {
    let pad =
        |mode, pads: &[i64]| outputs(Pad { mode }, &[f(&[-1, 4]), ints(pads)], 1).map(|mut o| o.remove(0));
    assert_eq!(pad(PadMode::Constant, &[0, 1, 0, 2]).unwrap(), "f32 [n, 7]");
    assert_eq!(pad(PadMode::Constant, &[1, 0, 0, 0]).unwrap(), "f32 [node[0], 4]");
    assert_eq!(pad(PadMode::Reflect, &[0, 3, 0, 3]).unwrap(), "f32 [n, 10]");
    assert!(pad(PadMode::Reflect, &[0, 4, 0, 0]).unwrap_err().contains("more than 4"));
    assert!(pad(PadMode::Constant, &[0, -1, 0, 0]).unwrap_err().contains("negative"));
    assert!(pad(PadMode::Constant, &[0, 1, 0]).unwrap_err().contains("3 pads"));
    assert!(pad(PadMode::Constant, &[0, i64::MAX, 0, i64::MAX]).unwrap_err().contains("too large"));
    assert!(pad(PadMode::Constant, &[0, i64::MAX, 0, 0]).unwrap_err().contains("larger than any memory"));
    refused(Pad { mode: PadMode::Constant }, &[f(&[2]), ints(&[1, 1]), f(&[2])], "value to pad with");

    let resize =
        || Resize { mode: ResizeMode::Nearest, coord: ResizeCoord::HalfPixel, nearest: NearestMode::Floor };
    assert_eq!(gives(resize(), &[f(&[-1, 4, 4, 3]), ints(&[1, 8, 9, 3])]), "f32 [1, 8, 9, 3]");
    let scales = |s: &[f32]| In::Floats(s.to_vec());
    let x = f(&[-1, -2, 5, 3]);
    let by = |s| outputs(resize(), &[x.clone(), In::Missing, scales(s)], 1).map(|mut o| o.remove(0));
    assert_eq!(by(&[1.0, 2.0, 1.5, 1.0]).unwrap(), "f32 [n, node[1], 7, 3]");
    assert!(by(&[1.0, 2.0, f32::NAN, 1.0]).unwrap_err().contains("NaN"));
    assert!(by(&[1.0, 2.0, -1.0, 1.0]).unwrap_err().contains("not finite and positive"));
    assert!(by(&[1.0, 2.0, 0.1, 1.0]).unwrap_err().contains("can't be scaled"));
    assert!(by(&[1.0, 2.0, f32::MAX, 1.0]).unwrap_err().contains("can't be scaled"));
    assert!(by(&[1.0]).unwrap_err().contains("the scales have the shape"));
    refused(resize(), &[f(&[1, 2]), ints(&[1, 0]), scales(&[1.0, 1.0])], "either");
    refused(resize(), &[f(&[1, 2])], "either");
    refused(resize(), &[f(&[1, 2]), ints(&[1, -4])], "-4");
    refused(resize(), &[f(&[1, 0]), ints(&[1, 4])], "empty dimension");
}

#[test]
fn repeating() {
    assert_eq!(gives(Expand {}, &[f(&[-1, 1, 4]), ints(&[3, 1])]), "f32 [n, 3, 4]");
    refused(Expand {}, &[f(&[2, 4]), ints(&[3, 1])], "broadcast");
    refused(Expand {}, &[f(&[1, 4]), ints(&[-3, 1])], "-3");
    refused(Expand {}, &[f(&[1, 1]), ints(&[1 << 62, 1])], "larger than any memory");
    refused(Expand {}, &[f(&[1]), ints(&[1; 9])], "rank 9");
    assert_eq!(gives(Tile {}, &[f(&[-1, 4]), ints(&[1, 3])]), "f32 [n, 12]");
    assert_eq!(gives(Tile {}, &[f(&[-1, 4]), ints(&[2, 0])]), "f32 [node[0], 0]");
    refused(Tile {}, &[f(&[2, 4]), ints(&[1])], "1 repeats");
    refused(Tile {}, &[f(&[8, 4]), ints(&[1 << 62, 1])], "more elements");
    refused(Tile {}, &[f(&[2, 4]), ints(&[1, -1])], "-1");
    assert_eq!(gives(Fill {}, &[ints(&[2, 3]), f(&[1])]), "f32 [2, 3]");
    assert_eq!(gives(Fill {}, &[ints(&[]), f(&[])]), "f32 []");
    refused(Fill {}, &[ints(&[1 << 62]), f(&[])], "larger than any memory");
    refused(Fill {}, &[ints(&[1]), f(&[2])], "one element");
    assert_eq!(gives(ShapeOf { start: 0, end: i64::MAX }, &[f(&[-1, 2, 3])]), "i64 [3]");
    assert_eq!(gives(ShapeOf { start: -2, end: i64::MAX }, &[f(&[-1, 2, 3])]), "i64 [2]");
    assert_eq!(gives(ShapeOf { start: i64::MIN, end: -9 }, &[f(&[-1, 2, 3])]), "i64 [0]");
}
