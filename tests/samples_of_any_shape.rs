//! A folder of archives, each a sample with shapes of its own: two models are compared on it.
#![cfg(all(feature = "report", feature = "quantize"))]

mod common;

use common::nets::noise;
use common::recurrent::INPUT;
use common::shapes::sequence_network;
use ottava::data::{Dataset, ImageOptions, InputSpec, NamedArray, Source, write_npz};
use ottava::graph::{DType, Graph};
use ottava::quantize::{Mode, Modes, Options, without_data};
use ottava::report::{Contestant, Task, compare};
use ottava::{Model, Session, SessionOptions, optimize};
use std::path::{Path, PathBuf};

/// A folder of its own, with an archive of `x` and `h` for each batch and length.
fn folder(name: &str, samples: &[[usize; 2]], x_width: usize) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ottava-shapes-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (i, &[batch, length]) in samples.iter().enumerate() {
        let array = |name: &str, shape: Vec<usize>| {
            let values = noise(i as u64, shape.iter().product());
            NamedArray {
                name: name.into(),
                dtype: DType::F32,
                bytes: bytemuck::cast_slice(&values).to_vec(),
                shape,
            }
        };
        let arrays = [array("x", vec![batch, length, x_width]), array("h", vec![batch, 1, 16])];
        write_npz(&folder.join(format!("sample{i}.npz")), &arrays).unwrap();
    }
    folder
}

fn ready(graph: &Graph, folder: &Path) -> (Session, Dataset) {
    let names = ["x", "h"].map(String::from);
    let source = Source::open(folder, &names, 1 << 20).unwrap();
    let shapes = source.shapes(graph, &ImageOptions::default());
    let model = Model::from_graph(graph.clone()).unwrap();
    let session = model.session(&SessionOptions { shapes, ..Default::default() }).unwrap();
    let data = Dataset::new(source, &InputSpec::of(&session), &ImageOptions::default()).unwrap();
    (session, data)
}

#[test]
fn models_are_compared_sample_by_sample() {
    let float = optimize::float(sequence_network()).unwrap();
    let options = Options { modes: Modes::all(Mode::Dynamic), ..Options::default() };
    let int8 = without_data(&float, &options).unwrap().graph;
    let samples = folder("compare", &[[1, 7], [2, 3], [1, 7], [4, 1]], INPUT);
    let [(mut a, mut data_a), (mut b, mut data_b)] = [&float, &int8].map(|graph| ready(graph, &samples));
    assert_eq!(a.inputs()[0].shape, [1, 7, INPUT], "the first sample's");
    let mut against = |session: &mut Session, data: &mut Dataset| {
        let (a, b) = (Contestant { session: &mut a, data: &mut data_a }, Contestant { session, data });
        compare(a, b, None, Task::Regress, &mut |_| {}).unwrap()
    };
    let (mut same, mut data) = ready(&float, &samples);
    let alike = against(&mut same, &mut data);
    assert_eq!((alike.samples, alike.max_abs_error), (4, 0.0));
    let close = against(&mut b, &mut data_b);
    assert!(close.max_abs_error > 0.0 && close.sqnr_db > 20.0, "{close:?}");
    std::fs::remove_dir_all(samples).unwrap();
}

#[test]
fn a_sample_that_does_not_fit_is_refused() {
    let float = optimize::float(sequence_network()).unwrap();
    let samples = folder("misfit", &[[1, 7]], INPUT);
    let odd = folder("odd", &[[1, 7]], INPUT + 1);
    std::fs::rename(odd.join("sample0.npz"), samples.join("sample1.npz")).unwrap();
    let [(mut a, mut data_a), (mut b, mut data_b)] = [&float, &float].map(|graph| ready(graph, &samples));
    let (a, b) = (
        Contestant { session: &mut a, data: &mut data_a },
        Contestant { session: &mut b, data: &mut data_b },
    );
    let refusal = compare(a, b, None, Task::Regress, &mut |_| {}).unwrap_err().to_string();
    assert!(refusal.contains("dimension 2 is 5"), "{refusal}");
    std::fs::remove_dir_all(samples).unwrap();
    std::fs::remove_dir_all(odd).unwrap();
}
