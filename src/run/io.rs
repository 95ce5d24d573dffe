//! What a kernel sees of the arena during one step: its inputs shared, its outputs and scratch exclusive.

use crate::graph::Data;
use ottava_kernels::SLACK;
use std::ops::Range;

/// Where an operand lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Computed or given: bytes of the arena, with [`SLACK`] behind the tensor included.
    Arena(Range<usize>),
    /// Constant: which of the plan's constants.
    Constant(usize),
}

impl Place {
    /// The bytes of the tensor.
    pub fn bytes<'a>(&self, arena: &'a [u8], constants: &'a [Data]) -> &'a [u8] {
        let with_slack = match self {
            Place::Arena(r) => &arena[r.clone()],
            Place::Constant(i) => constants[*i].bytes(),
        };
        &with_slack[..with_slack.len() - SLACK]
    }
}

/// The operands of one step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Operands {
    /// With [`SLACK`] readable bytes behind the tensor included.
    pub inputs: Vec<Place>,
    /// Disjoint from each other, from all inputs and from the scratch.
    pub outputs: Vec<Range<usize>>,
    /// May be empty.
    pub scratch: Range<usize>,
}

/// The memory of a step that is about to run.
pub(crate) struct Io<'a> {
    pub arena: &'a mut [u8],
    /// Each with slack behind it.
    pub constants: &'a [Data],
    pub operands: &'a Operands,
}

/// Slices of one step.
pub(crate) struct Views<'a, const I: usize, const O: usize> {
    /// Each with slack behind it.
    pub inputs: [&'a [u8]; I],
    pub outputs: [&'a mut [u8]; O],
    pub scratch: &'a mut [u8],
}

/// At most this many ranges of one step are written, scratch included.
const MAX_WRITTEN: usize = 4;

impl Io<'_> {
    /// The inputs and outputs with these indices, and the scratch. The plan has laid them out apart.
    pub fn views<const I: usize, const O: usize>(
        &mut self,
        inputs: [usize; I],
        outputs: [usize; O],
    ) -> Views<'_, I, O> {
        assert!(O < MAX_WRITTEN, "a kernel writes {O} outputs at once");
        // The written ranges in order of offset, each with its slot (O is the scratch).
        let mut written: [(Range<usize>, usize); MAX_WRITTEN] = Default::default();
        for (slot, &o) in outputs.iter().enumerate() {
            written[slot] = (self.operands.outputs[o].clone(), slot);
        }
        written[O] = (self.operands.scratch.clone(), O);
        let written = &mut written[..=O];
        written.sort_unstable_by_key(|(r, _)| (r.start, r.end));

        // What is left between the written ranges may be read.
        let mut readable: [(usize, &[u8]); MAX_WRITTEN + 1] = Default::default();
        let mut slots: [&mut [u8]; MAX_WRITTEN] = Default::default();
        let mut rest = &mut *self.arena;
        let mut at = 0;
        for (i, (range, slot)) in written.iter().enumerate() {
            let (before, tail) = rest.split_at_mut(range.start - at);
            let (mine, tail) = tail.split_at_mut(range.len());
            readable[i] = (at, before);
            slots[*slot] = mine;
            rest = tail;
            at = range.end;
        }
        readable[O + 1] = (at, rest);

        let constants = self.constants;
        let operands = self.operands;
        let read = |i: usize| -> &[u8] {
            match &operands.inputs[i] {
                Place::Constant(c) => constants[*c].bytes(),
                Place::Arena(r) => {
                    let home = readable[..=O + 1]
                        .iter()
                        .rfind(|(start, s)| *start <= r.start && r.end <= start + s.len());
                    let (start, s) = home.expect("the plan keeps inputs apart from outputs");
                    &s[r.start - start..r.end - start]
                }
            }
        };
        let inputs = inputs.map(read);
        let mut slots = slots.into_iter();
        let outputs = std::array::from_fn(|_| slots.next().unwrap_or_default());
        Views { inputs, outputs, scratch: slots.next().unwrap_or_default() }
    }

    /// The usual step: some inputs, one output.
    pub fn one<const I: usize>(&mut self) -> Views<'_, I, 1> {
        self.views(std::array::from_fn(|i| i), [0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_come_in_any_order_of_offsets() {
        let mut arena: Vec<u8> = (0..100).collect();
        let operands = Operands {
            inputs: vec![
                Place::Arena(10..20),
                Place::Constant(1),
                Place::Arena(60..70),
                Place::Arena(10..20),
            ],
            outputs: vec![70..80, 0..10],
            scratch: 30..34,
        };
        let constants = [Data::from_bytes(&[7]), Data::from_bytes(&[8, 9])];
        let mut io = Io { arena: &mut arena, constants: &constants, operands: &operands };
        let v = io.views([0, 1, 2, 3], [0, 1]);
        assert_eq!(v.inputs[0], &(10..20).collect::<Vec<u8>>()[..]);
        assert_eq!(v.inputs[1], &[8, 9]);
        assert_eq!(v.inputs[2][0], 60);
        assert_eq!(v.inputs[3], v.inputs[0]);
        assert_eq!((v.outputs[0][0], v.outputs[1][0]), (70, 0));
        assert_eq!(v.scratch, &[30, 31, 32, 33]);
    }

    #[test]
    fn an_empty_scratch_is_empty() {
        let mut arena = vec![0u8; 64];
        let (inputs, outputs) = (vec![Place::Arena(0..8)], vec![8..16, 16..24]);
        let operands = Operands { inputs, outputs, scratch: 0..0 };
        let mut io = Io { arena: &mut arena, constants: &[], operands: &operands };
        let v = io.one::<1>();
        assert_eq!((v.inputs[0].len(), v.outputs[0].len(), v.scratch.len()), (8, 8, 0));
    }
}
