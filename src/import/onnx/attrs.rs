//! Reading a node's attributes: typed, each at most once, none overlooked.

use super::context::Stop;
use super::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_type as kind};

/// The attributes of one node. A handler asks for those that it knows; [`Attrs::finish`] refuses the others, so
/// that nothing that changes the result is passed over.
pub(super) struct Attrs<'a> {
    node: &'a NodeProto,
    asked: Vec<&'static str>,
}

impl<'a> Attrs<'a> {
    pub fn new(node: &'a NodeProto) -> Attrs<'a> {
        Attrs { node, asked: vec![] }
    }

    pub fn int(&mut self, name: &'static str) -> Result<Option<i64>, Stop> {
        Ok(self.find(name, kind::INT)?.map(|a| a.i))
    }

    pub fn int_or(&mut self, name: &'static str, default: i64) -> Result<i64, Stop> {
        Ok(self.int(name)?.unwrap_or(default))
    }

    /// An integer that stands for a truth value.
    pub fn flag(&mut self, name: &'static str, default: bool) -> Result<bool, Stop> {
        match self.int_or(name, default as i64)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Stop::because(format!("attribute '{name}' is {other}, it must be 0 or 1"))),
        }
    }

    pub fn float(&mut self, name: &'static str) -> Result<Option<f32>, Stop> {
        Ok(self.find(name, kind::FLOAT)?.map(|a| a.f))
    }

    /// A finite float.
    pub fn float_or(&mut self, name: &'static str, default: f32) -> Result<f32, Stop> {
        match self.float(name)?.unwrap_or(default) {
            v if v.is_finite() => Ok(v),
            v => Err(Stop::because(format!("attribute '{name}' is {v}, it must be finite"))),
        }
    }

    pub fn ints(&mut self, name: &'static str) -> Result<Option<&'a [i64]>, Stop> {
        Ok(self.find(name, kind::INTS)?.map(|a| a.ints.as_slice()))
    }

    pub fn floats(&mut self, name: &'static str) -> Result<Option<&'a [f32]>, Stop> {
        Ok(self.find(name, kind::FLOATS)?.map(|a| a.floats.as_slice()))
    }

    pub fn text_or(&mut self, name: &'static str, default: &'a str) -> Result<&'a str, Stop> {
        let Some(attribute) = self.find(name, kind::STRING)? else {
            return Ok(default);
        };
        std::str::from_utf8(&attribute.s)
            .map_err(|_| Stop::because(format!("attribute '{name}' is not valid UTF-8")))
    }

    pub fn texts(&mut self, name: &'static str) -> Result<Option<Vec<&'a str>>, Stop> {
        let Some(attribute) = self.find(name, kind::STRINGS)? else {
            return Ok(None);
        };
        let texts: Result<Vec<&str>, _> = attribute.strings.iter().map(|s| std::str::from_utf8(s)).collect();
        texts.map(Some).map_err(|_| Stop::because(format!("attribute '{name}' is not valid UTF-8")))
    }

    pub fn tensor(&mut self, name: &'static str) -> Result<Option<&'a TensorProto>, Stop> {
        let Some(attribute) = self.find(name, kind::TENSOR)? else {
            return Ok(None);
        };
        match &attribute.t {
            Some(t) => Ok(Some(t)),
            None => Err(Stop::because(format!("attribute '{name}' holds no tensor"))),
        }
    }

    /// The body of a branch or loop.
    pub fn graph(&mut self, name: &'static str) -> Result<&'a GraphProto, Stop> {
        match self.find(name, kind::GRAPH)?.map(|a| &a.g) {
            Some(Some(graph)) => Ok(graph),
            _ => Err(Stop::because(format!("attribute '{name}' holds no graph"))),
        }
    }

    /// Attributes that change nothing in inference.
    pub fn ignore(&mut self, names: &[&'static str]) {
        self.asked.extend(names);
    }

    /// Refuses the attributes that nobody asked for.
    pub fn finish(self) -> Result<(), Stop> {
        match self.node.attribute.iter().find(|a| !self.asked.contains(&a.name.as_str())) {
            None => Ok(()),
            Some(a) => Err(Stop::because(format!(
                "attribute '{}' does not exist in this version of the operator, or is not supported",
                a.name
            ))),
        }
    }

    fn find(&mut self, name: &'static str, wanted: i32) -> Result<Option<&'a AttributeProto>, Stop> {
        self.asked.push(name);
        let mut found = self.node.attribute.iter().filter(|a| a.name == name);
        let Some(attribute) = found.next() else {
            return Ok(None);
        };
        if found.next().is_some() {
            return Err(Stop::because(format!("attribute '{name}' is there twice")));
        }
        if !attribute.ref_attr_name.is_empty() {
            return Err(Stop::because(format!("attribute '{name}' is a parameter of a function: inline it")));
        }
        // The oldest exporters leave the type out.
        if attribute.r#type != wanted && attribute.r#type != kind::UNDEFINED {
            return Err(Stop::because(format!("attribute '{name}' is of the wrong type")));
        }
        Ok(Some(attribute))
    }
}
