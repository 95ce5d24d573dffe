//! What the import of a node of any format shares: why it stops, axes, operators without parameters.

use crate::graph::{Binary, BinaryKind, Clamp, GraphError, Unary, UnaryKind};

/// Why a node is not imported.
pub(super) enum Stop {
    /// It can't be.
    Problem(String),
    /// It reads what another node that can't be imported would compute; nothing is said about that.
    Upstream,
}

impl Stop {
    pub fn because(reason: impl Into<String>) -> Stop {
        Stop::Problem(reason.into())
    }
}

impl From<GraphError> for Stop {
    fn from(e: GraphError) -> Stop {
        match e {
            GraphError::Node { what, .. } => Stop::Problem(what),
            other => Stop::Problem(other.to_string()),
        }
    }
}

/// A dimension of a tensor of this rank; negative ones count from the end.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, Stop> {
    let from_end = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    match from_end.and_then(|a| usize::try_from(a).ok()) {
        Some(a) if a < rank => Ok(a),
        _ => Err(Stop::because(format!("axis {axis} is out of range for rank {rank}"))),
    }
}

/// Dimensions of a tensor of this rank, sorted, each once.
pub(super) fn axes(axes: &[i64], rank: usize) -> Result<Vec<usize>, Stop> {
    let mut sorted = axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(sorted),
        Some(pair) => Err(Stop::because(format!("axis {} is named twice", pair[0]))),
    }
}

/// The operator of one input, of a kind that takes no numbers.
pub(super) const fn of_one(kind: UnaryKind) -> Unary {
    Unary { kind, alpha: 0.0, beta: 0.0 }
}

/// The operator of two inputs, with no activation behind it.
pub(super) const fn of_two(kind: BinaryKind) -> Binary {
    Binary { kind, clamp: Clamp::NONE }
}
