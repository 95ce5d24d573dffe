//! Operators of the application: known by name to files, importers and sessions; unknown ones are refused by name.

use ottava::custom::{self, CustomOp, Input, Kernel, Parameters};
use ottava::graph::*;
use ottava::import::onnx::{self, proto::*};
use ottava::{Limits, Model, SessionOptions, format, import::ImportOptions};
use prost::Message;
use std::sync::Arc;

/// `y = a * x + b`, element by element; `a` is a parameter, `b` an optional second input.
struct Scale;

fn factor(parameters: &Parameters) -> Result<f32, String> {
    parameters.float("a").ok_or_else(|| "needs the parameter 'a'".to_string())
}

impl CustomOp for Scale {
    fn output(&self, inputs: &[Input<'_>], parameters: &Parameters) -> Result<(DType, Shape), String> {
        factor(parameters)?;
        match inputs.iter().all(|x| x.dtype == DType::F32 && x.shape == inputs[0].shape) {
            true => Ok((DType::F32, inputs[0].shape.clone())),
            false => Err("takes f32 of one shape".to_string()),
        }
    }

    fn kernel(&self, _inputs: &[Input<'_>], parameters: &Parameters) -> Result<Kernel, String> {
        let a = factor(parameters)?;
        Ok(Box::new(move |inputs, y| {
            let x: &[f32] = bytemuck::cast_slice(inputs[0]);
            let y: &mut [f32] = bytemuck::cast_slice_mut(y);
            assert_eq!(x.len(), y.len());
            for (i, y) in y.iter_mut().enumerate() {
                *y = a * x[i] + inputs.get(1).map_or(0.0, |b| bytemuck::cast_slice::<u8, f32>(b)[i]);
            }
        }))
    }
}

fn graph(name: &str, parameters: &str) -> Result<Graph, GraphError> {
    let mut b = GraphBuilder::new("net");
    let free = b.free_dim("batch");
    let x = b.input("x", DType::F32, Shape(vec![free, Dim::Fixed(3)]));
    let op = || Custom { name: name.into(), parameters: parameters.into() };
    let y = b.node("once", op(), &[x])?;
    let z = b.node("twice", op(), &[y, x])?;
    b.finish(&[z])
}

fn run(graph: Graph) -> Vec<f32> {
    let model = Model::from_graph(graph).unwrap();
    let mut session = model.session(&SessionOptions::default()).unwrap();
    session.input_mut::<f32>(0).unwrap().copy_from_slice(&[1.0, 2.0, -3.0]);
    session.run().unwrap();
    session.output::<f32>(0).unwrap().to_vec()
}

#[test]
fn files_know_it_by_name() {
    custom::register("test.Scale", Arc::new(Scale));
    let graph = graph("test.Scale", "a=2").unwrap();
    let bytes = format::write(&graph, &[]).unwrap();
    let read = format::read_bytes(bytes, &Limits::default()).unwrap().graph;
    assert_eq!(read.nodes, graph.nodes);
    assert_eq!(run(read), [5.0, 10.0, -15.0]);
}

#[test]
fn what_is_not_registered_is_named() {
    custom::register("test.Gone", Arc::new(Scale));
    let bytes = format::write(&graph("test.Gone", "a=1").unwrap(), &[]).unwrap();
    custom::unregister("test.Gone");
    let error = format::read_bytes(bytes, &Limits::default())
        .map_err(ottava::Error::from)
        .and_then(|read| Model::from_graph(read.graph))
        .and_then(|model| model.session(&SessionOptions::default()).map(drop))
        .unwrap_err()
        .to_string();
    assert!(error.contains("'test.Gone'") && error.contains("not registered"), "{error}");
}

#[test]
fn its_own_refusals_are_told() {
    custom::register("test.Strict", Arc::new(Scale));
    let error = graph("test.Strict", "b=1").unwrap_err().to_string();
    assert!(error.contains("once") && error.contains("needs the parameter 'a'"), "{error}");
}

fn onnx_model(domain: &str) -> Vec<u8> {
    let port = |name: &str| ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: data_type::FLOAT,
                shape: Some(TensorShapeProto {
                    dim: vec![DimensionProto { dim_value: Some(3), dim_param: None }],
                }),
            }),
        }),
    };
    let a = AttributeProto {
        name: "a".into(),
        r#type: attribute_type::FLOAT,
        f: 0.5,
        ..AttributeProto::default()
    };
    let node = NodeProto {
        op_type: "Scale".into(),
        domain: domain.into(),
        input: vec!["x".into()],
        output: vec!["y".into()],
        attribute: vec![a],
        ..NodeProto::default()
    };
    let version = |domain: &str| OperatorSetIdProto { domain: domain.into(), version: 13 };
    let graph = GraphProto {
        node: vec![node],
        input: vec![port("x")],
        output: vec![port("y")],
        ..GraphProto::default()
    };
    let opset_import = vec![version(""), version(domain)];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
}

#[test]
fn importers_know_it_by_domain_and_name() {
    custom::register("app.Scale", Arc::new(Scale));
    let graph = onnx::from_bytes(onnx_model("app"), &ImportOptions::default()).unwrap();
    assert_eq!(run(graph), [0.5, 1.0, -1.5]);
    let error = onnx::from_bytes(onnx_model("other"), &ImportOptions::default()).unwrap_err().to_string();
    assert!(error.contains("registered as 'other.Scale'"), "{error}");
}
