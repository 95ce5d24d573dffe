//! graph -> graph: passes that keep the answers and make them cheaper.
//!
//! Each pass stands in its own file, which says what it looks for and why the answers stay the same. A pass walks
//! the nodes once; [`float`] repeats all of them until none finds anything. Graph inputs and outputs keep their
//! names, element types and shapes.

mod activation;
mod affine;
mod attention;
mod batch_norm;
mod constants;
mod dedup;
mod dynamic;
mod edit;
mod functions;
mod halves;
mod identity;
mod layer_norm;
mod layout;
mod matmul;
mod padding;
mod qdq;
mod recurrent;
mod square;

use crate::graph::{Graph, GraphError, infer};
pub use halves::{narrow, widen};

/// The passes, in an order in which early ones prepare for later ones.
const PASSES: &[fn(&mut Graph) -> bool] = &[
    constants::run,
    identity::run,
    attention::run,
    layout::run,
    matmul::run,
    batch_norm::run,
    affine::run,
    functions::run,
    square::run,
    layer_norm::run,
    activation::run,
    padding::run,
    qdq::run,
    dynamic::run,
    recurrent::run,
    dedup::run,
];

/// No graph needs more: a round either makes the graph smaller or moves transposes toward the outputs.
const MAX_ROUNDS: usize = 32;

/// Applies all passes.
///
/// # Errors
/// The graph is not valid, or its nodes don't fit together.
pub fn float(mut graph: Graph) -> Result<Graph, GraphError> {
    graph.validate()?;
    widen(&mut graph);
    // Passes rely on shapes that fit together.
    infer::check(&mut graph)?;
    repeat(&mut graph);
    if qdq::settle(&mut graph) {
        graph.sweep();
        repeat(&mut graph);
        // Weights that became integers for a product that stayed float after all.
        qdq::settle(&mut graph);
        graph.sweep();
    }
    narrow(&mut graph);
    graph.validate()?;
    infer::check(&mut graph)?;
    Ok(graph)
}

/// Runs all passes until none finds anything.
fn repeat(graph: &mut Graph) {
    for _ in 0..MAX_ROUNDS {
        let mut changed = false;
        for pass in PASSES {
            changed |= pass(graph);
        }
        graph.sweep();
        if !changed {
            break;
        }
    }
}
