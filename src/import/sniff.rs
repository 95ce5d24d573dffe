//! What kind of file some bytes are.

/// A file's kind, as far as its first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// This crate's own format.
    Ottava,
    /// TensorFlow Lite.
    TfLite,
    /// Known, and not a model that can be taken in.
    Other { looks_like: &'static str, advice: &'static str },
    /// Nothing that is known; ONNX files have no mark of their own, so this may be one.
    Unknown,
}

/// First bytes, what they mark, what to do.
const MARKS: &[(&[u8], &str, &str)] = &[
    (
        b"version https://git-lfs",
        "a Git LFS pointer: text that stands for a file stored elsewhere",
        "fetch the file itself with `git lfs pull`",
    ),
    (b"PK\x03\x04", "a zip archive (PyTorch, Keras or NumPy)", "export the model to ONNX"),
    (b"\x80\x02", "a Python pickle (PyTorch)", "export the model to ONNX"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras)", "convert it to ONNX, for example with tf2onnx"),
    (b"GGUF", "a GGUF file", "export the model to ONNX"),
    (b"\x1f\x8b", "a gzip archive", "unpack it"),
    (b"\x93NUMPY", "a NumPy array", "give the model, not its data"),
];

const TEXT_LOOKED_AT: usize = 512;

pub(super) fn kind(bytes: &[u8]) -> Kind {
    if bytes.is_empty() {
        return other("an empty file", "the download or the copy failed: fetch it again");
    }
    if bytes.starts_with(b"\x898va\r\n\x1a\n") {
        return Kind::Ottava;
    }
    if bytes.get(4..8) == Some(b"TFL3") {
        return Kind::TfLite;
    }
    if let Some((_, looks_like, advice)) = MARKS.iter().find(|(mark, ..)| bytes.starts_with(mark)) {
        return other(looks_like, advice);
    }
    if bytes.get(8) == Some(&b'{') && bytes.get(4..8) == Some(&[0; 4]) {
        return other("a safetensors file", "it holds weights without a network: export the model to ONNX");
    }
    match bytes.first_chunk::<1>() {
        Some(b"<") => other("a web page or XML", "the download failed: fetch the file itself"),
        Some(b"{") if is_text(bytes) => other("JSON text", "export the model to binary ONNX"),
        _ if is_text(bytes) => other("plain text", "export the model to binary ONNX"),
        _ => Kind::Unknown,
    }
}

fn other(looks_like: &'static str, advice: &'static str) -> Kind {
    Kind::Other { looks_like, advice }
}

/// A binary model has control characters right at its start: field tags and short lengths.
fn is_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(TEXT_LOOKED_AT)];
    head.iter().all(|&b| b >= 0x20 && b != 0x7f || matches!(b, b'\n' | b'\r' | b'\t'))
        && bytes.len() >= 16
        && std::str::from_utf8(&head[..16]).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks_like(bytes: &[u8]) -> &'static str {
        match kind(bytes) {
            Kind::Other { looks_like, .. } => looks_like,
            _ => "",
        }
    }

    #[test]
    fn known_files_are_told_apart() {
        assert!(looks_like(b"").contains("empty"));
        assert!(looks_like(b"version https://git-lfs.github.com/spec/v1\noid").contains("LFS"));
        assert!(looks_like(b"<!DOCTYPE html><html>").contains("web page"));
        assert!(looks_like(b"\x40\0\0\0\0\0\0\0{\"a\":1}").contains("safetensors"));
        assert!(looks_like(b"{\"graph\": {\"node\": []}}").contains("JSON"));
        assert!(looks_like(b"ir_version: 8\nproducer_name: \"x\"").contains("text"));
    }

    #[test]
    fn tflite_has_its_mark_behind_an_offset() {
        assert_eq!(kind(b"\x1c\0\0\0TFL3\0\0"), Kind::TfLite);
    }

    #[test]
    fn onnx_is_not_mistaken_for_text() {
        assert_eq!(kind(b"\x08\x08\x12\x07pytorch\x1a\x052.3.0:\x80\x01"), Kind::Unknown);
    }
}
