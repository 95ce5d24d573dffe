//! Steps through time: ONNX's `Scan`.

use super::super::Stop;
use super::super::messages::{body, int, ints};
use super::super::onnx::Writer;

/// What goes around and what is gone through.
pub(super) struct Steps {
    /// First values of what goes from step to step.
    pub states: Vec<String>,
    /// Values with the steps along their first dimension.
    pub inputs: Vec<String>,
    /// From the last step to the first.
    pub reverse: bool,
}

/// The values behind the last step, and what each step gives, stacked.
pub(super) struct Stacked {
    pub states: Vec<String>,
    pub outputs: Vec<String>,
}

impl Steps {
    /// Writes the loop. `step` gets the names of the states and of one step's inputs, and gives the next states and
    /// the step's outputs.
    pub fn write(
        self,
        w: &mut Writer,
        step: impl FnOnce(&mut Writer, &[String], &[String]) -> Result<(Vec<String>, Vec<String>), Stop>,
    ) -> Result<Stacked, Stop> {
        let states = numbered(w, "state", self.states.len());
        let inputs = numbered(w, "step", self.inputs.len());
        let mut count = 0;
        let graph = w.nested(&[states.clone(), inputs.clone()].concat(), |w| {
            let (next, outputs) = step(w, &states, &inputs)?;
            count = outputs.len();
            // A body's outputs are values of their own.
            Ok([next, outputs].concat().iter().map(|v| w.calc("Identity", &[v], vec![])).collect())
        })?;
        let (last, outputs) = (numbered(w, "last", self.states.len()), numbered(w, "all", count));
        let direction = i64::from(self.reverse);
        let attributes = vec![
            body("body", graph),
            int("num_scan_inputs", self.inputs.len() as i64),
            ints("scan_input_directions", vec![direction; self.inputs.len()]),
            ints("scan_output_directions", vec![direction; count]),
        ];
        let given = [self.states, self.inputs].concat();
        w.push_many(("", "Scan"), &given, [last.clone(), outputs.clone()].concat(), attributes);
        Ok(Stacked { states: last, outputs })
    }
}

/// Names for `count` values.
fn numbered(w: &mut Writer, tag: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| w.fresh_local(&format!("{tag}{i}"))).collect()
}

/// Cuts the last dimension into parts of these sizes.
pub(super) fn parts(w: &mut Writer, x: &str, sizes: &[usize]) -> Vec<String> {
    let outputs: Vec<String> = sizes.iter().map(|_| w.fresh_local("part")).collect();
    let sizes = w.int_vector(&sizes.iter().map(|&s| s as i64).collect::<Vec<_>>());
    w.push_many(("", "Split"), &[x.to_string(), sizes], outputs.clone(), vec![int("axis", -1)]);
    outputs
}
