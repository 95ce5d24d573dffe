//! Graph -> bytes. The same graph always becomes the same bytes.

use super::checksum::xxh64;
use super::layout::*;
use super::{FormatError, PackedSection, reseal, rules};
use crate::graph::*;
use std::collections::{BTreeMap, BTreeSet};

/// The file of a graph, with these packed weights (in any order; each pair of node and layout once).
///
/// # Errors
/// [`FormatError::Graph`] and the variants for names, attributes and unused tensors: what a reader would refuse
/// is not written. [`FormatError::TooLarge`] where a field of the format can't count what the graph has.
pub fn write(graph: &Graph, packed: &[PackedSection]) -> Result<Vec<u8>, FormatError> {
    graph.validate()?;
    rules::check(graph)?;
    let mut packed: Vec<&PackedSection> = packed.iter().collect();
    packed.sort_by_key(|p| (p.node, p.layout));
    rules::check_packed(packed.iter().copied(), graph.nodes.len())?;
    Encoder::encode(graph)?.assemble(graph, &packed)
}

/// A number that names a graph, its constants' values and its metadata: the same for equal graphs, whatever packed
/// weights a file has beside them. Reads all constants once.
///
/// # Errors
/// As [`write()`].
pub(crate) fn fingerprint(graph: &Graph) -> Result<u64, FormatError> {
    let e = Encoder::encode(graph)?;
    let texts = [&e.strings, &e.words];
    let mut all = Vec::new();
    let mut part = |bytes: &[u8]| all.extend(xxh64(bytes).to_le_bytes());
    texts.iter().for_each(|t| part(bytemuck::cast_slice(&t.ends)));
    texts.iter().for_each(|t| part(t.text.as_bytes()));
    part(bytemuck::cast_slice(&e.tensors));
    part(bytemuck::cast_slice(&e.nodes));
    part(bytemuck::cast_slice(&e.attrs));
    part(bytemuck::cast_slice(&e.ids));
    part(bytemuck::cast_slice(&e.ints));
    part(bytemuck::cast_slice(&e.floats));
    part(bytemuck::cast_slice(&e.zero_points));
    part(bytemuck::cast_slice(&e.states));
    graph.tensors.iter().filter_map(|t| t.data.as_ref()).for_each(|data| part(data.bytes()));
    Ok(xxh64(&all))
}

/// Contents of the sections, filled in the order in which a reader takes them.
#[derive(Default)]
struct Encoder {
    strings: Texts,
    words: Texts,
    tensors: Vec<TensorRecord>,
    nodes: Vec<NodeRecord>,
    attrs: Vec<AttrRecord>,
    ids: Vec<u32>,
    ints: Vec<i64>,
    floats: Vec<f32>,
    zero_points: Vec<i32>,
    states: Vec<StateRecord>,
}

/// Strings on their way to a section.
#[derive(Default)]
struct Texts {
    ends: Vec<u32>,
    text: String,
}

impl Texts {
    fn push(&mut self, text: &str) -> Result<(), FormatError> {
        self.text.push_str(text);
        self.ends.push(count(self.text.len(), "bytes of names")?);
        Ok(())
    }
}

type NodeAttrs = Vec<(&'static str, Attr)>;

impl Encoder {
    fn encode(graph: &Graph) -> Result<Encoder, FormatError> {
        let mut e = Encoder::default();
        e.strings.push(&graph.name)?;
        for name in &graph.dims {
            e.strings.push(name)?;
        }
        for tensor in &graph.tensors {
            e.tensor(tensor)?;
        }
        e.ids.extend(graph.inputs.iter().chain(&graph.outputs).map(|id| id.0));
        let attrs: Vec<NodeAttrs> = graph.nodes.iter().map(|n| n.op.attrs()).collect();
        let words = e.collect_words(graph, &attrs)?;
        for (node, attrs) in graph.nodes.iter().zip(&attrs) {
            e.node(node, attrs, &words)?;
        }
        for state in &graph.states {
            e.states.push(StateRecord {
                input: count(state.input, "graph inputs")?,
                output: count(state.output, "graph outputs")?,
                initial: state.initial.map_or(ABSENT, |id| id.0),
                reserved: 0,
            });
        }
        for (key, value) in &graph.metadata {
            e.strings.push(key)?;
            e.strings.push(value)?;
        }
        Ok(e)
    }

    /// Writes every name and short text of an attribute once, in ascending order, and numbers them.
    fn collect_words<'a>(
        &mut self,
        graph: &Graph,
        attrs: &'a [NodeAttrs],
    ) -> Result<BTreeMap<&'a str, u32>, FormatError> {
        let mut words = BTreeSet::new();
        for (node, attrs) in graph.nodes.iter().zip(attrs) {
            for (name, attr) in attrs {
                rules::check_attr(&node.name, name, attr)?;
                words.insert(*name);
                if let Attr::Text(text) = attr
                    && text.len() <= MAX_WORD
                {
                    words.insert(text);
                }
            }
        }
        for word in &words {
            self.words.push(word)?;
        }
        Ok(words.into_iter().zip(0..).collect())
    }

    fn tensor(&mut self, t: &Tensor) -> Result<(), FormatError> {
        self.strings.push(&t.name)?;
        for dim in t.shape.iter() {
            self.ints.push(match dim {
                Dim::Fixed(n) => i64::try_from(*n)
                    .map_err(|_| FormatError::TooLarge { what: "elements along a dimension", value: *n })?,
                Dim::Free(i) => !i64::from(*i),
            });
        }
        let (quant, axis, channels) = match &t.quant {
            None => (TensorRecord::PLAIN, 0, 0),
            Some(q) => {
                let kind = match q.axis {
                    None => TensorRecord::PER_TENSOR,
                    Some(_) if q.zero_point.iter().all(|&z| z == 0) => TensorRecord::SYMMETRIC,
                    Some(_) => TensorRecord::PER_AXIS,
                };
                self.floats.extend(&q.scale);
                if kind != TensorRecord::SYMMETRIC {
                    self.zero_points.extend(&q.zero_point);
                }
                // Graph::validate has held axis and rank against MAX_RANK.
                (kind, q.axis.unwrap_or(0) as u8, count(q.scale.len(), "scales of a tensor")?)
            }
        };
        self.tensors.push(TensorRecord {
            dtype: t.dtype as u8,
            rank: t.shape.rank() as u8,
            quant,
            axis,
            channels,
            constant: t.data.is_some().into(),
            reserved: 0,
            // Known once all other sections are.
            offset: 0,
            len: t.data.as_ref().map_or(0, |d| d.bytes().len() as u64),
        });
        Ok(())
    }

    fn node(
        &mut self,
        node: &Node,
        attrs: &NodeAttrs,
        words: &BTreeMap<&str, u32>,
    ) -> Result<(), FormatError> {
        self.strings.push(&node.name)?;
        self.ids.extend(node.inputs.iter().map(|i| i.map_or(ABSENT, |id| id.0)));
        self.ids.extend(node.outputs.iter().map(|id| id.0));
        self.nodes.push(NodeRecord {
            op: node.op.code(),
            attrs: attrs.len() as u16,
            inputs: count(node.inputs.len(), "inputs of a node")?,
            outputs: count(node.outputs.len(), "outputs of a node")?,
            reserved: 0,
        });
        for (name, attr) in attrs {
            let (kind, value) = match attr {
                Attr::Int(v) => (AttrRecord::INT, *v as u64),
                Attr::Float(v) => (AttrRecord::FLOAT, v.to_bits().into()),
                Attr::Ints(v) => {
                    self.ints.extend(v);
                    (AttrRecord::INTS, v.len() as u64)
                }
                Attr::Floats(v) => {
                    self.floats.extend(v);
                    (AttrRecord::FLOATS, v.len() as u64)
                }
                Attr::Text(v) if v.len() > MAX_WORD => {
                    self.strings.push(v)?;
                    (AttrRecord::LONG_TEXT, v.len() as u64)
                }
                Attr::Text(v) => (AttrRecord::TEXT, words[v.as_str()].into()),
            };
            self.attrs.push(AttrRecord { name: words[name], kind, value });
        }
        Ok(())
    }

    /// Lays the sections out and puts the file together.
    fn assemble(mut self, graph: &Graph, packed: &[&PackedSection]) -> Result<Vec<u8>, FormatError> {
        let absent = [packed.is_empty(), graph.states.is_empty()];
        let section_count = Section::ALL.len() - absent.into_iter().filter(|a| *a).count();
        let mut file = Assembly::new(section_count);
        file.texts(Section::Strings, &self.strings)?;
        file.texts(Section::Words, &self.words)?;
        let tensors_at = file.records(Section::Tensors, &self.tensors)?;
        file.records(Section::Nodes, &self.nodes)?;
        file.records(Section::Attrs, &self.attrs)?;
        file.records(Section::Ids, &self.ids)?;
        file.records(Section::Ints, &self.ints)?;
        file.records(Section::Floats, &self.floats)?;
        file.records(Section::ZeroPoints, &self.zero_points)?;
        let start = file.begin();
        for (tensor, record) in graph.tensors.iter().zip(&mut self.tensors) {
            if let Some(data) = &tensor.data {
                record.offset = file.begin() as u64;
                file.bytes.extend_from_slice(data.bytes());
            }
        }
        file.end(Section::Data, start, 0);
        file.patch(tensors_at, &self.tensors);
        if !packed.is_empty() {
            file.packed(packed)?;
        }
        if !self.states.is_empty() {
            file.records(Section::States, &self.states)?;
        }
        Ok(file.finish(Header {
            magic: MAGIC,
            checksum: 0,
            version: VERSION,
            sections: section_count as u32,
            features: 0,
            file_len: 0,
            free_dims: count(graph.dims.len(), "free dimensions")?,
            inputs: count(graph.inputs.len(), "graph inputs")?,
            outputs: count(graph.outputs.len(), "graph outputs")?,
            metadata: count(graph.metadata.len(), "metadata")?,
            reserved: 0,
        }))
    }
}

/// A file that grows section by section behind room for header and section table.
struct Assembly {
    bytes: Vec<u8>,
    table: Vec<SectionRecord>,
}

impl Assembly {
    fn new(sections: usize) -> Assembly {
        let start = size_of::<Header>() + sections * size_of::<SectionRecord>();
        Assembly { bytes: vec![0; start], table: Vec::with_capacity(sections) }
    }

    /// Pads to the next multiple of 64 and gives it.
    fn begin(&mut self) -> usize {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGN), 0);
        self.bytes.len()
    }

    fn end(&mut self, section: Section, start: usize, count: u32) {
        let len = (self.bytes.len() - start) as u64;
        let (kind, flags) = (section as u32, section.flags());
        self.table.push(SectionRecord { kind, flags, offset: start as u64, len, count, reserved: 0 });
    }

    fn patch<T: bytemuck::NoUninit>(&mut self, at: usize, records: &[T]) {
        let bytes = bytemuck::cast_slice(records);
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn records<T: bytemuck::NoUninit>(
        &mut self,
        section: Section,
        records: &[T],
    ) -> Result<usize, FormatError> {
        let start = self.begin();
        self.bytes.extend_from_slice(bytemuck::cast_slice(records));
        self.end(section, start, count(records.len(), section.name())?);
        Ok(start)
    }

    fn texts(&mut self, section: Section, texts: &Texts) -> Result<(), FormatError> {
        let start = self.begin();
        self.bytes.extend_from_slice(bytemuck::cast_slice(&texts.ends));
        self.bytes.extend_from_slice(texts.text.as_bytes());
        self.end(section, start, count(texts.ends.len(), section.name())?);
        Ok(())
    }

    fn packed(&mut self, packed: &[&PackedSection]) -> Result<(), FormatError> {
        let start = self.begin();
        self.bytes.resize(start + packed.len() * size_of::<PackedRecord>(), 0);
        let mut records = Vec::with_capacity(packed.len());
        for p in packed {
            let offset = self.begin() as u64;
            self.bytes.extend_from_slice(p.data.bytes());
            let (node, len) = (count(p.node, "nodes")?, p.data.bytes().len() as u64);
            records.push(PackedRecord { node, layout: p.layout, offset, len });
        }
        self.patch(start, &records);
        self.end(Section::Packed, start, count(packed.len(), "packed weights")?);
        Ok(())
    }

    fn finish(mut self, header: Header) -> Vec<u8> {
        let end = self.begin();
        self.bytes.resize(end + TAIL, 0);
        self.patch(0, &[header]);
        let table = std::mem::take(&mut self.table);
        self.patch(size_of::<Header>(), &table);
        reseal(&mut self.bytes);
        self.bytes
    }
}

fn count(n: usize, what: &'static str) -> Result<u32, FormatError> {
    u32::try_from(n).map_err(|_| FormatError::TooLarge { what, value: n })
}
