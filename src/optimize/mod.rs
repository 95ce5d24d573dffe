//! graph -> graph: passes that keep the answers and make them cheaper.
//!
//! Each pass stands in its own file, which says what it looks for and why the answers stay the same. A pass walks
//! the nodes once; [`float`] repeats all of them until none finds anything. Graph inputs and outputs keep their
//! names, element types and shapes.

mod activation;
mod affine;
mod batch_norm;
mod constants;
mod dedup;
mod edit;
mod functions;
mod identity;
mod layout;
mod matmul;
mod padding;
mod qdq;

use crate::graph::{Data, Graph, GraphError, infer};

/// Computes the outputs of a graph that has no inputs: one node over constants. An error means that the node
/// can't be computed now; it then stays in the graph.
pub type Evaluator<'a> = dyn FnMut(&Graph) -> crate::Result<Vec<Data>> + 'a;

/// The passes, in an order in which early ones prepare for later ones.
const PASSES: &[fn(&mut Graph) -> bool] = &[
    identity::run,
    layout::run,
    matmul::run,
    batch_norm::run,
    affine::run,
    functions::run,
    activation::run,
    padding::run,
    qdq::run,
    dedup::run,
];

/// No graph needs more: a round either makes the graph smaller or moves transposes toward the outputs.
const MAX_ROUNDS: usize = 32;

/// Optimizes without computing nodes over constants.
///
/// # Errors
/// The graph is not valid, or its nodes don't fit together.
pub fn float(graph: Graph) -> Result<Graph, GraphError> {
    run(graph, None)
}

/// Optimizes and replaces nodes over constants by what `evaluate` computes for them.
///
/// # Errors
/// The graph is not valid, or its nodes don't fit together.
pub fn float_with(graph: Graph, evaluate: &mut Evaluator) -> Result<Graph, GraphError> {
    run(graph, Some(evaluate))
}

fn run(mut graph: Graph, mut evaluate: Option<&mut Evaluator>) -> Result<Graph, GraphError> {
    graph.validate()?;
    // Passes rely on shapes that fit together.
    infer::check(&mut graph)?;
    repeat(&mut graph, &mut evaluate);
    if qdq::settle(&mut graph) {
        graph.sweep();
        repeat(&mut graph, &mut evaluate);
    }
    graph.validate()?;
    infer::check(&mut graph)?;
    Ok(graph)
}

/// Runs all passes until none finds anything.
fn repeat(graph: &mut Graph, evaluate: &mut Option<&mut Evaluator>) {
    for _ in 0..MAX_ROUNDS {
        let mut changed = match evaluate {
            Some(evaluate) => constants::run(graph, evaluate),
            None => false,
        };
        for pass in PASSES {
            changed |= pass(graph);
        }
        graph.sweep();
        if !changed {
            break;
        }
    }
}
