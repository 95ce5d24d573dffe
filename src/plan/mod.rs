//! graph -> plan.

/// Why a graph can't be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {}
