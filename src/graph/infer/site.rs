//! A node and its surroundings, as the rules see it.

use super::super::*;
use super::dims::Extent;
use super::values::{Element, Values};

/// What a rule gives: the complaint names the trouble, the caller adds the node.
pub(super) type Rule<T> = Result<T, String>;

/// A node that is being inferred.
pub(super) struct Site<'a> {
    pub graph: &'a Graph,
    pub values: &'a Values,
    pub node: &'a Node,
    /// How many outputs it has.
    pub count: usize,
    /// The element type its outputs are declared to have.
    pub want: Option<DType>,
}

impl<'a> Site<'a> {
    /// Input `i`, if it is there.
    pub fn optional(&self, i: usize) -> Rule<Option<&'a Tensor>> {
        let Some(id) = self.node.input(i) else { return Ok(None) };
        let tensor = self.graph.tensors.get(id.index());
        tensor.map(Some).ok_or_else(|| format!("input tensor {} does not exist", id.0))
    }

    /// Input `i`, which must be there.
    pub fn tensor(&self, i: usize) -> Rule<&'a Tensor> {
        self.optional(i)?.ok_or_else(|| format!("input {i} is missing"))
    }

    /// The shape of input `i`.
    pub fn shape(&self, i: usize) -> Rule<&'a Shape> {
        Ok(&self.tensor(i)?.shape)
    }

    /// The dimensions of input `i`, which must have the rank that `layout` (`[N,H,W,C]`) shows.
    pub fn ranked<const R: usize>(&self, i: usize, layout: &str) -> Rule<[Dim; R]> {
        let t = self.tensor(i)?;
        t.shape.0.as_slice().try_into().map_err(|_| {
            format!("input {i} ('{}') has the shape {}, it must be {layout}", t.name, self.show(&t.shape))
        })
    }

    /// The integers of input `i`: a vector (or a scalar, as a vector of one) of i64 or i32.
    pub fn integers(&self, i: usize) -> Rule<Vec<Element>> {
        let t = self.tensor(i)?;
        if !matches!(t.dtype, DType::I64 | DType::I32) {
            return Err(format!("input {i} ('{}') is {}, it must be i64", t.name, t.dtype));
        }
        let len = match t.shape.0[..] {
            [] | [Dim::Fixed(1)] => 1,
            [Dim::Fixed(n)] if n <= Values::MAX_ELEMENTS => n,
            _ => {
                let shape = self.show(&t.shape);
                return Err(format!(
                    "input {i} ('{}') has the shape {shape}, it must be a short vector",
                    t.name
                ));
            }
        };
        let known = self.node.input(i).and_then(|id| self.values.get(self.graph, id));
        Ok(match known {
            Some(value) if value.elements.len() == len => value.elements,
            _ => vec![Element::Unknown; len],
        })
    }

    /// Fails if input `i` has no dimension `axis`.
    pub fn axis(&self, i: usize, axis: usize) -> Rule<Dim> {
        let shape = self.shape(i)?;
        shape.get(axis).copied().ok_or_else(|| format!("axis {axis} is not one of {}", self.show(shape)))
    }

    /// A shape as people write it.
    pub fn show(&self, shape: &Shape) -> String {
        self.graph.show_shape(shape)
    }

    /// Extents as people write them; `?` where nothing is known.
    pub fn show_extents(&self, extents: &[Extent]) -> String {
        let dim = |e: &Extent| match e {
            Some(d) => self.show(&Shape(vec![*d])).trim_matches(['[', ']']).to_string(),
            None => "?".to_string(),
        };
        format!("[{}]", extents.iter().map(dim).collect::<Vec<_>>().join(", "))
    }
}
