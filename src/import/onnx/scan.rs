//! A walk over an encoded model before it is decoded: counts what decoding would allocate.
//!
//! An empty message takes two bytes in a file and hundreds in memory, so a small file could ask for a lot. The
//! walk allocates nothing and goes no deeper than the messages that are read, which are nested no deeper than `DEPTH`
//! says.

use super::super::ImportError;
use crate::Limits;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// Messages whose fields are counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Value,
    Type,
    TensorType,
    Shape,
    /// Has nothing inside that repeats.
    Leaf,
}

impl Message {
    /// What the field `tag` holds, if it is decoded and takes memory of its own.
    fn field(self, tag: u32) -> Option<Message> {
        match (self, tag) {
            (Message::Model, 7) => Some(Message::Graph),
            (Message::Model, 8 | 14) => Some(Message::Leaf),
            (Message::Graph, 1) => Some(Message::Node),
            (Message::Graph, 5) | (Message::Attribute, 5) => Some(Message::Tensor),
            (Message::Attribute, 6) => Some(Message::Graph),
            (Message::Graph, 11 | 12) => Some(Message::Value),
            (Message::Graph, 15) => Some(Message::Leaf),
            (Message::Node, 1 | 2) => Some(Message::Leaf),
            (Message::Node, 5) => Some(Message::Attribute),
            (Message::Tensor, 13) => Some(Message::Leaf),
            (Message::Value, 2) => Some(Message::Type),
            (Message::Type, 1) => Some(Message::TensorType),
            (Message::TensorType, 2) => Some(Message::Shape),
            (Message::Shape, 1) => Some(Message::Leaf),
            _ => None,
        }
    }
}

/// Graphs may lie inside of each other this deep.
const DEPTH: usize = 16;

/// Parts (attributes, names, dimensions, ...) that a node or tensor may have on average.
const PARTS: u64 = 8;

#[derive(Default)]
struct Counts {
    nodes: u64,
    tensors: u64,
    parts: u64,
}

/// Refuses a model that has more nodes, tensors or parts of them than the limits allow, or that is not a
/// sequence of well-formed fields.
pub(super) fn check(bytes: &[u8], limits: &Limits) -> Result<(), ImportError> {
    let mut counts = Counts::default();
    walk(bytes, Message::Model, 0, &mut counts)?;
    let nodes = limits.nodes as u64;
    let tensors = limits.tensors as u64;
    let parts = nodes.saturating_add(tensors).saturating_mul(PARTS);
    for (what, found, limit) in [
        ("nodes", counts.nodes, nodes),
        ("constants, inputs and outputs", counts.tensors, tensors),
        ("attributes, names and dimensions", counts.parts, parts),
    ] {
        if found > limit {
            return Err(ImportError::Limit { what, found, limit });
        }
    }
    Ok(())
}

/// `depth`: graphs around the message.
fn walk(mut bytes: &[u8], message: Message, depth: usize, counts: &mut Counts) -> Result<(), ImportError> {
    let depth = depth + usize::from(message == Message::Graph);
    if depth > DEPTH {
        return Err(ImportError::model(format!(
            "its graphs lie more than {DEPTH} deep inside of each other"
        )));
    }
    while !bytes.is_empty() {
        let (tag, wire) = decode_key(&mut bytes).map_err(super::undecodable)?;
        let (WireType::LengthDelimited, Some(child)) = (wire, message.field(tag)) else {
            skip_field(wire, tag, &mut bytes, DecodeContext::default()).map_err(super::undecodable)?;
            continue;
        };
        let len = decode_varint(&mut bytes).map_err(super::undecodable)?;
        let inside = usize::try_from(len).ok().and_then(|len| bytes.split_at_checked(len));
        let Some((inside, rest)) = inside else {
            let left = bytes.len();
            return Err(ImportError::damaged(format!("it is cut off: {left} of {len} bytes are there")));
        };
        bytes = rest;
        match child {
            Message::Node => counts.nodes += 1,
            Message::Tensor | Message::Value => counts.tensors += 1,
            _ => counts.parts += 1,
        }
        if child != Message::Leaf {
            walk(inside, child, depth, counts)?;
        }
    }
    Ok(())
}
