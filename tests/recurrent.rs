//! Recurrent layers in a network: what is not asked for, lengths that can't be, streams in pieces.

mod common;

use common::recurrent::{INPUT, Layer, layers};
use ottava::graph::*;
use ottava::{Limits, Model, Session, SessionOptions, format};

fn session(graph: Graph) -> Session {
    Model::from_graph(graph).unwrap().session(&SessionOptions::default()).unwrap()
}

fn inputs(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i * 31 % 101) as f32 / 50.0 - 1.0).collect()
}

fn bits(v: &[f32]) -> Vec<u32> {
    v.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn outputs_that_nobody_reads_change_nothing() {
    for layer in layers() {
        let graph = layer.graph(4, 3);
        let x = inputs(4 * 3 * INPUT);
        let mut all = session(graph.clone());
        all.input_mut::<f32>(0).unwrap().copy_from_slice(&x);
        all.run().unwrap();
        for i in 0..graph.outputs.len() {
            let mut one = session(Graph { outputs: vec![graph.outputs[i]], ..graph.clone() });
            one.input_mut::<f32>(0).unwrap().copy_from_slice(&x);
            one.run().unwrap();
            assert_eq!(bits(one.output(0).unwrap()), bits(all.output(i).unwrap()), "{:?}", layer.op);
        }
    }
}

#[test]
fn a_stream_in_pieces_is_the_whole() {
    for layer in layers().iter().filter(|l| l.op.direction == Direction::Forward && !l.op.batch_first) {
        let (steps, batch) = (6, 2);
        let x = inputs(steps * batch * INPUT);
        let mut whole = session(layer.graph(steps, batch));
        whole.input_mut::<f32>(0).unwrap().copy_from_slice(&x);
        whole.run().unwrap();
        let mut piece = session(layer.graph(2, batch));
        let mut y = Vec::new();
        for x in x.chunks(2 * batch * INPUT) {
            piece.input_mut::<f32>(0).unwrap().copy_from_slice(x);
            piece.run().unwrap();
            y.extend_from_slice(piece.output::<f32>(0).unwrap());
            for i in 0..layer.states().len() {
                let state = piece.output::<f32>(1 + i).unwrap().to_vec();
                piece.input_mut::<f32>(1 + i).unwrap().copy_from_slice(&state);
            }
        }
        assert_eq!(bits(&y), bits(whole.output(0).unwrap()), "{:?}", layer.op);
        assert_eq!(bits(piece.output(1).unwrap()), bits(whole.output(1).unwrap()), "{:?}", layer.op);
    }
}

#[test]
fn lengths_that_can_not_be_are_refused() {
    let layer = Layer::new(Recurrent::new(RecurrentCell::Gru, Direction::Reverse), 4);
    let mut graph = layer.graph(3, 2);
    let lengths = graph.add_tensor(Tensor::value("lengths", DType::I32, Shape::fixed(&[2])));
    graph.inputs.push(lengths);
    graph.nodes[0].inputs[4] = Some(lengths);
    let mut session = session(graph);
    for lengths in [[0, 3], [2, 1]] {
        session.input_mut::<i32>(2).unwrap().copy_from_slice(&lengths);
        session.run().unwrap();
    }
    for lengths in [[4, 1], [1, -1], [i32::MIN, 0]] {
        session.input_mut::<i32>(2).unwrap().copy_from_slice(&lengths);
        let error = session.run().unwrap_err().to_string();
        assert!(error.contains("'layer'"), "{error}");
    }
}

#[test]
fn layers_survive_a_file() {
    for layer in layers() {
        let graph = layer.graph(2, 1);
        let bytes = format::write(&graph, &[]).unwrap();
        let model = Model::from_bytes(bytes, &Limits::default()).unwrap();
        assert_eq!(model.graph(), &graph);
    }
}

#[test]
fn weights_of_another_size_are_refused() {
    let layer = Layer::new(Recurrent::new(RecurrentCell::Lstm, Direction::Forward), 4);
    for (input, dims) in [(1, [16, 6]), (1, [15, 5]), (2, [16, 5]), (3, [1, 17])] {
        let mut graph = layer.graph(2, 1);
        let id = graph.nodes[0].input(input).unwrap();
        let zeros = vec![0f32; dims.iter().product()];
        let name = graph.tensor(id).name.clone();
        *graph.tensor_mut(id) = Tensor::constant(name, DType::F32, &dims, Data::from_slice(&zeros));
        let error = infer::check(&mut graph).unwrap_err().to_string();
        assert!(error.contains("'layer'") && error.contains("it must be"), "{error}");
    }
}

#[test]
fn sizes_that_overflow_are_refused() {
    let mut b = GraphBuilder::new("huge");
    let x = b.input("x", DType::F32, Shape::fixed(&[1 << 40, 1 << 40, 0]));
    let (w, r) = (b.f32s("w", &[1, 0], &[]), b.f32s("r", &[1, 1], &[0.5]));
    let op = Recurrent::new(RecurrentCell::Rnn, Direction::Forward);
    let error = b.node("layer", op, &[x, w, r]).unwrap_err().to_string();
    assert!(error.contains("larger than any memory"), "{error}");
    let mut b = GraphBuilder::new("empty");
    let x = b.input("x", DType::F32, Shape::fixed(&[1 << 30, 1 << 30, 0]));
    let (w, r) = (b.f32s("w", &[0, 0], &[]), b.f32s("r", &[0, 0], &[]));
    let op = Recurrent::new(RecurrentCell::Rnn, Direction::Forward);
    let y = b.node("layer", op, &[x, w, r]).unwrap();
    let model = Model::from_graph(b.finish(&[y]).unwrap()).unwrap();
    let error = model.session(&SessionOptions::default()).err().unwrap().to_string();
    assert!(error.contains("'layer'"), "{error}");
}
