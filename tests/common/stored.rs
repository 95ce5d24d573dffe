//! Networks of TensorFlow Lite, their inputs and LiteRT's answers, in one file of `tests/data`.

use npyz::npz::NpzArchive;
use ottava::import::{ImportOptions, tflite};
use ottava::{Model, SessionOptions};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

pub struct Stored(NpzArchive<BufReader<File>>);

impl Stored {
    pub fn open(name: &str) -> Stored {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
        Stored(NpzArchive::open(path).unwrap())
    }

    /// Of the networks.
    pub fn names(&self) -> Vec<String> {
        let names = self.0.array_names().filter_map(|n| n.strip_suffix("/model"));
        names.map(str::to_string).collect()
    }

    pub fn get(&mut self, name: &str) -> Vec<u8> {
        self.0.by_name(name).unwrap().unwrap_or_else(|| panic!("there is no {name}")).into_vec().unwrap()
    }

    /// Any byte of these networks may change: what comes out is a network, which may be one that no kernel can run, or an
    /// error.
    pub fn damage(&mut self, names: &[&str]) {
        for name in names {
            let bytes = self.get(&format!("{name}/model"));
            for at in 0..bytes.len() {
                for flip in [0x01, 0x80, 0xff] {
                    let mut damaged = bytes.clone();
                    damaged[at] ^= flip;
                    if let Ok(graph) = tflite::from_bytes(&damaged, &ImportOptions::default()) {
                        let session = Model::from_graph(graph).unwrap().session(&SessionOptions::default());
                        let _ = session.map(|mut s| s.run());
                    }
                }
            }
        }
    }
}
