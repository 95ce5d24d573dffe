//! States: a session feeds them by itself, keeps them through failed runs, and gives and takes them as bytes.

mod common;

use ottava::graph::*;
use ottava::{Limits, Model, Session, SessionOptions, format};

/// `sum' = sum + x`, `before' = sum`: the second state is the first one's value, as it was. The output is
/// `table[i] + sum`.
fn accumulator() -> Graph {
    let mut b = GraphBuilder::new("accumulator");
    let n = b.free_dim("n");
    let shape = Shape(vec![n]);
    let x = b.input("x", DType::F32, shape.clone());
    let before = b.input("before", DType::F32, shape.clone());
    let index = b.input("i", DType::I64, Shape::fixed(&[1]));
    let sum = b.input("sum", DType::F32, shape);
    let add = Binary { kind: BinaryKind::Add, clamp: Clamp::NONE };
    let next = b.node("add", add.clone(), &[sum, x]).unwrap();
    let table = b.f32s("table", &[2], &[0.0, 100.0]);
    let picked = b.node("pick", Gather { axis: 0 }, &[table, index]).unwrap();
    let all = b.node("all", add.clone(), &[picked, next]).unwrap();
    let out = b.node("out", add, &[all, before]).unwrap();
    b.state(sum, next, None);
    b.state(before, sum, None);
    b.finish(&[out]).unwrap()
}

fn session(graph: &Graph, n: usize) -> Session {
    let shapes = vec![("x".to_string(), vec![n])];
    let model = Model::from_graph(graph.clone()).unwrap();
    model.session(&SessionOptions { shapes, ..Default::default() }).unwrap()
}

fn step(session: &mut Session, x: f32, index: i64) -> Result<f32, ottava::Error> {
    session.input_mut::<f32>(0)?.fill(x);
    session.input_mut::<i64>(1)?[0] = index;
    session.run()?;
    Ok(session.output::<f32>(0)?[0])
}

#[test]
fn states_vanish_from_inputs_and_outputs() {
    let session = session(&accumulator(), 3);
    let names = |ports: &[ottava::run::Port]| ports.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(session.inputs()), ["x", "i"]);
    assert_eq!(names(session.outputs()), ["out_out"]);
    assert_eq!(names(session.states()), ["before", "sum"]);
    assert_eq!((session.states()[1].dtype, &session.states()[1].shape[..]), (DType::F32, &[3][..]));
}

#[test]
fn states_go_on_until_they_are_reset() {
    let mut session = session(&accumulator(), 1);
    for _ in 0..2 {
        let answers = [1.0, 2.0, 4.0].map(|x| step(&mut session, x, 0).unwrap());
        // sums 1, 3, 7 and the sums before the last ones: 0, 0, 1.
        assert_eq!(answers, [1.0, 3.0, 8.0]);
        session.reset();
    }
    // Looking at a run is a run.
    session.input_mut::<f32>(0).unwrap()[0] = 1.0;
    let mut seen = vec![];
    session.run_observed(&mut |id, _| seen.push(id)).unwrap();
    session.run_timed(&mut |_, _| {}).unwrap();
    assert_eq!(session.state_bytes(1).unwrap(), 2f32.to_le_bytes());
    assert!(seen.contains(&session.states()[0].tensor), "ranges of states are learned too");
}

#[test]
fn a_failed_run_leaves_states_alone() {
    let mut session = session(&accumulator(), 1);
    step(&mut session, 5.0, 1).unwrap();
    let before = session.save_states().unwrap();
    assert!(step(&mut session, 7.0, 9).is_err(), "there is no index 9");
    assert_eq!(session.save_states().unwrap(), before);
    assert_eq!(step(&mut session, 1.0, 0).unwrap(), 6.0);
}

/// Pieces of a stream may be as long as they like, as long as no state changes its shape.
#[test]
fn states_go_on_through_other_shapes() {
    let mut b = GraphBuilder::new("total");
    let n = b.free_dim("n");
    let x = b.input("x", DType::F32, Shape(vec![n]));
    let sum = b.input("sum", DType::F32, Shape::fixed(&[1]));
    let own = b.node("own", Reduce { kind: ReduceKind::Sum, axes: vec![0], keep_dims: true }, &[x]).unwrap();
    let next = b.node("next", Binary { kind: BinaryKind::Add, clamp: Clamp::NONE }, &[own, sum]).unwrap();
    let out = b.node("out", Unary { kind: UnaryKind::Neg, alpha: 0.0, beta: 0.0 }, &[next]).unwrap();
    b.state(sum, next, None);
    let model = Model::from_graph(b.finish(&[out]).unwrap()).unwrap();
    for plans in [1, 2, 8] {
        let mut session = model.session(&SessionOptions { plans, ..Default::default() }).unwrap();
        let mut total = 0.0;
        for len in [1, 5, 5, 2, 1, 300, 5] {
            session.reshape(&[("x", &[len])]).unwrap();
            session.input_mut::<f32>(0).unwrap().fill(1.0);
            session.run().unwrap();
            total += len as f32;
            assert_eq!(session.output::<f32>(0).unwrap(), [-total], "{plans} plans");
        }
        assert!(session.reshape(&[("y", &[1])]).is_err());
        assert_eq!(session.state_bytes(0).unwrap(), total.to_le_bytes());
    }
    // Here the state itself changes its shape.
    let mut session = session(&accumulator(), 2);
    step(&mut session, 5.0, 0).unwrap();
    session.reshape(&[("x", &[3])]).unwrap();
    assert_eq!(step(&mut session, 1.0, 0).unwrap(), 1.0);
}

#[test]
fn states_start_from_constants() {
    let mut graph = accumulator();
    let start = Tensor::constant("start", DType::F32, &[1], Data::from_slice(&[10f32]));
    graph.states[1].initial = Some(graph.add_tensor(start));
    let file = format::write(&graph, &[]).unwrap();
    let loaded = format::read_bytes(file, &Limits::default()).unwrap().graph;
    assert_eq!(loaded, graph);
    let mut one = session(&loaded, 1);
    assert_eq!(step(&mut one, 1.0, 0).unwrap(), 11.0);
    one.reset();
    assert_eq!(step(&mut one, 2.0, 0).unwrap(), 12.0);
    let shapes = vec![("x".to_string(), vec![2])];
    let two = Model::from_graph(loaded).unwrap().session(&SessionOptions { shapes, ..Default::default() });
    let error = two.err().unwrap().to_string();
    assert!(error.contains("'sum' is [2]") && error.contains("[1]"), "{error}");
}

#[test]
fn saved_states_go_on_in_another_session() {
    let graph = accumulator();
    let mut one = session(&graph, 2);
    step(&mut one, 1.0, 0).unwrap();
    let saved = one.save_states().unwrap();
    let mut other = session(&graph, 2);
    other.load_states(&saved).unwrap();
    assert_eq!(step(&mut one, 2.0, 0).unwrap(), step(&mut other, 2.0, 0).unwrap());
}

#[test]
fn states_of_others_are_refused() {
    let graph = accumulator();
    let mut own = session(&graph, 2);
    let refusal = |own: &mut Session, saved: &[u8]| {
        let before = own.save_states().unwrap();
        let error = own.load_states(saved).unwrap_err().to_string();
        assert_eq!(own.save_states().unwrap(), before);
        error
    };
    let saved = own.save_states().unwrap();
    for len in 0..saved.len() {
        refusal(&mut own, &saved[..len]);
    }
    for at in 0..saved.len() {
        let mut damaged = saved.clone();
        damaged[at] ^= 4;
        refusal(&mut own, &damaged);
    }
    assert!(refusal(&mut own, &session(&graph, 3).save_states().unwrap()).contains("'sum' f32 [2]"));
    let mut other = graph.clone();
    let table = other.find("table").unwrap();
    other.tensor_mut(table).data = Some(Data::from_slice(&[0f32, 101.0]));
    assert!(refusal(&mut own, &session(&other, 2).save_states().unwrap()).contains("another model"));
}

#[test]
fn inputs_and_outputs_become_states_by_name() {
    let mut graph = accumulator();
    let states = std::mem::take(&mut graph.states);
    assert_eq!(graph.caller_inputs().count(), 4);
    graph.add_state("sum", "add_out").unwrap();
    graph.add_state("sum", "add_out").unwrap();
    graph.add_state("before", "sum").unwrap();
    assert_eq!(graph.states, states);
    let fault = |input: &str, output: &str| {
        let mut plain = graph.clone();
        plain.states.truncate(1);
        plain.add_state(input, output).unwrap_err().to_string()
    };
    assert!(fault("no", "add_out").contains("x, before, i, sum"));
    assert!(fault("sum", "no").contains("out_out, add_out, sum"));
    assert!(fault("i", "add_out").contains("another type"));
    assert!(fault("x", "sum").contains("two states that take 'sum'"), "{}", fault("x", "sum"));
    assert!(fault("before", "add_out").contains("two states of 'before'"));
}

/// The network's recipe for voice: the whole recording, frame by frame.
#[test]
#[cfg(feature = "import")]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn passes_keep_states() {
    use ottava::import::{ImportOptions, load};
    let path = common::shared("models/silero_vad/silero_vad_16k_op15.onnx");
    let mut graph = load(path, &ImportOptions::default()).unwrap();
    graph.add_state("state", "stateN").unwrap();
    let graph = ottava::optimize::float(graph).unwrap();
    let shapes = vec![("input".to_string(), vec![1, 576])];
    let options = SessionOptions { shapes, ..Default::default() };
    let mut own = Model::from_graph(graph.clone()).unwrap().session(&options).unwrap();
    assert_eq!(own.inputs().iter().map(|p| &p.name[..]).collect::<Vec<_>>(), ["input", "sr"]);
    let plain = Graph { states: vec![], ..graph };
    let mut by_hand = Model::from_graph(plain).unwrap().session(&options).unwrap();
    let input = |s: &Session, name: &str| s.inputs().iter().position(|p| p.name == name).unwrap();
    for frame in 0..20 {
        let samples: Vec<f32> = (0..576).map(|i| ((i * 31 + frame * 17) % 64) as f32 / 256.0 - 0.1).collect();
        for session in [&mut own, &mut by_hand] {
            let (audio, rate) = (input(session, "input"), input(session, "sr"));
            session.input_mut::<f32>(audio).unwrap().copy_from_slice(&samples);
            session.input_mut::<i64>(rate).unwrap()[0] = 16000;
            session.run().unwrap();
        }
        assert_eq!(own.output::<f32>(0).unwrap(), by_hand.output::<f32>(0).unwrap());
        let next = by_hand.output::<f32>(1).unwrap().to_vec();
        let state = input(&by_hand, "state");
        by_hand.input_mut::<f32>(state).unwrap().copy_from_slice(&next);
    }
}
