//! `docs/format.md` is what writers of other readers go by: its tables and its example are held against the code.

mod format_support;

use format_support::*;
use ottava::format;
use ottava::graph::*;

const PAGE: &str = include_str!("../docs/format.md");

fn assert_lines(wanted: impl IntoIterator<Item = String>) {
    let missing: Vec<String> = wanted.into_iter().filter(|w| !PAGE.lines().any(|l| l == w)).collect();
    assert!(missing.is_empty(), "docs/format.md lacks:\n{}", missing.join("\n"));
}

#[test]
fn element_types_are_listed() {
    assert_lines(DType::ALL.map(|d| format!("| {} | {} | {} |", d as u8, d, d.size())));
}

/// The enums that attributes use, by the names that the page gives them.
fn enums() -> Vec<(&'static str, Vec<&'static str>)> {
    macro_rules! names {
        ($($name:ident)*) => {
            vec![$((stringify!($name), $name::ALL.iter().map(|v| v.name()).collect()),)*]
        };
    }
    names!(UnaryKind BinaryKind ReduceKind PoolKind ScatterKind PadMode ResizeMode ResizeCoord ResampleFilter NearestMode
        RecurrentCell RowQuant Direction GateKind)
}

#[test]
fn texts_are_listed() {
    assert_lines(enums().into_iter().map(|(name, texts)| format!("| {name} | {} |", texts.join(", "))));
}

/// What an attribute takes, found by trying.
fn kind_of(takes: impl Fn(Attr) -> bool) -> (String, Attr) {
    let ints = |n: usize| Attr::Ints(vec![1; n]);
    if takes(Attr::Int(2)) {
        let kind = if takes(Attr::Int(-1)) { "int" } else { "size" };
        return (kind.to_string(), Attr::Int(2));
    }
    if takes(Attr::Int(1)) {
        return ("bool".to_string(), Attr::Int(1));
    }
    if takes(Attr::Float(1.0)) {
        return ("float".to_string(), Attr::Float(1.0));
    }
    if takes(ints(0)) {
        let kind = if takes(Attr::Ints(vec![-1])) { "ints" } else { "sizes" };
        return (kind.to_string(), ints(0));
    }
    if let Some(n) = (1..=MAX_RANK).find(|&n| takes(ints(n))) {
        return (format!("{n} sizes"), ints(n));
    }
    let bounds = Attr::Floats(vec![-1.0, 1.0]);
    if takes(bounds.clone()) && !takes(Attr::Floats(vec![1.0, -1.0])) {
        return ("bounds".to_string(), bounds);
    }
    let text = Attr::Text("any".to_string());
    if takes(text.clone()) {
        return ("text".to_string(), text);
    }
    let functions = Attr::Text("tanh elu:0.5 affine:1:0".to_string());
    if takes(functions.clone()) {
        return ("functions".to_string(), functions);
    }
    for (name, texts) in enums() {
        if texts.iter().all(|t| takes(Attr::Text(t.to_string()))) {
            return (name.to_string(), Attr::Text(texts[0].to_string()));
        }
    }
    panic!("an attribute of a kind that the page does not describe");
}

/// An operator's attributes as the page lists them, found by asking for the operator until nothing is missing.
fn signature(code: u16) -> String {
    let mut attrs: Vec<(String, Attr)> = Vec::new();
    let mut listed = Vec::new();
    while let Err(OpError::Missing { attr, .. }) = Op::from_attrs(code, &attrs) {
        let takes = |value: Attr| {
            let tried = [attrs.as_slice(), &[(attr.to_string(), value)]].concat();
            !matches!(Op::from_attrs(code, &tried), Err(OpError::Kind { attr: a, .. }) if a == attr)
        };
        let (kind, example) = kind_of(takes);
        listed.push(format!("{attr}: {kind}"));
        attrs.push((attr.to_string(), example));
    }
    assert!(Op::from_attrs(code, &attrs).is_ok());
    if listed.is_empty() { "none".to_string() } else { listed.join(", ") }
}

#[test]
fn operators_are_listed() {
    assert_lines(Op::TABLE.iter().map(|(code, name)| format!("| {code} | {name} | {} |", signature(*code))));
}

/// As `hexdump -C` prints it.
fn hexdump(bytes: &[u8]) -> String {
    let mut lines = Vec::new();
    let mut before: &[u8] = &[];
    for (i, row) in bytes.chunks(16).enumerate() {
        if row == before {
            if lines.last().is_none_or(|l| l != "*") {
                lines.push("*".to_string());
            }
            continue;
        }
        before = row;
        let hex = |part: &[u8]| part.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ");
        let text: String =
            row.iter().map(|&b| if (32..127).contains(&b) { char::from(b) } else { '.' }).collect();
        lines.push(format!("{:08x}  {}  {}  |{text}|", i * 16, hex(&row[..8]), hex(&row[8..])));
    }
    lines.push(format!("{:08x}", bytes.len()));
    lines.join("\n")
}

#[test]
fn example_is_the_smallest_file() {
    let file = format::write(&smallest(), &[]).expect("well formed");
    let dump = hexdump(&file);
    assert!(PAGE.contains(&dump), "docs/format.md should show:\n{dump}");
}

#[test]
fn sections_are_listed_with_their_numbers() {
    let names = [
        (STRINGS, "STRINGS"),
        (WORDS, "WORDS"),
        (TENSORS, "TENSORS"),
        (NODES, "NODES"),
        (ATTRS, "ATTRS"),
        (IDS, "IDS"),
        (INTS, "INTS"),
        (FLOATS, "FLOATS"),
        (ZERO_POINTS, "ZERO_POINTS"),
        (DATA, "DATA"),
        (PACKED, "PACKED"),
    ];
    for (kind, name) in names {
        let start = format!("| {kind} | {name} |");
        assert!(PAGE.lines().any(|l| l.starts_with(&start)), "docs/format.md lacks {start}");
    }
}

#[test]
fn fields_are_listed_at_their_offsets() {
    let fields = [
        (header::CHECKSUM, "u64", "checksum"),
        (header::VERSION, "u32", "version"),
        (header::SECTIONS, "u32", "sections"),
        (header::FEATURES, "u64", "features"),
        (header::FILE_LEN, "u64", "file_len"),
        (header::FREE_DIMS, "u32", "free_dims"),
        (header::INPUTS, "u32", "inputs"),
        (header::OUTPUTS, "u32", "outputs"),
        (header::METADATA, "u32", "metadata"),
        (header::RESERVED, "u64", "reserved"),
    ];
    for (offset, kind, name) in fields {
        let start = format!("| {offset} | {kind} | `{name}` |");
        assert!(PAGE.lines().any(|l| l.starts_with(&start)), "docs/format.md lacks {start}");
    }
}
