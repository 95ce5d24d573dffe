//! Gemm and MatMul.

use crate::build::*;
use ottava::graph::Op;
use ottava::import::onnx::proto::AttributeProto;

/// Gemm of an input `[2, 3]` and a constant that counts from 0.
fn gemm(b: &[i64], c: Option<&[i64]>, attrs: &[AttributeProto]) -> Builder {
    let model = Builder::new(13).input("a", &[2, 3]).constant(counting("b", b));
    match c {
        Some(dims) => model.constant(counting("c", dims)).node("Gemm", "a b c", "y", attrs),
        None => model.node("Gemm", "a b", "y", attrs),
    }
    .output("y")
}

#[test]
fn constant_factors_make_linear_layers() {
    let plain = gemm(&[3, 4], Some(&[4]), &[]).graph_of();
    assert!(matches!(single(&plain), Op::Linear(_)));
    let w = constant_input::<f32>(&plain, &plain.nodes[0], 1);
    assert_eq!(w, [0.0, 4.0, 8.0, 1.0, 5.0, 9.0, 2.0, 6.0, 10.0, 3.0, 7.0, 11.0]);
    assert_eq!(output_dims(&plain), [2, 4]);

    let turned = gemm(&[4, 3], None, &[int("transB", 1)]).graph_of();
    assert!(matches!(single(&turned), Op::Linear(_)));
    assert_eq!(constant_input::<f32>(&turned, &turned.nodes[0], 1)[..3], [0.0, 1.0, 2.0]);
}

#[test]
fn a_bias_is_one_value_per_column() {
    for dims in [&[4][..], &[1, 4]] {
        let g = gemm(&[3, 4], Some(dims), &[]).graph_of();
        assert_eq!(constant_input::<f32>(&g, &g.nodes[0], 2), [0.0, 1.0, 2.0, 3.0], "{dims:?}");
    }
    for dims in [&[][..], &[1], &[1, 1]] {
        let g = gemm(&[3, 4], Some(dims), &[]).graph_of();
        assert_eq!(constant_input::<f32>(&g, &g.nodes[0], 2), [0.0; 4], "{dims:?}");
    }
    // A whole matrix, or one value per row, is added behind.
    for dims in [&[2, 4][..], &[2, 1]] {
        assert_eq!(op_names(&gemm(&[3, 4], Some(dims), &[]).graph_of()), ["Linear", "Binary"], "{dims:?}");
    }
}

#[test]
fn factors_of_gemm_are_kept() {
    let attrs = [float("alpha", 0.5), float("beta", 2.0)];
    let g = gemm(&[3, 4], Some(&[4]), &attrs).graph_of();
    assert_eq!(op_names(&g), ["Linear", "Binary", "Binary", "Binary"]);
    assert_eq!(constant_input::<f32>(&g, &g.nodes[1], 1), [0.5]);
    assert_eq!(g.tensor(g.outputs[0]).name, "y");
    // What is multiplied by 0 is not there.
    assert_eq!(op_names(&gemm(&[3, 4], Some(&[4]), &[float("beta", 0.0)]).graph_of()), ["Linear"]);
    let turned = Builder::new(13).input("a", &[3, 2]).constant(counting("b", &[3, 4]));
    let turned = turned.node("Gemm", "a b", "y", &[int("transA", 1)]).output("y").graph_of();
    assert_eq!(op_names(&turned), ["Transpose", "Linear"]);
    assert!(gemm(&[3, 4], None, &[float("alpha", f32::NAN)]).refusal().contains("finite"));
    assert!(gemm(&[3, 4], None, &[int("transB", 2)]).refusal().contains("0 or 1"));
    assert!(gemm(&[2, 4], None, &[]).refusal().contains("Gemm"));
}

#[test]
fn two_inputs_are_multiplied_as_they_are() {
    let model = Builder::new(13).input("a", &[2, 3]).input("b", &[4, 3]);
    let g = model.node("Gemm", "a b", "y", &[int("transB", 1)]).output("y").graph_of();
    assert!(matches!(single(&g), Op::MatMul(m) if m.transpose_b));
    let model = Builder::new(13).input("a", &[5, 2, 3]).input("b", &[3, 4]);
    let g = model.node("MatMul", "a b", "y", &[]).output("y").graph_of();
    assert!(matches!(single(&g), Op::MatMul(m) if !m.transpose_b));
    assert_eq!(output_dims(&g), [5, 2, 4]);
}

#[test]
fn weights_are_found_behind_what_only_moves_them() {
    let model =
        Builder::new(13).input("a", &[5, 2, 3]).constant(counting("w", &[12])).constant(ints("s", &[4, 3]));
    let model = model.node("Reshape", "w s", "m", &[]).node("Identity", "m", "i", &[]);
    let model = model.node("Transpose", "i", "t", &[]).node("MatMul", "a t", "y", &[]).output("y");
    let g = model.graph_of();
    assert!(matches!(single(&g), Op::Linear(_)));
    // Turned twice: as it was.
    assert_eq!(constant_input::<f32>(&g, &g.nodes[0], 1)[..4], [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(output_dims(&g), [5, 2, 4]);
}

#[test]
fn vectors_are_rows_and_columns() {
    let product = |a: &[i64], b: &[i64]| {
        let model = Builder::new(13).input("a", a).input("b", b).node("MatMul", "a b", "y", &[]);
        output_dims(&model.output("y").graph_of())
    };
    assert!(product(&[3], &[3]).is_empty());
    assert_eq!(product(&[3], &[5, 3, 4]), [5, 4]);
    assert_eq!(product(&[5, 2, 3], &[3]), [5, 2]);
}
