//! What a session keeps from run to run. The bytes lie where the graph's inputs do; a run that fails leaves them alone,
//! since no step writes an input.

use super::{Place, Port, RunError};
use crate::format::xxh64;
use crate::graph::{Data, Graph};
use ottava_kernels::SLACK;
use std::ops::Range;

/// The states of a session.
pub(super) struct States {
    /// The inputs that they feed.
    ports: Vec<Port>,
    slots: Vec<Slot>,
    /// Bytes of all of them.
    len: usize,
}

struct Slot {
    /// Where the next run reads it.
    input: Range<usize>,
    /// Where a run leaves it.
    output: Place,
    initial: Option<Data>,
    /// Its part of the bytes of all states, side by side.
    part: Range<usize>,
}

impl States {
    /// States of a graph whose shapes are bound: the inputs that they feed and the outputs that they keep.
    pub fn new(graph: &Graph, inputs: Vec<Port>, outputs: Vec<Port>) -> Result<States, RunError> {
        let mut slots = Vec::with_capacity(inputs.len());
        let mut len = 0;
        for ((state, input), output) in graph.states.iter().zip(&inputs).zip(outputs) {
            let initial = state.initial.map(|id| graph.tensor(id));
            let shapes = [Some(output.shape), initial.and_then(|t| t.shape.dims())];
            if let Some(output) = shapes.into_iter().flatten().find(|s| *s != input.shape) {
                let (state, input) = (input.name.clone(), input.shape.clone());
                return Err(RunError::StateShape { state, input, output });
            }
            // Inputs of a graph are never constant: validation has seen to it.
            let Place::Arena(place) = &input.place else { continue };
            let place = place.start..place.end - SLACK;
            let part = len..len + place.len();
            len = part.end;
            let initial = initial.and_then(|t| t.data.clone());
            slots.push(Slot { input: place, output: output.place, initial, part });
        }
        Ok(States { ports: inputs, slots, len })
    }

    pub fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// Initial values.
    pub fn reset(&self, arena: &mut [u8]) {
        for slot in &self.slots {
            let bytes = &mut arena[slot.input.clone()];
            match &slot.initial {
                Some(data) => bytes.copy_from_slice(data.bytes()),
                None => bytes.fill(0),
            }
        }
    }

    /// Outputs become inputs, by way of `room`, [`len`](States::len) bytes. All are taken before one is given: an output
    /// may be another state's input as it is.
    pub fn advance(&self, arena: &mut [u8], constants: &[Data], room: &mut [u8]) {
        for slot in &self.slots {
            room[slot.part.clone()].copy_from_slice(slot.output.bytes(arena, constants));
        }
        self.put(room, arena);
    }

    /// Bytes of all states.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if these can take the place of the states of another plan.
    pub fn fits(&self, other: &States) -> bool {
        self.ports.iter().zip(&other.ports).all(|(a, b)| a.shape == b.shape)
    }

    /// The bytes of all states.
    pub fn take(&self, arena: &[u8], into: &mut Vec<u8>) {
        into.clear();
        self.slots.iter().for_each(|slot| into.extend_from_slice(&arena[slot.input.clone()]));
    }

    /// The states become these bytes of all states.
    pub fn put(&self, bytes: &[u8], arena: &mut [u8]) {
        for slot in &self.slots {
            arena[slot.input.clone()].copy_from_slice(&bytes[slot.part.clone()]);
        }
    }

    /// All states and what they belong to.
    pub fn save(&self, model: u64, arena: &[u8]) -> Vec<u8> {
        let (mut saved, mut bytes) = (self.header(model), vec![]);
        self.take(arena, &mut bytes);
        saved.extend(bytes);
        let sum = xxh64(&saved);
        saved.extend(sum.to_le_bytes());
        saved
    }

    /// What stands in front of the bytes: as long as it is the same, they fit.
    fn header(&self, model: u64) -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        header.extend(model.to_le_bytes());
        header.extend((self.ports.len() as u64).to_le_bytes());
        for port in &self.ports {
            header.extend((port.name.len() as u64).to_le_bytes());
            header.extend(port.name.as_bytes());
            header.extend([port.dtype as u8, port.shape.len() as u8]);
            port.shape.iter().for_each(|n| header.extend((*n as u64).to_le_bytes()));
        }
        header
    }

    /// Takes saved states, or changes nothing.
    pub fn load(&self, model: u64, saved: &[u8], arena: &mut [u8]) -> Result<(), RunError> {
        let fault = |what: &str| Err(RunError::SavedState(what.to_string()));
        let Some((body, sum)) = saved.split_last_chunk::<8>() else { return fault("they are cut off") };
        if !saved.starts_with(MAGIC) {
            return fault("these bytes are something else, or come from another version");
        }
        if xxh64(body) != u64::from_le_bytes(*sum) {
            return fault("the checksum is wrong: they are cut off or damaged");
        }
        if body.get(MAGIC.len()..MAGIC.len() + 8) != Some(&model.to_le_bytes()[..]) {
            return fault("they belong to another model");
        }
        let header = self.header(model);
        let Some(bytes) = body.strip_prefix(&header[..]).filter(|b| b.len() == self.len) else {
            let own = self.ports.iter().map(|p| format!("'{}' {} {:?}", p.name, p.dtype, p.shape));
            let own = own.collect::<Vec<_>>().join(", ");
            return fault(&format!("they have other names, types or shapes than this session's {own}"));
        };
        self.put(bytes, arena);
        Ok(())
    }
}

/// First bytes of saved states; the last one is the version.
const MAGIC: &[u8; 8] = b"\x898vs\r\n\x1a\x01";
