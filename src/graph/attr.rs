//! Attributes: how the fields of an operator travel through a file.

use super::op::OpError;

/// One attribute value.
#[derive(Clone, Debug, PartialEq)]
pub enum Attr {
    /// A signed integer (also booleans and sizes).
    Int(i64),
    /// A float.
    Float(f32),
    /// A list of integers.
    Ints(Vec<i64>),
    /// A list of floats.
    Floats(Vec<f32>),
    /// A name from a fixed set, or free text.
    Text(String),
}

/// A type that an operator's field may have.
pub trait AttrField: Sized {
    /// What is written to a file.
    fn to_attr(&self) -> Attr;
    /// What was read from a file; `None` if it has another kind or is out of range.
    fn from_attr(attr: &Attr) -> Option<Self>;
}

impl AttrField for bool {
    fn to_attr(&self) -> Attr {
        Attr::Int(*self as i64)
    }
    fn from_attr(attr: &Attr) -> Option<bool> {
        match attr {
            Attr::Int(0) => Some(false),
            Attr::Int(1) => Some(true),
            _ => None,
        }
    }
}

impl AttrField for i64 {
    fn to_attr(&self) -> Attr {
        Attr::Int(*self)
    }
    fn from_attr(attr: &Attr) -> Option<i64> {
        match attr {
            Attr::Int(v) => Some(*v),
            _ => None,
        }
    }
}

impl AttrField for usize {
    fn to_attr(&self) -> Attr {
        Attr::Int(*self as i64)
    }
    fn from_attr(attr: &Attr) -> Option<usize> {
        match attr {
            Attr::Int(v) => usize::try_from(*v).ok(),
            _ => None,
        }
    }
}

impl AttrField for f32 {
    fn to_attr(&self) -> Attr {
        Attr::Float(*self)
    }
    fn from_attr(attr: &Attr) -> Option<f32> {
        match attr {
            Attr::Float(v) => Some(*v),
            _ => None,
        }
    }
}

impl AttrField for Vec<i64> {
    fn to_attr(&self) -> Attr {
        Attr::Ints(self.clone())
    }
    fn from_attr(attr: &Attr) -> Option<Vec<i64>> {
        match attr {
            Attr::Ints(v) => Some(v.clone()),
            _ => None,
        }
    }
}

impl AttrField for Vec<usize> {
    fn to_attr(&self) -> Attr {
        Attr::Ints(self.iter().map(|&v| v as i64).collect())
    }
    fn from_attr(attr: &Attr) -> Option<Vec<usize>> {
        match attr {
            Attr::Ints(v) => v.iter().map(|&v| usize::try_from(v).ok()).collect(),
            _ => None,
        }
    }
}

impl<const N: usize> AttrField for [usize; N] {
    fn to_attr(&self) -> Attr {
        self.to_vec().to_attr()
    }
    fn from_attr(attr: &Attr) -> Option<[usize; N]> {
        Vec::<usize>::from_attr(attr)?.try_into().ok()
    }
}

impl AttrField for String {
    fn to_attr(&self) -> Attr {
        Attr::Text(self.clone())
    }
    fn from_attr(attr: &Attr) -> Option<String> {
        match attr {
            Attr::Text(v) => Some(v.clone()),
            _ => None,
        }
    }
}

/// Reads one field of an operator out of its attributes.
pub(super) fn field<T: AttrField>(
    op: &'static str,
    name: &'static str,
    attrs: &[(String, Attr)],
) -> Result<T, OpError> {
    let found = attrs.iter().find(|(n, _)| n == name).ok_or(OpError::Missing { op, attr: name })?;
    T::from_attr(&found.1).ok_or(OpError::Kind { op, attr: name })
}

/// An enum without fields whose variants are written as text.
macro_rules! text_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vmeta])* $variant,)* }

        impl $name {
            /// Every variant.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
            /// The text that stands for it in files and tables.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }

        impl $crate::graph::AttrField for $name {
            fn to_attr(&self) -> $crate::graph::Attr {
                $crate::graph::Attr::Text(self.name().to_string())
            }
            fn from_attr(attr: &$crate::graph::Attr) -> Option<$name> {
                match attr {
                    $crate::graph::Attr::Text(t) => $name::ALL.iter().copied().find(|v| v.name() == t),
                    _ => None,
                }
            }
        }
    };
}
pub(super) use text_enum;
