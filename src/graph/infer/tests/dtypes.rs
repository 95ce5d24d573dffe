//! Element types that operators take and give.

use super::*;

fn typed(dtype: DType, dims: &[i64]) -> In {
    In::Typed(dtype, dims.to_vec())
}

#[test]
fn an_operator_over_u8_is_an_integer_one() {
    let linear = Linear { clamp: Clamp::NONE };
    let quantized = [typed(DType::U8, &[1, 4]), typed(DType::I8, &[2, 4]), typed(DType::I32, &[2])];
    assert_eq!(gives(linear.clone(), &quantized), "u8 [1, 2]");
    assert_eq!(gives(linear.clone(), &[f(&[1, 4]), typed(DType::I8, &[2, 4])]), "f32 [1, 2]");
    refused(linear.clone(), &[typed(DType::I8, &[1, 4]), typed(DType::I8, &[2, 4])], "can't take i8");
    refused(linear.clone(), &[typed(DType::U8, &[1, 4]), f(&[2, 4])], "can't take u8");
    let [u8s, i8s] = [typed(DType::U8, &[1, 4]), typed(DType::I8, &[2, 4])];
    assert_eq!(gives(linear.clone(), &[u8s.clone(), i8s.clone(), f(&[2])]), "u8 [1, 2]");
    refused(linear, &[u8s, i8s, typed(DType::I64, &[2])], "it must be i32");
}

#[test]
fn types_that_do_not_go_together() {
    let add = Binary { kind: BinaryKind::Add, clamp: Clamp::NONE };
    refused(add.clone(), &[f(&[1]), typed(DType::I64, &[1])], "is i64, it must be f32");
    refused(add, &[typed(DType::Bool, &[1]), typed(DType::Bool, &[1])], "is bool");
    refused(Where {}, &[f(&[1]), f(&[1]), f(&[1])], "it must be bool");
    refused(Concat { axis: 0 }, &[f(&[1]), typed(DType::U8, &[1])], "is u8");
    let not = Unary { kind: UnaryKind::Not, alpha: 0.0, beta: 0.0 };
    refused(not, &[f(&[1])], "it must be bool");
    let exp = Unary { kind: UnaryKind::Exp, alpha: 0.0, beta: 0.0 };
    refused(exp, &[typed(DType::I64, &[1])], "is i64");
}

#[test]
fn some_operators_are_told_what_they_give() {
    refused(Cast {}, &[f(&[1])], "must be given");
    let mut b = builder();
    let x = b.input("x", DType::F32, shape(&[-1, 3]));
    let template = Tensor::value("q", DType::U8, Shape::default()).with_quant(Quant::per_tensor(0.5, 3));
    let q = b.node_as("quantize", Quantize {}, &[x], template).unwrap();
    let tensor = b.graph().tensor(q);
    assert_eq!((tensor.dtype, tensor.quant.as_ref().unwrap().single()), (DType::U8, Some((0.5, 3))));
    assert_eq!(tensor.shape, shape(&[-1, 3]));
    let wrong = Tensor::value("f", DType::F32, Shape::default());
    let error = b.node_as("again", Quantize {}, &[x], wrong).unwrap_err().to_string();
    assert!(error.contains("declared to be f32"), "{error}");
    let wrong = Tensor::value("s", DType::I32, Shape::default());
    let error = b.node_as("shape", ShapeOf { start: 0, end: 9 }, &[x], wrong).unwrap_err().to_string();
    assert!(error.contains("declared to be i32"), "{error}");
}

#[test]
fn a_scale_that_overflows_is_refused() {
    let graph = |scale| {
        let mut b = builder();
        let x = b.input("x", DType::F32, shape(&[2]));
        let template =
            Tensor::value("q", DType::U8, Shape::default()).with_quant(Quant::per_tensor(scale, 3));
        let q = b.node_as("quantize", Quantize {}, &[x], template).unwrap();
        b.finish(&[q])
    };
    graph(f32::MAX / 255.0).unwrap();
    let error = graph(f32::MAX / 254.0).unwrap_err().to_string();
    assert!(error.contains("its reals overflow"), "{error}");
}
