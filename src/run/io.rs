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

/// The inputs of one step.
pub(crate) struct Inputs<'a> {
    /// What lies between the written ranges of the arena, each with its offset.
    readable: [(usize, &'a [u8]); MAX_WRITTEN + 1],
    /// How many there are.
    gaps: usize,
    constants: &'a [Data],
    places: &'a [Place],
}

impl<'a> Inputs<'a> {
    /// The input `i`, with slack behind it.
    #[inline(always)]
    pub fn get(&self, i: usize) -> &'a [u8] {
        let range = match &self.places[i] {
            Place::Constant(c) => return self.constants[*c].bytes(),
            Place::Arena(range) => range,
        };
        for &(start, bytes) in &self.readable[..self.gaps] {
            if let Some(at) = range.start.checked_sub(start)
                && let Some(bytes) = bytes.get(at..range.end - start)
            {
                return bytes;
            }
        }
        panic!("the plan keeps inputs apart from outputs")
    }
}

impl Io<'_> {
    /// All inputs, the outputs with these indices, and the scratch. The plan has laid them out apart.
    ///
    /// A step of a tiny network takes some 50 ns, and this is a part of each: loops over arrays whose lengths the
    /// compiler knows, no sorting and no closures that it would call.
    #[inline(always)]
    pub fn open<const O: usize>(&mut self, outputs: [usize; O]) -> (Inputs<'_>, Views<'_, 0, O>) {
        const { assert!(O < MAX_WRITTEN, "room for the outputs and the scratch") };
        let Operands { inputs: places, outputs: ranges, scratch } = self.operands;
        // The written ranges in order of offset, each with its slot (O is the scratch).
        let mut written: [(&Range<usize>, usize); MAX_WRITTEN] = [(scratch, O); MAX_WRITTEN];
        for (slot, &o) in outputs.iter().enumerate() {
            written[slot] = (&ranges[o], slot);
        }
        for end in 1..=O {
            let mut at = end;
            while at > 0 && comes_before(written[at].0, written[at - 1].0) {
                written.swap(at, at - 1);
                at -= 1;
            }
        }

        // What is left between the written ranges may be read.
        let mut readable: [(usize, &[u8]); MAX_WRITTEN + 1] = Default::default();
        let mut slots: [&mut [u8]; MAX_WRITTEN] = Default::default();
        let mut rest = &mut *self.arena;
        let mut at = 0;
        for i in 0..=O {
            let (range, slot) = written[i];
            let (before, tail) = rest.split_at_mut(range.start - at);
            let (mine, tail) = tail.split_at_mut(range.len());
            readable[i] = (at, before);
            slots[slot] = mine;
            rest = tail;
            at = range.end;
        }
        readable[O + 1] = (at, rest);
        let mut slots = slots.into_iter();
        let outputs = std::array::from_fn(|_| slots.next().unwrap_or_default());
        let views = Views { inputs: [], outputs, scratch: slots.next().unwrap_or_default() };
        (Inputs { readable, gaps: O + 2, constants: self.constants, places }, views)
    }

    /// The inputs and outputs with these indices, and the scratch.
    #[inline(always)]
    pub fn views<const I: usize, const O: usize>(
        &mut self,
        inputs: [usize; I],
        outputs: [usize; O],
    ) -> Views<'_, I, O> {
        if let ([i], [o]) = (&inputs[..], &outputs[..])
            && let Place::Arena(input) = &self.operands.inputs[*i]
            && self.operands.scratch.is_empty()
        {
            let (x, y) = self.pair(input, &self.operands.outputs[*o]);
            let mut y = Some(y);
            let outputs = std::array::from_fn(|_| y.take().unwrap_or_default());
            // Aligned: a kernel may see numbers in it.
            let scratch = bytemuck::cast_slice_mut::<u64, u8>(&mut []);
            return Views { inputs: [x; I], outputs, scratch };
        }
        let (all, Views { outputs, scratch, .. }) = self.open(outputs);
        let mut read: [&[u8]; I] = [&[]; I];
        for (to, &i) in read.iter_mut().zip(&inputs) {
            *to = all.get(i);
        }
        Views { inputs: read, outputs, scratch }
    }

    /// One input and one output, apart from each other: most steps of tiny networks, of whose time a hundred instructions
    /// are a part.
    #[inline(always)]
    fn pair(&mut self, input: &Range<usize>, output: &Range<usize>) -> (&[u8], &mut [u8]) {
        if input.end <= output.start {
            let (before, rest) = self.arena.split_at_mut(output.start);
            (&before[input.clone()], &mut rest[..output.len()])
        } else {
            let (before, rest) = self.arena.split_at_mut(input.start);
            (&rest[..input.len()], &mut before[output.clone()])
        }
    }

    /// The usual step: some inputs, one output.
    pub fn one<const I: usize>(&mut self) -> Views<'_, I, 1> {
        self.views(std::array::from_fn(|i| i), [0])
    }
}

/// Empty ranges come before what starts where they are.
fn comes_before(a: &Range<usize>, b: &Range<usize>) -> bool {
    (a.start, a.end) < (b.start, b.end)
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
        let (inputs, v) = io.open([1]);
        assert_eq!((inputs.get(1), inputs.get(2)[0]), (&[8, 9][..], 60));
        assert_eq!((v.outputs[0][0], v.scratch), (0, &mut [30, 31, 32, 33][..]));
    }

    #[test]
    fn one_input_and_one_output_lie_either_way() {
        let mut arena: Vec<u8> = (0..64).collect();
        for (input, output) in [(8..16, 20..30), (40..50, 8..40), (0..8, 8..64)] {
            let operands = Operands {
                inputs: vec![Place::Arena(input.clone())],
                outputs: vec![output.clone()],
                scratch: 0..0,
            };
            let mut io = Io { arena: &mut arena, constants: &[], operands: &operands };
            let v = io.one::<1>();
            assert_eq!(v.inputs[0], &input.map(|i| i as u8).collect::<Vec<_>>()[..]);
            assert_eq!((v.outputs[0][0], v.outputs[0].len()), (output.start as u8, output.len()));
        }
    }

    #[test]
    fn an_empty_scratch_is_empty() {
        let mut arena = vec![0u8; 64];
        let (inputs, outputs) = (vec![Place::Arena(0..8)], vec![8..16, 16..24]);
        let operands = Operands { inputs, outputs, scratch: 0..0 };
        let mut io = Io { arena: &mut arena, constants: &[], operands: &operands };
        let v = io.one::<1>();
        assert_eq!((v.inputs[0].len(), v.outputs[0].len(), v.scratch.len()), (8, 8, 0));
        let numbers: &mut [f32] = bytemuck::cast_slice_mut(v.scratch);
        assert!(numbers.is_empty(), "kernels see floats in it");
    }
}
