//! What is written is read again: the same graph, the same bytes, nothing copied.

mod format_support;

use format_support::*;
use ottava::format::{self, PackedSection};
use ottava::graph::*;
use ottava::{Error, Limits};
use std::path::PathBuf;
use std::sync::Arc;

/// A folder of its own for one test, removed afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("ottava-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Folder(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("the folder is there");
        let mut names: Vec<String> =
            entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn graph_and_packed_weights_survive() {
    for (packed, file) in [(vec![], sample_file()), (sample_packed(), packed_file())] {
        let loaded = read(&file).expect("accepted");
        assert_eq!(loaded.graph, sample());
        assert_eq!(loaded.packed, packed);
        assert_eq!(loaded.checksum, u64_at(&file, header::CHECKSUM));
        assert!(loaded.skipped.is_empty());
    }
    assert_eq!(read(&format::write(&smallest(), &[]).expect("written")).expect("accepted").graph, smallest());
}

#[test]
fn same_graph_same_bytes() {
    assert_eq!(sample_file(), sample_file());
    assert_eq!(packed_file(), packed_file());
    let mut shuffled = sample_packed();
    shuffled.rotate_left(1);
    assert_eq!(format::write(&sample(), &shuffled).expect("written"), packed_file());
    assert_canonical(&sample_file());
    assert_canonical(&packed_file());
}

#[test]
fn taking_apart_and_putting_together_changes_nothing() {
    assert_eq!(Parts::of(&sample_file()).file(), sample_file());
    assert_eq!(Parts::of(&packed_file()).file(), packed_file());
}

#[test]
fn constants_are_views_at_multiples_of_64_with_room_behind() {
    let storage = Arc::new(AlignedBytes::copy_of(&packed_file()));
    let file = (*storage).as_ref().as_ptr_range();
    let loaded = format::read(storage.clone(), &Limits::default()).expect("accepted");
    let constants = loaded.graph.tensors.iter().filter_map(|t| t.data.as_ref());
    let mut seen = 0;
    for data in constants.chain(loaded.packed.iter().map(|p| &p.data)) {
        let run = data.bytes().as_ptr_range();
        assert!(file.contains(&run.start) && run.end <= file.end);
        assert_eq!(run.start.addr() % 64, 0);
        assert!(data.bytes_with_tail(64).len() >= data.bytes().len() + 64);
        seen += 1;
    }
    assert_eq!(seen, 8);
}

#[test]
fn every_element_type_survives() {
    // bf16 is for weights: `halves.rs` has it.
    for dtype in DType::ALL.into_iter().filter(|d| *d != DType::BF16) {
        let data = Data::from_bytes(&vec![1; 3 * dtype.size()]);
        let mut graph = smallest();
        graph.tensors.push(Tensor::constant("c", dtype, &[3], data));
        graph.outputs.push(TensorId(1));
        assert_eq!(read(&format::write(&graph, &[]).expect("written")).expect("accepted").graph, graph);
    }
}

#[test]
fn texts_of_any_length_survive() {
    for len in [0, 1, 255, 256, 300, 65_535] {
        let file = format::write(&texted(len), &[]).expect("written");
        assert_eq!(read(&file).expect("accepted").graph, texted(len), "{len}");
        assert_canonical(&file);
    }
    let error = format::write(&texted(65_536), &[]).expect_err("too long").to_string();
    let wanted = "node 'node': the text of attribute parameters is too long; it may have 65535 bytes, none of them NUL";
    assert_eq!(error, wanted);
}

#[test]
fn every_rank_survives() {
    for rank in 0..=MAX_RANK {
        let mut graph = smallest();
        graph.tensors[0].shape = Shape::fixed(&vec![3; rank]);
        assert_eq!(read(&format::write(&graph, &[]).expect("written")).expect("accepted").graph, graph);
    }
}

#[test]
fn saved_files_open_and_map() {
    let folder = Folder::new("save");
    let path = folder.0.join("model.8va");
    format::save(&path, &smallest(), &[]).expect("saved");
    format::save(&path, &sample(), &sample_packed()).expect("saved over it");
    assert_eq!(folder.names(), ["model.8va"]);
    let opened = format::open(&path, &Limits::default()).expect("opened");
    // SAFETY: the file is this test's own and stays as it is.
    let mapped = unsafe { format::map(&path, &Limits::default()) }.expect("mapped");
    assert_eq!(opened, mapped);
    assert_eq!(opened.graph, sample());
}

#[test]
fn a_mapped_file_may_be_replaced() {
    let folder = Folder::new("replace");
    let path = folder.0.join("model.8va");
    format::save(&path, &sample(), &[]).expect("saved");
    // SAFETY: the file is replaced by renaming, which leaves the mapped one as it is.
    let mapped = unsafe { format::map(&path, &Limits::default()) }.expect("mapped");
    format::save(&path, &smallest(), &[]).expect("saved");
    assert_eq!(mapped.graph, sample());
}

#[test]
fn a_failed_save_leaves_nothing_behind() {
    let folder = Folder::new("fail");
    // A folder that is not empty can't be renamed over: the last step fails.
    let path = folder.0.join("taken");
    std::fs::create_dir_all(path.join("inside")).expect("a folder");
    assert!(matches!(format::save(&path, &sample(), &[]), Err(Error::Io { .. })));
    let mut broken = sample();
    broken.outputs.clear();
    let path = folder.0.join("model.8va");
    assert!(matches!(format::save(&path, &broken, &[]), Err(Error::Format(_))));
    assert_eq!(folder.names(), ["taken"]);
}

#[test]
fn a_missing_file_is_named() {
    let path = std::env::temp_dir().join("ottava-there-is-no-such-file.8va");
    let error = format::open(&path, &Limits::default()).expect_err("not there");
    assert!(error.to_string().contains("no-such-file"), "{error}");
}

#[test]
fn a_large_file_is_refused_before_it_is_read() {
    let folder = Folder::new("limit");
    let path = folder.0.join("model.8va");
    format::save(&path, &sample(), &[]).expect("saved");
    let limits = Limits { file_bytes: 1000, ..Limits::default() };
    let message = format::open(&path, &limits).expect_err("too long").to_string();
    assert!(message.contains("1000") && message.contains("Limits::file_bytes"), "{message}");
}

#[test]
fn bytes_of_any_alignment_are_read() {
    let mut bytes = packed_file();
    bytes.insert(0, 0);
    assert!(format::read_bytes(bytes.split_off(1), &Limits::default()).is_ok());
}

#[test]
fn files_are_known_by_their_first_bytes() {
    assert!(format::is_8va(&sample_file()));
    assert!(!format::is_8va(&sample_file()[1..]));
    assert!(!format::is_8va(b"\x898va"));
    assert!(!format::is_8va(b""));
}

#[test]
fn what_can_not_be_read_is_not_written() {
    let broken = |change: fn(&mut Graph)| {
        let mut graph = sample();
        change(&mut graph);
        format::write(&graph, &[]).expect_err("refused").to_string()
    };
    assert!(broken(|g| g.nodes[0].name.clear()).contains("node"));
    assert!(broken(|g| g.tensors[0].name.push('\0')).contains("NUL"));
    assert!(broken(|g| g.metadata[1].0 = "author".into()).contains("twice"));
    assert!(broken(|g| g.outputs = vec![TensorId(99)]).contains("99"));
    assert!(
        broken(|g| g.nodes[0].op = Op::from(Unary { kind: UnaryKind::Clip, alpha: f32::NAN, beta: 0.0 }))
            .contains("NaN")
    );
    let packed = |sections: &[PackedSection]| format::write(&sample(), sections).expect_err("refused");
    let one = &sample_packed()[0];
    assert!(packed(&[one.clone(), one.clone()]).to_string().contains("twice"));
    assert!(packed(&[PackedSection { node: 4, ..one.clone() }]).to_string().contains("does not exist"));
}
