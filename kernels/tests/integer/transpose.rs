//! Every instruction set computes transposed integer convolutions to the bit as their definition says.

use crate::definition::{self, Data, FULL, Random};
use ottava_kernels::qconv::QConvTranspose;
use ottava_kernels::{ConvTransposeShape, Isa, Output};

fn check(random: &mut Random, s: ConvTransposeShape) {
    let weights = s.oc * s.kernel[0] * s.kernel[1] * (s.c / s.groups);
    let d = Data::random(random, s.x_len(), weights, s.oc);
    let x_zero_point = random.pick(&[0, 128, 255, 3]);
    let out = random.pick(&[FULL, Output { zero_point: 128, min: 0, max: 255 }]);
    let expected = definition::conv_transpose(&s, &d, x_zero_point, out);
    let y_stride = s.oc + random.pick(&[0, 3]);
    for isa in Isa::available() {
        let conv = QConvTranspose::new(isa, s, x_zero_point, out, y_stride);
        let conv = if d.offset.is_empty() { conv } else { conv.with_offsets() };
        let mut packed = vec![0; conv.packed_len()];
        conv.pack(&d.filter(), &mut packed);
        assert!(conv.accepts(&packed) && !conv.accepts(&packed[1..]));
        let mut scratch = vec![0xEE; conv.scratch_len()];
        let mut y = vec![0xA5; s.n * s.oh * s.ow * y_stride];
        // In three parts, cut where they are, also in the middle of an image.
        let lines = s.n * s.oh;
        for (start, end) in [(0, lines / 3), (lines / 3, lines / 2), (lines / 2, lines)] {
            let part = &mut y[start * s.ow * y_stride..end * s.ow * y_stride];
            conv.run(&packed, &d.x, part, start..end, &mut scratch);
        }
        for (i, row) in y.chunks(y_stride).enumerate() {
            assert_eq!(row[..s.oc], expected[i * s.oc..(i + 1) * s.oc], "{} {s:?} pixel {i}", conv.kernel());
            assert!(row[s.oc..].iter().all(|&b| b == 0xA5));
        }
    }
}

/// The output is as large as `output_pad` asks for.
fn shape(
    x: [usize; 4],
    oc: usize,
    geometry: [[usize; 2]; 4],
    cut: [usize; 2],
    output_pad: [usize; 2],
) -> Option<ConvTransposeShape> {
    let [n, h, w, c] = x;
    let [kernel, strides, dilations, pad] = geometry;
    let out = |axis: usize| {
        let full =
            (x[1 + axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1 + output_pad[axis];
        full.checked_sub(pad[axis] + cut[axis]).filter(|&o| o > 0)
    };
    let (oh, ow) = (out(0)?, out(1)?);
    Some(ConvTransposeShape { n, h, w, c, oc, kernel, strides, dilations, pad, oh, ow, groups: 1 })
}

#[test]
fn kernels_strides_dilations_and_cuts() {
    let mut random = Random::new(11);
    for kernel in [[1, 1], [2, 2], [3, 3], [4, 4], [2, 3]] {
        for strides in [[1, 1], [2, 2], [3, 1], [3, 4]] {
            for dilations in [[1, 1], [2, 2], [3, 1]] {
                for (pad, output_pad) in [([0, 0], [0, 0]), ([1, 1], [1, 1]), ([3, 2], [0, 1])] {
                    let x = [random.pick(&[1, 2]), random.pick(&[1, 3, 4]), 3, random.pick(&[1, 3, 8, 40])];
                    let geometry = [kernel, strides, dilations, pad];
                    let oc = random.pick(&[1, 6, 17, 33]);
                    if let Some(s) = shape(x, oc, geometry, pad, output_pad) {
                        check(&mut random, s);
                    }
                }
            }
        }
    }
}

#[test]
fn groups() {
    let mut random = Random::new(12);
    for groups in [2, 3] {
        let x = [1, 3, 4, 5 * groups];
        let geometry = [[3, 3], [2, 2], [1, 1], [1, 1]];
        let s = shape(x, 7 * groups, geometry, [0, 0], [0, 0]).unwrap();
        check(&mut random, ConvTransposeShape { groups, ..s });
    }
}
