//! Records -> graph. The graph's names and lists are copied out of the file, its constants are views into it.

use super::error::Place;
use super::frame::Frame;
use super::layout::*;
use super::pool::{Pool, Runs, Strings, Words};
use super::{FormatError, Loaded, PackedSection, Storage, rules};
use crate::graph::*;
use crate::limits::Limits;
use std::sync::Arc;

/// Reads a file that is in memory. Constants and packed weights become views into `storage`; nothing else of it
/// is kept. The storage must start at a multiple of 64, as [`AlignedBytes`] and mapped files do.
///
/// The graph is validated ([`Graph::validate`]), its size held against `limits`. What operators ask of their
/// inputs is checked when a model is made of it.
///
/// # Errors
/// Whatever `docs/format.md` asks of a file and this one fails; [`FormatError::Limit`] beyond `limits`.
pub fn read(storage: Storage, limits: &Limits) -> Result<Loaded, FormatError> {
    let bytes = (*storage).as_ref();
    let frame = Frame::check(bytes, limits)?;
    let mut decoder = Decoder::new(&frame, &storage, limits)?;
    let mut graph = decoder.graph()?;
    decoder.finish()?;
    graph.states = states(&frame)?;
    let packed = packed(&frame, &storage, graph.nodes.len())?;
    graph.validate()?;
    rules::check(&graph)?;
    Ok(Loaded { graph, packed, skipped: frame.skipped, checksum: frame.header.checksum })
}

struct Decoder<'a> {
    storage: &'a Storage,
    limits: &'a Limits,
    header: Header,
    strings: Strings<'a>,
    words: Words<'a>,
    tensors: Pool<'a, TensorRecord>,
    nodes: Pool<'a, NodeRecord>,
    attrs: Pool<'a, AttrRecord>,
    ids: Pool<'a, u32>,
    ints: Pool<'a, i64>,
    floats: Pool<'a, f32>,
    zero_points: Pool<'a, i32>,
    data: Runs<'a>,
}

impl<'a> Decoder<'a> {
    fn new(frame: &Frame<'a>, storage: &'a Storage, limits: &'a Limits) -> Result<Decoder<'a>, FormatError> {
        let data = frame.section(Section::Data)?;
        if data.count != 0 {
            return Err(data.size_error());
        }
        Ok(Decoder {
            storage,
            limits,
            header: frame.header,
            strings: Strings::new(frame.section(Section::Strings)?)?,
            words: Words::new(frame.section(Section::Words)?)?,
            tensors: Pool::new(frame, Section::Tensors)?,
            nodes: Pool::new(frame, Section::Nodes)?,
            attrs: Pool::new(frame, Section::Attrs)?,
            ids: Pool::new(frame, Section::Ids)?,
            ints: Pool::new(frame, Section::Ints)?,
            floats: Pool::new(frame, Section::Floats)?,
            zero_points: Pool::new(frame, Section::ZeroPoints)?,
            data: Runs::new(frame.bytes, data, 0),
        })
    }

    /// In the order of the file. Memory is taken for as much as the sections hold, never for what a count says.
    fn graph(&mut self) -> Result<Graph, FormatError> {
        let (tensors, nodes) = (self.tensors.len(), self.nodes.len());
        check_limit("tensors", "tensors".to_string(), tensors, self.limits.tensors)?;
        check_limit("nodes", "nodes".to_string(), nodes, self.limits.nodes)?;
        let name = self.string("the graph's name", 0)?;
        let mut graph = Graph { name, ..Graph::default() };
        graph.dims.reserve_exact(self.strings.len().min(self.header.free_dims as usize));
        for i in 0..self.header.free_dims as usize {
            graph.dims.push(self.string("free dimension", i)?);
        }
        graph.tensors.reserve_exact(tensors);
        for i in 0..tensors {
            graph.tensors.push(self.tensor(i)?);
        }
        graph.inputs = self.ids("the graph's inputs", self.header.inputs)?;
        graph.outputs = self.ids("the graph's outputs", self.header.outputs)?;
        graph.nodes.reserve_exact(nodes);
        for i in 0..nodes {
            graph.nodes.push(self.node(i)?);
        }
        graph.metadata.reserve_exact(self.strings.len().min(self.header.metadata as usize));
        for i in 0..self.header.metadata as usize {
            let key = self.string("key of metadata", i)?;
            graph.metadata.push((key, self.string("value of metadata", i)?));
        }
        Ok(graph)
    }

    fn finish(self) -> Result<(), FormatError> {
        self.strings.finish()?;
        self.words.finish()?;
        self.attrs.finish()?;
        self.ids.finish()?;
        self.ints.finish()?;
        self.floats.finish()?;
        self.zero_points.finish()?;
        self.data.finish()
    }

    fn string(&mut self, what: &str, index: usize) -> Result<String, FormatError> {
        let offset = self.strings.position();
        let place = || Place { record: format!("{what} {index}"), offset };
        Ok(self.strings.take(place)?.to_string())
    }

    fn ids(&mut self, what: &str, count: u32) -> Result<Vec<TensorId>, FormatError> {
        let offset = self.ids.position();
        let ids = self.ids.take(count.into(), || Place { record: what.to_string(), offset })?;
        Ok(ids.iter().map(|&i| TensorId(i)).collect())
    }

    fn tensor(&mut self, index: usize) -> Result<Tensor, FormatError> {
        let offset = self.tensors.position();
        let unnamed = || Place { record: format!("tensor {index}"), offset };
        let record = self.tensors.take(1, unnamed)?[0];
        let name = self.strings.take(unnamed)?;
        let at = || Place { record: format!("tensor {index} '{name}'"), offset };
        if record.reserved != 0 {
            return Err(FormatError::NotZero { what: "a reserved field of a tensor", offset });
        }
        let dtype = DType::from_code(record.dtype).ok_or_else(|| {
            let code = record.dtype;
            match RESERVED_DTYPES.iter().find(|r| r.0 == code) {
                Some(&(_, bits)) => FormatError::ReservedDType { at: at(), code, bits },
                None => FormatError::DType { at: at(), code },
            }
        })?;
        let rank = usize::from(record.rank);
        if rank > MAX_RANK {
            return Err(FormatError::Rank { at: at(), rank, max: MAX_RANK });
        }
        check_limit("rank", format!("dimensions of {}", at()), rank, self.limits.rank)?;
        let codes = self.ints.take(rank as u64, at)?;
        let free = self.header.free_dims as usize;
        let mut shape = Shape(Vec::with_capacity(rank));
        for (axis, &value) in codes.iter().enumerate() {
            shape.0.push(dim(value, free).ok_or_else(|| FormatError::Dim { at: at(), axis, value, free })?);
        }
        let quant = self.quant(&record, at)?;
        let mut tensor = Tensor { name: name.to_string(), shape, dtype, quant, data: None };
        tensor.data = self.constant(&record, &tensor, at)?;
        Ok(tensor)
    }

    fn quant(&mut self, record: &TensorRecord, at: impl Fn() -> Place) -> Result<Option<Quant>, FormatError> {
        let axis = match (record.quant, record.axis, record.channels) {
            (TensorRecord::PLAIN, 0, 0) => return Ok(None),
            (TensorRecord::PER_TENSOR, 0, 1) => None,
            (TensorRecord::PER_AXIS | TensorRecord::SYMMETRIC, axis, _) => Some(usize::from(axis)),
            (kind, axis, channels) => {
                return Err(FormatError::QuantKind { at: at(), kind, axis, channels });
            }
        };
        let count = u64::from(record.channels);
        let scale = self.floats.take(count, &at)?.to_vec();
        let zero_point = match record.quant {
            TensorRecord::SYMMETRIC => vec![0; scale.len()],
            _ => self.zero_points.take(count, &at)?.to_vec(),
        };
        if record.quant == TensorRecord::PER_AXIS && zero_point.iter().all(|&z| z == 0) {
            return Err(FormatError::NeedlessZeroPoints { at: at() });
        }
        Ok(Some(Quant { axis, scale, zero_point }))
    }

    fn constant(
        &mut self,
        record: &TensorRecord,
        tensor: &Tensor,
        at: impl Fn() -> Place,
    ) -> Result<Option<Data>, FormatError> {
        let TensorRecord { constant, offset, len, .. } = *record;
        match (constant, offset, len) {
            (0, 0, 0) => return Ok(None),
            (1, ..) => {}
            (value, ..) => return Err(FormatError::ConstantFlag { at: at(), value, offset, len }),
        }
        let wanted =
            tensor.byte_len().ok_or_else(|| FormatError::ShapeOverflow { tensor: at().to_string() })?;
        if len != wanted as u64 {
            return Err(FormatError::DataSize { at: at(), len, wanted });
        }
        view(self.storage, &mut self.data, offset, len, &at()).map(Some)
    }

    fn node(&mut self, index: usize) -> Result<Node, FormatError> {
        let offset = self.nodes.position();
        let unnamed = || Place { record: format!("node {index}"), offset };
        let record = self.nodes.take(1, unnamed)?[0];
        let name = self.strings.take(unnamed)?;
        let at = || Place { record: format!("node {index} '{name}'"), offset };
        if record.reserved != 0 {
            return Err(FormatError::NotZero { what: "a reserved field of a node", offset });
        }
        if record.attrs > MAX_ATTRS {
            return Err(FormatError::AttrCount { at: at(), count: record.attrs, max: MAX_ATTRS });
        }
        let inputs = self.ids.take(record.inputs.into(), at)?;
        let outputs = self.ids.take(record.outputs.into(), at)?;
        let mut attrs = Vec::with_capacity(record.attrs.into());
        for _ in 0..record.attrs {
            attrs.push(self.attr(name)?);
        }
        let op = Op::from_attrs(record.op, &attrs).map_err(|source| FormatError::Op { at: at(), source })?;
        let own = op.attrs();
        if !own.iter().map(|(n, _)| *n).eq(attrs.iter().map(|(n, _)| n.as_str())) {
            let names: Vec<&str> = own.iter().map(|(n, _)| *n).collect();
            return Err(FormatError::AttrList { at: at(), op: op.name(), wanted: names.join(", ") });
        }
        let present = |id: u32| (id != ABSENT).then_some(TensorId(id));
        Ok(Node {
            name: name.to_string(),
            op,
            inputs: inputs.iter().map(|&i| present(i)).collect(),
            outputs: outputs.iter().map(|&i| TensorId(i)).collect(),
        })
    }

    fn attr(&mut self, node: &str) -> Result<(String, Attr), FormatError> {
        let offset = self.attrs.position();
        let at = || Place { record: format!("an attribute of node '{node}'"), offset };
        let AttrRecord { name, kind, value } = self.attrs.take(1, at)?[0];
        let name = self.words.get(name.into(), at)?;
        let attr = match kind {
            AttrRecord::INT => Attr::Int(value as i64),
            AttrRecord::FLOAT => match u32::try_from(value) {
                Ok(bits) => Attr::Float(f32::from_bits(bits)),
                Err(_) => return Err(FormatError::AttrKind { at: at(), kind, value }),
            },
            AttrRecord::INTS => Attr::Ints(self.ints.take(value, at)?.to_vec()),
            AttrRecord::FLOATS => Attr::Floats(self.floats.take(value, at)?.to_vec()),
            AttrRecord::TEXT => Attr::Text(self.words.get(value, at)?.to_string()),
            AttrRecord::LONG_TEXT => {
                let text = self.strings.take(at)?;
                // Short texts are words, so that each has one form.
                if value <= MAX_WORD as u64 || value != text.len() as u64 {
                    return Err(FormatError::LongText { at: at(), value, len: text.len() });
                }
                Attr::Text(text.to_string())
            }
            _ => return Err(FormatError::AttrKind { at: at(), kind, value }),
        };
        rules::check_attr(node, name, &attr)?;
        Ok((name.to_string(), attr))
    }
}

fn dim(code: i64, free: usize) -> Option<Dim> {
    match usize::try_from(code) {
        Ok(n) => Some(Dim::Fixed(n)),
        // -1 is free dimension 0; `!` can't overflow where `-1 - code` could.
        Err(_) => usize::try_from(!code).ok().filter(|&i| i < free).map(|i| Dim::Free(i as u32)),
    }
}

fn check_limit(limit: &'static str, what: String, value: usize, max: usize) -> Result<(), FormatError> {
    if value <= max {
        return Ok(());
    }
    Err(FormatError::Limit { limit, what, value: value as u64, max: max as u64 })
}

fn view(
    storage: &Storage,
    runs: &mut Runs<'_>,
    offset: u64,
    len: u64,
    at: &Place,
) -> Result<Data, FormatError> {
    let range = runs.take(offset, len, at)?;
    let end = range.end;
    Data::view(Arc::clone(storage), range.start, range.len()).ok_or_else(|| FormatError::DataEnd {
        at: at.clone(),
        offset,
        len,
        end,
    })
}

fn states(frame: &Frame<'_>) -> Result<Vec<State>, FormatError> {
    let Some(span) = frame.optional(Section::States) else { return Ok(Vec::new()) };
    let records = span.records::<StateRecord>()?;
    if records.is_empty() {
        return Err(span.size_error());
    }
    if let Some(i) = records.iter().position(|r| r.reserved != 0) {
        let offset = span.offset + i * size_of::<StateRecord>();
        return Err(FormatError::NotZero { what: "a reserved field of a state", offset });
    }
    let state = |r: &StateRecord| State {
        input: r.input as usize,
        output: r.output as usize,
        initial: (r.initial != ABSENT).then_some(TensorId(r.initial)),
    };
    Ok(records.iter().map(state).collect())
}

fn packed(frame: &Frame<'_>, storage: &Storage, nodes: usize) -> Result<Vec<PackedSection>, FormatError> {
    let Some(span) = frame.optional(Section::Packed) else { return Ok(Vec::new()) };
    if span.count == 0 {
        return Err(span.size_error());
    }
    let (records, _) = span.head::<PackedRecord>()?;
    let mut runs = Runs::new(frame.bytes, span, size_of_val(records));
    let mut sections = Vec::with_capacity(records.len());
    for (i, record) in records.iter().enumerate() {
        let offset = span.offset + i * size_of::<PackedRecord>();
        let at = Place { record: format!("packed weights {i}"), offset };
        let data = view(storage, &mut runs, record.offset, record.len, &at)?;
        sections.push(PackedSection { node: record.node as usize, layout: record.layout, data });
    }
    runs.finish()?;
    rules::check_packed(sections.iter(), nodes)?;
    Ok(sections)
}
