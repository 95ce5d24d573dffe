//! Lengths of free dimensions that are given when a model is taken in.

use super::super::ImportError;
use super::proto::GraphProto;
use std::collections::HashMap;

/// The name of dimension `i` of an input, which the file may leave without one.
pub(super) fn dim_name(input: &str, i: usize, param: Option<&str>) -> String {
    match param {
        None | Some("") => format!("{input}_d{i}"),
        Some(name) => name.to_string(),
    }
}

/// The lengths that shapes of inputs give to free dimensions, by the dimensions' names. Shapes of what is no input are
/// passed over.
pub(super) fn fixed(
    graph: &GraphProto,
    shapes: &[(String, Vec<usize>)],
) -> Result<HashMap<String, usize>, ImportError> {
    let mut lengths = HashMap::new();
    for input in &graph.input {
        let Some((_, given)) = shapes.iter().find(|(name, _)| *name == input.name) else { continue };
        let fault = |what: String| Err(ImportError::tensor(&input.name, what));
        let tensor = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
        let dims = tensor.and_then(|t| t.shape.as_ref()).map_or(&[][..], |s| &s.dim);
        if dims.len() != given.len() {
            return fault(format!("is an input of rank {}, it can't be {given:?}", dims.len()));
        }
        for (i, (dim, &n)) in dims.iter().zip(given).enumerate() {
            match dim.dim_value {
                Some(fixed @ 0..) if usize::try_from(fixed) != Ok(n) => {
                    return fault(format!("is an input whose dimension {i} is {fixed}, it can't be {n}"));
                }
                Some(0..) => {}
                _ => {
                    let name = dim_name(&input.name, i, dim.dim_param.as_deref());
                    let before = lengths.insert(name.clone(), n);
                    if let Some(m) = before.filter(|m| *m != n) {
                        return fault(format!("makes the dimension '{name}' {n}, but it is {m} already"));
                    }
                }
            }
        }
    }
    Ok(lengths)
}
