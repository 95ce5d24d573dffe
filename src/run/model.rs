//! A graph that is ready to run, and where it comes from.

use super::{RunError, Session, SessionOptions};
use crate::format::{self, PackedSection};
use crate::graph::{Graph, Node, TensorId};
use crate::limits::Limits;
use crate::plan::{PackedStore, PackedWeights, Shared};
use crate::{Error, Result};
use ottava_kernels::Isa;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// A network that is ready to run. Cheap to clone; any number of sessions share its weights, as they are stored and as
/// kernels read them.
#[derive(Clone)]
pub struct Model {
    pub(super) graph: Arc<Graph>,
    pub(super) packed: Arc<PackedStore>,
    pub(super) shared: Arc<Shared>,
    /// Made when it is first asked for: it reads all weights.
    fingerprint: Arc<OnceLock<u64>>,
}

impl Model {
    /// Reads a `.8va` file into memory, verifies it completely and takes it.
    ///
    /// # Errors
    /// The file can't be read, is larger than the limits allow, or is damaged.
    pub fn open(path: impl AsRef<Path>, limits: &Limits) -> Result<Model> {
        Model::from_loaded(format::open(path.as_ref(), limits)?)
    }

    /// Takes the bytes of a `.8va` file.
    ///
    /// # Errors
    /// The bytes are damaged, or more than the limits allow.
    pub fn from_bytes(bytes: Vec<u8>, limits: &Limits) -> Result<Model> {
        Model::from_loaded(format::read_bytes(bytes, limits)?)
    }

    /// Takes a graph.
    ///
    /// # Errors
    /// The graph is not well formed.
    pub fn from_graph(graph: Graph) -> Result<Model> {
        graph.validate()?;
        Ok(Model::new(graph, PackedStore::new()))
    }

    fn new(graph: Graph, packed: PackedStore) -> Model {
        let (graph, packed) = (Arc::new(graph), Arc::new(packed));
        Model { graph, packed, shared: Arc::default(), fingerprint: Arc::default() }
    }

    pub(crate) fn from_loaded(loaded: format::Loaded) -> Result<Model> {
        let mut packed = PackedStore::new();
        for section in loaded.packed {
            // A section belongs to the node's weights, which are its second input.
            let weights = loaded.graph.nodes.get(section.node).and_then(|n| n.input(1));
            if let Some(tensor) = weights {
                let bytes = PackedWeights { tensor, layout: section.layout, bytes: section.data };
                packed.entry(tensor).or_default().push(bytes);
            }
        }
        Ok(Model::new(loaded.graph, packed))
    }

    /// Holds the packed weights that came with the file against its canonical weights: packs these again for every
    /// instruction set of this processor and compares. Returns how many sections no kernel here could check.
    ///
    /// # Errors
    /// A section is not what packing makes of the canonical weights, or the graph can't be run.
    pub fn check_packed(&self, options: &SessionOptions) -> Result<usize> {
        let plain = Model { packed: Arc::default(), shared: Arc::default(), ..self.clone() };
        let mut left: Vec<&PackedWeights> = self.packed.values().flatten().collect();
        for isa in Isa::available().into_iter().rev() {
            if left.is_empty() {
                break;
            }
            let session = plain.session(&SessionOptions { isa, ..options.clone() })?;
            for fresh in session.packed_weights() {
                let same = |s: &&PackedWeights| s.tensor == fresh.tensor && s.layout == fresh.layout;
                if left.iter().any(|s| same(s) && s.bytes != fresh.bytes) {
                    let weights = self.graph.tensor(fresh.tensor).name.clone();
                    return Err(RunError::Packed { weights, layout: fresh.layout }.into());
                }
                left.retain(|s| !same(s));
            }
        }
        Ok(left.len())
    }

    /// The weights of a session of this model in the order in which its kernels read them, for
    /// [`format::save`]: the file then loads without packing where these kernels run.
    pub fn packed_sections(&self, session: &Session) -> Vec<PackedSection> {
        let reads = |node: &Node, weights: TensorId| node.input(1) == Some(weights);
        let mut sections: Vec<PackedSection> = session
            .packed_weights()
            .filter_map(|p| {
                let node = self.graph.nodes.iter().position(|n| reads(n, p.tensor))?;
                Some(PackedSection { node, layout: p.layout, data: p.bytes.clone() })
            })
            .collect();
        sections.sort_by_key(|s| (s.node, s.layout));
        sections.dedup_by_key(|s| (s.node, s.layout));
        sections
    }

    /// A number that names the network, weights included: equal graphs have equal ones.
    ///
    /// # Errors
    /// The graph is one that no file can hold.
    pub fn fingerprint(&self) -> Result<u64> {
        if let Some(known) = self.fingerprint.get() {
            return Ok(*known);
        }
        let made = format::fingerprint(&self.graph)?;
        Ok(*self.fingerprint.get_or_init(|| made))
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// A session: free dimensions bound, kernels chosen, weights packed, memory laid out, threads started.
    ///
    /// # Errors
    /// A shape doesn't fit, a node can't be run, a limit is exceeded, or threads can't be started.
    pub fn session(&self, options: &SessionOptions) -> Result<Session> {
        Session::new(self, options)
    }
}

impl TryFrom<Graph> for Model {
    type Error = Error;
    fn try_from(graph: Graph) -> Result<Model> {
        Model::from_graph(graph)
    }
}
