//! `docs/operators.md` lists what can be imported: it is made of the import tables, and of trying.
//!
//! With `OTTAVA_WRITE_DOCS=1` this writes the page anew.
#![cfg(feature = "import")]

#[path = "import_onnx/build.rs"]
#[allow(dead_code, reason = "made for other tests")]
mod build;

use build::{Builder, bytes, floats, int, int_list, ints, text};
use ottava::graph::{Graph, Op};
use ottava::import::onnx::proto::{AttributeProto, TensorProto, data_type};
use ottava::import::{onnx, tflite};
use ottava::optimize;
use std::fmt::Write as _;
use std::path::Path;

const TOP: &str = "# Operators

What can be imported. Made of the import tables by `tests/operator_docs.rs`; what is not listed is refused by name, as
are attributes and forms that an operator does not take.

Operators exist for float tensors; those that compute on integers take the integers too that ONNX allows, up to 64 bits
(sums of products of bytes are exact, modulo 2^32). `DOUBLE`, `FLOAT16` and `BFLOAT16` are computed in f32. `UINT16`,
`INT4`, `UINT4`, `INT2` and `UINT2` tensors can be quantized, dequantized and moved; `FLOAT8` and `FLOAT4`, strings,
complex numbers, sequences and maps can't be taken in.

**Between bytes** says what becomes of an operator that stands between `DequantizeLinear` and `QuantizeLinear` with scales per
tensor: *integers* - one node from bytes to bytes; *floats* - its inputs are dequantized. It was found by trying, products with
constant weights of bytes. A dash: the operator does not go from floats to floats, or is itself one on integers.

";

/// Constants and attributes that an operator needs behind its first inputs.
struct Example {
    /// Computed inputs.
    computed: usize,
    constants: Vec<TensorProto>,
    attributes: Vec<AttributeProto>,
}

/// A form of the operator that can be tried.
fn example(name: &str) -> Example {
    let with = |computed, constants, attributes| Example { computed, constants, attributes };
    let window = || vec![int_list("kernel_shape", &[2, 2])];
    let vector = |values: &[i64]| vec![ints("v", values)];
    match name {
        "AveragePool" | "MaxPool" | "LpPool" => with(1, vec![], window()),
        "Max" | "Min" | "Mean" | "Sum" => with(2, vec![], vec![]),
        "Concat" => with(2, vec![], vec![int("axis", 1)]),
        "Softmax" | "LogSoftmax" | "Hardmax" => with(1, vec![], vec![int("axis", 1)]),
        "Reshape" => with(1, vector(&[1, 16, 9]), vec![]),
        "Squeeze" => with(1, vector(&[0]), vec![]),
        "Unsqueeze" => with(1, vector(&[0]), vec![]),
        "Expand" => with(1, vector(&[2, 4, 6, 6]), vec![]),
        "Tile" => with(1, vector(&[2, 1, 1, 1]), vec![]),
        "Pad" => with(1, vector(&[0, 0, 1, 1, 0, 0, 1, 1]), vec![]),
        "Gather" => with(1, vector(&[2, 1]), vec![int("axis", 1)]),
        "Slice" => with(1, vec![ints("from", &[1]), ints("to", &[3]), ints("along", &[1])], vec![]),
        "Split" => with(1, vec![], vec![int("axis", 1)]),
        "Resize" => {
            let scales = vec![floats("roi", &[0], &[]), floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0])];
            with(1, scales, vec![text("mode", "nearest")])
        }
        "Upsample" => with(1, vec![floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0])], vec![]),
        "DepthToSpace" | "SpaceToDepth" => with(1, vec![], vec![int("blocksize", 2)]),
        "PRelu" => with(1, vec![floats("slope", &[1], &[0.1])], vec![]),
        "Clip" => with(1, vec![floats("low", &[], &[-1.0]), floats("high", &[], &[1.0])], vec![]),
        "ReduceSum" => with(1, vector(&[2, 3]), vec![]),
        name if name.starts_with("Reduce") => with(1, vec![], vec![int_list("axes", &[2, 3])]),
        _ => with(1, vec![], vec![]),
    }
}

/// Weights as bytes, dequantized, for the operators that multiply.
fn weights(name: &str) -> Option<&'static [i64]> {
    Some(match name {
        "Conv" | "ConvTranspose" => &[4, 4, 3, 3],
        "Gemm" | "MatMul" => &[8, 8],
        _ => return None,
    })
}

fn network(op: &onnx::Supported, opset: i64, computed: usize) -> Builder {
    let Example { constants, attributes, .. } = example(op.name);
    let dims: &[i64] = if matches!(op.name, "Gemm" | "MatMul") { &[8, 8] } else { &[1, 4, 6, 6] };
    let mut net = Builder::new(opset)
        .input("x", dims)
        .constant(floats("s", &[], &[0.02]))
        .constant(bytes("z", &[], data_type::UINT8, &[100]))
        .node("QuantizeLinear", "x s z", "xq", &[])
        .node("DequantizeLinear", "xq s z", "xr", &[]);
    let mut inputs = vec!["xr"; computed].join(" ");
    if let Some(dims) = weights(op.name) {
        let codes: Vec<i32> =
            (0..dims.iter().product::<i64>()).map(|i| (i * 37 % 255 - 127) as i32).collect();
        net = net
            .constant(bytes("w", dims, data_type::INT8, &codes))
            .constant(bytes("wz", &[], data_type::INT8, &[0]))
            .node("DequantizeLinear", "w s wz", "wr", &[]);
        inputs += " wr";
    }
    for constant in constants {
        inputs = format!("{inputs} {}", constant.name);
        net = net.constant(constant);
    }
    let outputs = if op.name == "Split" { "y0 y1" } else { "y0" };
    net.node(op.name, &inputs, outputs, &attributes)
        .node("QuantizeLinear", "y0 s z", "yq", &[])
        .node("DequantizeLinear", "yq s z", "y", &[])
        .output("y")
}

/// True if no node but the ones at the border touches floats; `None` where there is nothing left to tell.
fn in_integers(graph: Graph) -> Option<bool> {
    let graph = optimize::float(graph).ok()?;
    let border = |op: &Op| matches!(op, Op::Quantize(_) | Op::Dequantize(_));
    let mut inner = graph.nodes.iter().filter(|n| !border(&n.op)).peekable();
    inner.peek()?;
    Some(inner.all(|n| n.outputs.iter().all(|&t| !graph.tensor(t).dtype.is_float())))
}

/// What the column "between bytes" says.
fn between_bytes(op: &onnx::Supported) -> &'static str {
    if !op.domain.is_empty() || op.name.contains("Quantize") || op.name.starts_with("QLinear") {
        return "-";
    }
    // The axes of reductions are attributes before 18.
    let opset = op.since.max(17).min(op.until.unwrap_or(i64::MAX));
    let tried = [1, 2, 3].map(|n| network(op, opset, n * example(op.name).computed).import().ok());
    match tried.into_iter().flatten().next().and_then(in_integers) {
        Some(true) => "integers",
        Some(false) => "floats",
        None => "-",
    }
}

fn page() -> String {
    let mut page = String::from(TOP);
    let mut operators = onnx::operators();
    operators.sort_by_key(|op| (op.domain, op.name));
    for (title, domain) in [("ONNX", ""), ("ONNX Runtime's domain, com.microsoft", "com.microsoft")] {
        let _ = writeln!(page, "## {title}\n\n| operator | operator sets | between bytes |\n|---|---|---|");
        for op in operators.iter().filter(|op| op.domain == domain) {
            let last = op.until.unwrap_or(*onnx::OPSETS.end());
            let _ = writeln!(page, "| {} | {} to {last} | {} |", op.name, op.since, between_bytes(op));
        }
        page.push('\n');
    }
    page.push_str("## TensorFlow Lite\n\nFloat networks and networks quantized to 8 bits, or to 8 with 16-bit activations; the latter run in integers.\n\n");
    for name in tflite::operators() {
        let _ = writeln!(page, "- {name}");
    }
    page
}

#[test]
fn the_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operators.md");
    let wanted = page();
    if std::env::var_os("OTTAVA_WRITE_DOCS").is_some() {
        std::fs::write(&path, &wanted).expect("the page can be written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == wanted, "docs/operators.md is out of date: run this with OTTAVA_WRITE_DOCS=1");
}
