//! State that outlives a run: graph outputs that are graph inputs of the next run.

use super::*;

/// A graph input that gets, from the second run on, what a graph output was in the run before. A session feeds it by
/// itself ([`Session::states`](crate::Session::states)): callers neither give the input nor get the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Index in [`Graph::inputs`].
    pub input: usize,
    /// Index in [`Graph::outputs`].
    pub output: usize,
    /// What the first run gets: a constant of the input's type and shape. `None`: elements that are 0.
    pub initial: Option<TensorId>,
}

impl Graph {
    /// The inputs that a caller gives: those that no state feeds.
    pub fn caller_inputs(&self) -> impl Iterator<Item = TensorId> + '_ {
        let given = |i: &usize| self.states.binary_search_by_key(i, |s| s.input).is_err();
        (0..self.inputs.len()).filter(given).map(|i| self.inputs[i])
    }

    /// The outputs that a caller gets: those that are no state's.
    pub fn caller_outputs(&self) -> impl Iterator<Item = TensorId> + '_ {
        let taken: std::collections::HashSet<usize> = self.states.iter().map(|s| s.output).collect();
        (0..self.outputs.len()).filter(move |o| !taken.contains(o)).map(|o| self.outputs[o])
    }

    /// Makes an input and an output a state, by their names. A state that is there already stays.
    ///
    /// # Errors
    /// There is no such input or output, one of them belongs to another state, or they differ in type or shape.
    pub fn add_state(&mut self, input: &str, output: &str) -> Result<(), GraphError> {
        let place = |ids: &[TensorId], what: &str, name: &str| {
            let names: Vec<&str> = ids.iter().map(|id| self.tensor(*id).name.as_str()).collect();
            names.iter().position(|n| *n == name).ok_or_else(|| GraphError::Graph {
                graph: self.name.clone(),
                what: format!("has no {what} '{name}' for a state; there are: {}", names.join(", ")),
            })
        };
        let state = State {
            input: place(&self.inputs, "input", input)?,
            output: place(&self.outputs, "output", output)?,
            initial: None,
        };
        if self.states.iter().any(|s| (s.input, s.output) == (state.input, state.output)) {
            return Ok(());
        }
        self.states.push(state);
        self.states.sort_by_key(|s| s.input);
        self.validate_states()
    }

    /// States ascend by their input, so that a graph has one encoding; each input and output belongs to one state.
    pub(super) fn validate_states(&self) -> Result<(), GraphError> {
        let fault = |what: String| Err(GraphError::Graph { graph: self.name.clone(), what });
        let mut before = None;
        let mut taken = std::collections::HashSet::new();
        for State { input, output, initial } in &self.states {
            let (Some(from), Some(to)) = (self.outputs.get(*output), self.inputs.get(*input)) else {
                let (inputs, outputs) = (self.inputs.len(), self.outputs.len());
                return fault(format!(
                    "has a state of input {input} and output {output}, but {inputs} inputs and {outputs} outputs"
                ));
            };
            let (from, to) = (self.tensor(*from), self.tensor(*to));
            if before >= Some(*input) {
                return fault(format!("has two states of '{}', or states out of order", to.name));
            }
            before = Some(*input);
            if !taken.insert(*output) {
                return fault(format!("has two states that take '{}'", from.name));
            }
            check_like(to, from, "the output of its state")?;
            let Some(id) = initial else { continue };
            match self.tensors.get(id.index()) {
                Some(t) if t.data.is_some() => check_like(to, t, "its initial value")?,
                _ => return fault(format!("has a state '{}' whose initial value is no constant", to.name)),
            }
        }
        Ok(())
    }
}

/// Refuses a tensor that can't take the place of a state's input.
fn check_like(input: &Tensor, other: &Tensor, what: &str) -> Result<(), GraphError> {
    let meets = |(a, b): (&Dim, &Dim)| a.fixed().zip(b.fixed()).is_none_or(|(a, b)| a == b);
    let fits =
        input.shape.rank() == other.shape.rank() && input.shape.iter().zip(other.shape.iter()).all(meets);
    if fits && (input.dtype, &input.quant) == (other.dtype, &other.quant) {
        return Ok(());
    }
    let what = format!("is a state, but '{}', {what}, has another type, shape or quantization", other.name);
    Err(GraphError::tensor(input, what))
}
