//! Constants stored outside of the model file: only from the folder that was named, and only what is in it.

use crate::build::*;
use ottava::import::ImportOptions;
use ottava::import::onnx::proto::{StringStringEntryProto, TensorProto, data_type};
use std::path::PathBuf;

/// A folder of its own for one test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("ottava-external-{name}-{}", std::process::id()));
        std::fs::create_dir_all(path.join("model")).expect("a folder");
        std::fs::write(path.join("model/weights.bin"), [1.0f32, 2.0, 3.0].map(f32::to_le_bytes).concat())
            .expect("a file");
        std::fs::write(path.join("secret.bin"), [0; 12]).expect("a file");
        Folder(path)
    }

    fn options(&self) -> ImportOptions {
        ImportOptions { external_data: Some(self.0.join("model")), ..ImportOptions::default() }
    }

    /// What becomes of two floats at this place.
    fn read(&self, entries: &[(&str, &str)]) -> Result<Vec<f32>, String> {
        let graph = model(entries).import_with(&self.options()).map_err(|e| e.to_string())?;
        Ok(constant_input(&graph, &graph.nodes[0], 0))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind in the system's temporary folder does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn model(entries: &[(&str, &str)]) -> Builder {
    let entry =
        |(key, value): &(&str, &str)| StringStringEntryProto { key: (*key).into(), value: (*value).into() };
    let tensor = TensorProto {
        name: "w".into(),
        dims: vec![2],
        data_type: data_type::FLOAT,
        data_location: 1,
        external_data: entries.iter().map(entry).collect(),
        ..Default::default()
    };
    Builder::new(13).constant(tensor).node("Neg", "w", "y", &[]).output("y")
}

#[test]
fn nothing_is_read_unless_a_folder_is_named() {
    let refusal = model(&[("location", "weights.bin")]).refusal();
    assert!(refusal.contains("'w'") && refusal.contains("name the folder"), "{refusal}");
}

#[test]
fn a_part_of_a_file_is_read() {
    let folder = Folder::new("part");
    assert_eq!(folder.read(&[("location", "weights.bin"), ("length", "8")]), Ok(vec![1.0, 2.0]));
    let second = [("location", "./weights.bin"), ("offset", "4"), ("length", "8"), ("checksum", "x")];
    assert_eq!(folder.read(&second), Ok(vec![2.0, 3.0]));
}

#[test]
fn places_that_are_not_there_are_refused() {
    let folder = Folder::new("places");
    let why = |entries: &[(&str, &str)]| folder.read(entries).expect_err("a wrong place");
    let at = |key, value| [("location", "weights.bin"), (key, value)];
    assert!(why(&at("offset", "8")).contains("12 bytes"));
    assert!(why(&at("offset", "18446744073709551615")).contains("12 bytes"));
    assert!(why(&at("offset", "-5")).contains("not a number"));
    assert!(why(&at("length", "4")).contains("asks for 8"));
    assert!(why(&[("location", "nowhere.bin")]).contains("nowhere.bin"));
    assert!(why(&[("offset", "0")]).contains("does not say which"));
    assert!(why(&[("location", ".")]).contains("regular file"));
}

#[test]
fn ways_out_of_the_folder_are_refused() {
    let folder = Folder::new("ways");
    std::fs::create_dir_all(folder.0.join("model/a")).expect("a folder");
    let secret = folder.0.join("secret.bin");
    for location in
        ["../secret.bin", "a/../../secret.bin", "a/..", "..\\secret.bin", secret.to_str().expect("UTF-8")]
    {
        let why = folder.read(&[("location", location)]).expect_err(location);
        assert!(why.contains("refused"), "{location}: {why}");
    }
}

#[cfg(unix)]
#[test]
fn links_out_of_the_folder_are_refused() {
    let folder = Folder::new("links");
    let inside = folder.0.join("model");
    std::os::unix::fs::symlink("../secret.bin", inside.join("soft.bin")).expect("a link");
    std::os::unix::fs::symlink("..", inside.join("up")).expect("a link");
    std::fs::hard_link(folder.0.join("secret.bin"), inside.join("hard.bin")).expect("a link");
    for location in ["soft.bin", "up/secret.bin", "hard.bin"] {
        let why = folder.read(&[("location", location)]).expect_err(location);
        assert!(why.contains("refused"), "{location}: {why}");
    }
    std::os::unix::fs::symlink("weights.bin", inside.join("same.bin")).expect("a link");
    assert_eq!(folder.read(&[("location", "same.bin"), ("offset", "0")]), Ok(vec![1.0, 2.0]));
}

#[test]
fn the_same_bytes_can_not_be_read_without_end() {
    let folder = Folder::new("again");
    std::fs::write(folder.0.join("model/weights.bin"), vec![0; 1 << 16]).expect("a file");
    let mut many = model(&[("location", "weights.bin")]);
    let first = TensorProto { dims: vec![1 << 14], ..many.graph().initializer[0].clone() };
    many.graph().initializer = vec![first.clone(), TensorProto { name: "again".into(), ..first }];
    let mut options = folder.options();
    options.limits.file_bytes = 1 << 17;
    assert_eq!(op_names(&many.import_with(&options).expect("just enough")), ["Unary"]);
    options.limits.file_bytes -= 1;
    let why = many.import_with(&options).expect_err("too much").to_string();
    assert!(why.contains("'again'") && why.contains("65535 more may be read"), "{why}");
}
