//! Operators of the application.

use super::super::context::{Context, Stop};
use super::super::proto::{AttributeProto, attribute_type as kind};
use crate::graph::{Custom, TensorId};

/// A node of a registered operator, with its attributes as text.
pub(in super::super) fn import(cx: &mut Context, name: String) -> Result<Vec<TensorId>, Stop> {
    if cx.node.output.len() != 1 {
        return Err(Stop::because("an operator of the application has one output"));
    }
    let mut lines = cx.node.attribute.iter().map(line).collect::<Result<Vec<_>, _>>()?;
    lines.sort();
    let inputs = (0..cx.node.input.len()).map(|i| cx.input(i).map(Some)).collect::<Result<Vec<_>, _>>()?;
    cx.emit(Custom { name, parameters: lines.join("\n") }, &inputs)
}

fn line(attribute: &AttributeProto) -> Result<String, Stop> {
    let list = |values: Vec<String>| values.join(",");
    let value = match attribute.r#type {
        kind::FLOAT => attribute.f.to_string(),
        kind::INT => attribute.i.to_string(),
        kind::FLOATS => list(attribute.floats.iter().map(f32::to_string).collect()),
        kind::INTS => list(attribute.ints.iter().map(i64::to_string).collect()),
        kind::STRING => match std::str::from_utf8(&attribute.s) {
            Ok(text) if !text.contains('\n') => text.to_string(),
            _ => {
                return Err(Stop::because(format!(
                    "its attribute '{}' is not one line of text",
                    attribute.name
                )));
            }
        },
        _ => {
            return Err(Stop::because(format!(
                "its attribute '{}' is no number and no text",
                attribute.name
            )));
        }
    };
    Ok(format!("{}={value}", attribute.name))
}
