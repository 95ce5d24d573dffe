//! One session for many shapes: the answers of a session made for each, few plans, one copy of the weights.

mod common;

use common::recurrent::INPUT;
use common::session::feed;
use common::shapes::sequence_network;
use ottava::graph::{AlignedBytes, Data};
use ottava::{Error, Limits, Model, Session, SessionOptions, optimize};

type Shapes<'a> = [(&'a str, &'a [usize]); 1];

/// Runs on made-up inputs; all outputs.
fn answers(session: &mut Session) -> Vec<Vec<u8>> {
    for i in 0..2 {
        let seed = session.inputs()[i].shape.iter().product::<usize>();
        feed(session, i, seed as u64);
    }
    common::session::answers(session)
}

fn options(shapes: &Shapes<'_>) -> SessionOptions {
    let shapes = shapes.iter().map(|(name, dims)| (name.to_string(), dims.to_vec())).collect();
    SessionOptions { shapes, ..Default::default() }
}

/// In float and with weights in i8.
fn models() -> Vec<Model> {
    let graph = optimize::float(sequence_network()).unwrap();
    #[cfg(feature = "quantize")]
    let dynamic = {
        use ottava::quantize::{Mode, Modes, Options, without_data};
        let options = Options { modes: Modes::all(Mode::Dynamic), ..Options::default() };
        Some(without_data(&graph, &options).unwrap().graph)
    };
    #[cfg(not(feature = "quantize"))]
    let dynamic = None;
    [Some(graph), dynamic].into_iter().flatten().map(|g| Model::from_graph(g).unwrap()).collect()
}

/// Some come back, some are new; batches, lengths, both.
const TURNS: [[usize; 2]; 12] =
    [[1, 7], [2, 7], [1, 7], [3, 1], [1, 20], [2, 7], [5, 5], [1, 1], [1, 7], [4, 9], [3, 1], [1, 20]];

#[test]
fn every_turn_answers_like_a_session_of_its_own() {
    for model in models() {
        for plans in [0, 1, 2, 8] {
            let mut session = model.session(&SessionOptions { plans, ..Default::default() }).unwrap();
            for [batch, length] in TURNS {
                let x = [batch, length, INPUT];
                let shapes = [("x", &x[..])];
                session.reshape(&shapes).unwrap();
                assert_eq!(session.inputs()[0].shape, x);
                assert_eq!(session.outputs()[0].shape, [batch, length, 40]);
                assert!((0..2).all(|i| session.input_mut::<f32>(i).unwrap().iter().all(|v| *v == 0.0)));
                let mut own = model.session(&options(&shapes)).unwrap();
                assert_eq!(answers(&mut session), answers(&mut own), "{x:?}, {plans} plans");
            }
        }
    }
}

#[test]
fn threads_with_sessions_of_their_own_share_a_model() {
    let models = models();
    std::thread::scope(|scope| {
        for start in 0..4 {
            let models = &models;
            scope.spawn(move || {
                for model in models {
                    let mut session = model.session(&SessionOptions::default()).unwrap();
                    for [batch, length] in TURNS.into_iter().cycle().skip(start * 3).take(20) {
                        let x = [batch, length, INPUT];
                        let shapes = [("x", &x[..])];
                        session.reshape(&shapes).unwrap();
                        let mut own = model.session(&options(&shapes)).unwrap();
                        assert_eq!(answers(&mut session), answers(&mut own), "{x:?}");
                    }
                }
            });
        }
    });
}

/// Where the packed weights lie.
fn weights(session: &Session) -> Vec<*const u8> {
    session.packed_weights().map(|p| p.bytes.bytes().as_ptr()).collect()
}

#[test]
fn weights_stay_where_they_are() {
    let model = models().pop().unwrap();
    let mut session = model.session(&SessionOptions::default()).unwrap();
    let first = weights(&session);
    assert!(!first.is_empty() || cfg!(not(feature = "quantize")));
    let x = [3, 11, INPUT];
    session.reshape(&[("x", &x)]).unwrap();
    assert_eq!(weights(&session), first, "of another shape");
    let other = model.session(&SessionOptions::default()).unwrap();
    assert_eq!(weights(&other), first, "of another session");
}

#[test]
fn hostile_shapes_are_refused_and_change_nothing() {
    let limits = Limits { arena_bytes: 1 << 20, ..Limits::default() };
    for model in models() {
        let mut session =
            model.session(&SessionOptions { limits: limits.clone(), ..Default::default() }).unwrap();
        let x = [2, 3, INPUT];
        session.reshape(&[("x", &x)]).unwrap();
        let before = answers(&mut session);
        let huge = usize::MAX;
        let hostile: [(&str, &[usize]); 9] = [
            ("x", &[huge, 1, INPUT]),
            ("x", &[1, huge - 1, INPUT]),
            ("x", &[1 << 40, 1 << 40, INPUT]),
            ("x", &[1, 1 << 30, INPUT]),
            ("x", &[1 << 12, 1, INPUT]),
            ("x", &[1, 1, INPUT + 1]),
            ("x", &[1, INPUT]),
            ("h", &[1, 1, 15]),
            ("y", &[1]),
        ];
        for shape in hostile {
            assert!(session.reshape(&[shape]).is_err(), "{shape:?}");
            assert_eq!(session.inputs()[0].shape, x);
            assert_eq!(answers(&mut session), before, "after {shape:?}");
        }
        let unequal: [(&str, &[usize]); 2] = [("x", &[2, 3, INPUT]), ("h", &[3, 1, 16])];
        let error = session.reshape(&unequal).unwrap_err();
        assert!(matches!(error, Error::Graph(_)) && error.to_string().contains("'batch'"), "{error}");
        let named = session.reshape(&[("y", &[1])]).unwrap_err().to_string();
        assert!(named.contains("'y'") && named.contains("x, h"), "{named}");
    }
}

#[test]
fn constants_of_any_alignment_are_read() {
    let mut graph = sequence_network();
    for tensor in &mut graph.tensors {
        let Some(data) = &tensor.data else { continue };
        let mut bytes = AlignedBytes::zeroed(data.bytes().len() + 8);
        bytes.as_mut()[8..].copy_from_slice(data.bytes());
        tensor.data = Data::view(std::sync::Arc::new(bytes), 8, data.bytes().len());
    }
    let [mut odd, mut even] = [graph, sequence_network()]
        .map(|g| Model::from_graph(g).unwrap().session(&SessionOptions::default()).unwrap());
    assert_eq!(answers(&mut odd), answers(&mut even));
}

#[test]
fn activations_that_no_memory_holds_are_refused_before_a_kernel_computes_with_their_sizes() {
    use common::nets::conv;
    use ottava::graph::{DType, GraphBuilder, Shape};
    for n in [1usize << 40, 3096224743817215, 1 << 60, usize::MAX / 192] {
        let mut b = GraphBuilder::new("much");
        let x = b.input("x", DType::F32, Shape::fixed(&[n, 4, 4, 3]));
        let w = b.f32s("w", &[2, 1, 1, 3], &[1.0; 6]);
        let refused = match b.node("conv", conv(1, 0), &[x, w]) {
            Ok(y) => {
                let model = b.finish(&[y]).map(|graph| Model::from_graph(graph).unwrap());
                model.is_err() || model.is_ok_and(|m| m.session(&SessionOptions::default()).is_err())
            }
            Err(_) => true,
        };
        assert!(refused, "{n} images");
    }
}
