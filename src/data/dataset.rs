//! A data set as a model's inputs take it, sample by sample.

use super::archives::ArchiveFolder;
use super::images::{ImageFolder, ImageOptions};
use super::pixels::{Layout, PixelEncoder};
use super::{Array, DataError, Element, InputSpec, npy, npz};
use crate::graph::{DType, Dim, Graph, Shape};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The bytes of one sample: one entry per input, in the model's order.
pub type Sample = Vec<Vec<u8>>;

/// Shapes of inputs by name.
pub type Shapes = Vec<(String, Vec<usize>)>;

/// Data on disk, before a model is known.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    /// Names of all arrays, for messages.
    names: Vec<String>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// The first axis of each counts samples.
    Arrays(Vec<Array>),
    /// Every image is a sample.
    Images,
    /// Every archive is a sample.
    Archives(ArchiveFolder),
}

impl Source {
    /// Opens a `.npy` file, a `.npz` archive (told by content), or a folder of images or of `.npz` archives, each of which
    /// is a sample with shapes of its own. Of an archive the arrays
    /// named like `inputs` are read into memory, `limit` bytes at most; that of a `.npy` file stays in the file.
    pub fn open(path: &Path, inputs: &[String], limit: u64) -> Result<Source, DataError> {
        let (names, content) = if path.is_dir() {
            let archives = ArchiveFolder::open(path, limit)?;
            (Vec::new(), archives.map_or(Content::Images, Content::Archives))
        } else {
            let mut start = Vec::new();
            let file = File::open(path).map_err(|e| DataError::io(path, e))?;
            file.take(6).read_to_end(&mut start).map_err(|e| DataError::io(path, e))?;
            if start.starts_with(npy::MAGIC) {
                (Vec::new(), Content::Arrays(vec![npy::open(path)?]))
            } else if start.starts_with(npz::MAGIC) {
                let archive = npz::read_npz(path, inputs, limit)?;
                (archive.names, Content::Arrays(archive.arrays))
            } else {
                return Err(DataError::Kind { path: path.into() });
            }
        };
        Ok(Source { path: path.into(), names, content })
    }

    /// Takes arrays that are in memory already.
    pub fn from_arrays(arrays: Vec<Array>) -> Source {
        let path = arrays.first().map(|a| a.path.clone()).unwrap_or_default();
        let names = arrays.iter().map(|a| a.name().to_string()).collect();
        Source { path, names, content: Content::Arrays(arrays) }
    }

    /// Shapes, by input name, for inputs with free dimensions: those that a sample of this data has (where samples have
    /// shapes of their own, the first one). Inputs that the data say nothing about are left out.
    pub fn shapes(&self, graph: &Graph, options: &ImageOptions) -> Shapes {
        let alone = graph.caller_inputs().count() == 1;
        let inputs = graph.caller_inputs().map(|id| graph.tensor(id));
        let bound = inputs.filter(|t| t.shape.dims().is_none()).filter_map(|t| {
            let shape = match &self.content {
                Content::Arrays(arrays) => sample_shape(&t.shape, find(arrays, &t.name, alone)?.shape()),
                Content::Images => image_shape(&t.shape, options),
                Content::Archives(folder) => {
                    let first = folder.arrays(0, std::slice::from_ref(&t.name)).ok()?;
                    Some(first.first()?.shape().to_vec())
                }
            };
            Some((t.name.clone(), shape?))
        });
        bound.collect()
    }
}

/// The array for an input: by name, or the only one for the only input.
fn find<'a>(arrays: &'a [Array], input: &str, alone: bool) -> Option<&'a Array> {
    match arrays {
        [only] if alone => Some(only),
        all => all.iter().find(|a| a.name() == input),
    }
}

/// What a sample of an array makes of an input's shape; nothing if it does not fit.
fn sample_shape(input: &Shape, array: &[usize]) -> Option<Vec<usize>> {
    let sample = array.get(1..)?;
    let batch: &[usize] = if sample.len() + 1 == input.rank() { &[1] } else { &[] };
    let shape = [batch, sample].concat();
    let fits = shape.len() == input.rank()
        && input.iter().zip(&shape).all(|(d, n)| d.fixed().is_none_or(|fixed| fixed == *n));
    fits.then_some(shape)
}

/// What the options for images make of an input's shape.
fn image_shape(input: &Shape, options: &ImageOptions) -> Option<Vec<usize>> {
    let &[_, a, b, c] = &input[..] else { return None };
    let nhwc = match options.layout {
        Some(layout) => layout == Layout::Nhwc,
        None => !matches!(a, Dim::Fixed(1 | 3)),
    };
    let (height, width, channels) = if nhwc { (a, b, c) } else { (b, c, a) };
    let (h, w) = match options.size {
        Some((h, w)) => (h, w),
        None => (height.fixed()?, width.fixed()?),
    };
    let channels = channels.fixed()?;
    Some(if nhwc { vec![1, h, w, channels] } else { vec![1, channels, h, w] })
}

/// A data set whose samples fit a model.
#[derive(Debug)]
pub struct Dataset {
    samples: usize,
    columns: Columns,
}

#[derive(Debug)]
enum Columns {
    Arrays(Vec<Column>),
    Images(ImageFolder, usize),
    Archives(ArchiveFolder, Vec<InputSpec>),
}

/// The samples of one input.
#[derive(Debug)]
struct Column {
    array: Array,
    /// Bytes of the input.
    len: usize,
    /// For pixels that become something else.
    encoder: Option<PixelEncoder>,
}

impl Dataset {
    /// Checks that the data fit the inputs of a session.
    ///
    /// Element types must be equal, with one exception: u8 for an input of another type is taken for pixels if
    /// `options` say how to normalize them. A sample's shape is the input's, with a leading 1 kept or dropped.
    pub fn new(source: Source, inputs: &[InputSpec], options: &ImageOptions) -> Result<Dataset, DataError> {
        let Source { path, names, content } = source;
        let (samples, columns) = match (content, inputs) {
            (Content::Images, [input]) => {
                let folder = ImageFolder::open(&path, input, options)?;
                (folder.len(), Columns::Images(folder, input.byte_len()))
            }
            (Content::Archives(folder), inputs) => (folder.len(), Columns::Archives(folder, inputs.to_vec())),
            (Content::Arrays(arrays), _) if names.len() > 1 || inputs.len() == 1 => {
                let missing = |input: &InputSpec| DataError::MissingInput {
                    path: path.clone(),
                    input: input.name.clone(),
                    found: names.join(", "),
                };
                let columns = columns(arrays, inputs, options, &missing)?;
                let samples = columns.first().map_or(0, |c| c.array.rows());
                (samples, Columns::Arrays(columns))
            }
            _ => return Err(DataError::InputCount { path, inputs: inputs.len() }),
        };
        if samples == 0 {
            return Err(DataError::Empty { path });
        }
        Ok(Dataset { samples, columns })
    }

    /// Number of samples, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "an empty data set is refused")]
    pub fn len(&self) -> usize {
        self.samples
    }

    /// Keeps at most `samples` of them, from the start.
    pub fn truncate(&mut self, samples: usize) {
        self.samples = self.samples.min(samples.max(1));
    }

    /// The shapes of one sample, by input; `None` if all samples have the same, those of the inputs that this data set
    /// was made for. `index` is below [`Dataset::len`].
    pub fn shapes(&self, index: usize) -> Result<Option<Shapes>, DataError> {
        match &self.columns {
            Columns::Archives(folder, inputs) => folder.shapes(index, inputs).map(Some),
            _ => Ok(None),
        }
    }

    /// Reads one sample; `index` is below [`Dataset::len`].
    pub fn sample(&mut self, index: usize) -> Result<Sample, DataError> {
        match &mut self.columns {
            Columns::Images(folder, len) => {
                let mut out = vec![0; *len];
                folder.read(index, &mut out)?;
                Ok(vec![out])
            }
            Columns::Archives(folder, inputs) => folder.read(index, inputs),
            Columns::Arrays(columns) => columns.iter_mut().map(|c| c.read(index)).collect(),
        }
    }
}

impl Column {
    fn read(&mut self, index: usize) -> Result<Vec<u8>, DataError> {
        let mut row = vec![0; self.array.row_bytes()];
        self.array.read_row(index, &mut row)?;
        let Some(encoder) = &self.encoder else { return Ok(row) };
        let mut out = vec![0; self.len];
        encoder.encode(&row, &mut out);
        Ok(out)
    }
}

fn columns(
    mut arrays: Vec<Array>,
    inputs: &[InputSpec],
    options: &ImageOptions,
    missing: &dyn Fn(&InputSpec) -> DataError,
) -> Result<Vec<Column>, DataError> {
    let mut columns: Vec<Column> = Vec::new();
    for input in inputs {
        let at = match arrays.as_slice() {
            [_] if inputs.len() == 1 => Some(0),
            all => all.iter().position(|a| a.name() == input.name),
        };
        let at = at.ok_or_else(|| missing(input))?;
        let array = arrays.swap_remove(at);
        if let Some(first) = columns.first()
            && first.array.rows() != array.rows()
        {
            let (wanted, found) = (first.array.rows(), array.rows());
            return Err(DataError::SampleCount { input: input.name.clone(), wanted, found });
        }
        columns.push(column(array, input, options)?);
    }
    Ok(columns)
}

fn column(array: Array, input: &InputSpec, options: &ImageOptions) -> Result<Column, DataError> {
    let sample = array.shape().get(1..);
    let fits = |sample: &[usize]| sample == input.shape || sample == input.sample_shape();
    if !sample.is_some_and(fits) {
        let dropped = match input.shape.as_slice() {
            [1, rest @ ..] => format!(" or [samples, {}]", list(rest)),
            _ => String::new(),
        };
        return Err(DataError::Shape {
            input: input.name.clone(),
            wanted: format!("[samples, {}]{dropped}", list(&input.shape)),
            found: array.shape().to_vec(),
        });
    }
    let pixels = array.element() == Element::Tensor(DType::U8);
    let encoder = match (&options.normalize, pixels) {
        (Some(normalize), true) => {
            let (channels, plane, layout) = channels(input, options);
            Some(PixelEncoder::new(input, Some(normalize), channels, plane, layout)?)
        }
        _ => {
            check_element(input, array.element())?;
            None
        }
    };
    Ok(Column { len: input.byte_len(), array, encoder })
}

/// Channels, pixels per channel and layout of an input that is given as u8. Inputs that are no images count as
/// one channel.
fn channels(input: &InputSpec, options: &ImageOptions) -> (usize, usize, Layout) {
    match options.geometry(input) {
        Ok(g) => (g.channels, g.height * g.width, g.layout),
        Err(_) => (1, 1, Layout::Nhwc),
    }
}

fn list(dims: &[usize]) -> String {
    dims.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// Refuses elements of another type than the input's, and says what to do.
pub(super) fn check_element(input: &InputSpec, found: Element) -> Result<(), DataError> {
    if found == Element::Tensor(input.dtype) {
        return Ok(());
    }
    let numpy = match input.dtype {
        // No input is bf16.
        DType::F32 | DType::BF16 => "float32",
        DType::F16 => "float16",
        DType::I8 => "int8",
        DType::U8 => "uint8",
        DType::I16 => "int16",
        DType::I32 => "int32",
        DType::I64 => "int64",
        DType::Bool => "bool",
        DType::F64 => "float64",
    };
    let mut fix = format!("convert them with `x.astype(numpy.{numpy})`");
    if found == Element::Tensor(DType::U8) && (input.dtype.is_float() || input.quant.is_some()) {
        fix += ", or, if they are pixels, say how they become numbers with --scale, --mean, --std";
    }
    Err(DataError::DType { input: input.name.clone(), wanted: input.dtype.name(), found: found.name(), fix })
}

#[cfg(test)]
mod tests {
    use super::super::{NamedArray, Normalize, write_npz};
    use super::*;
    use crate::graph::Tensor;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("ottava-dataset-{}-{name}", std::process::id()))
    }

    fn input(name: &str, dtype: DType, shape: &[usize]) -> InputSpec {
        InputSpec { name: name.into(), dtype, shape: shape.into(), quant: None }
    }

    fn array(name: &str, dtype: DType, shape: &[usize]) -> NamedArray {
        let len = shape.iter().product::<usize>() * dtype.size();
        NamedArray {
            name: name.into(),
            dtype,
            shape: shape.into(),
            bytes: (0..len).map(|i| i as u8).collect(),
        }
    }

    fn npy(name: &str, descr: &str, shape: &str, data: &[u8]) -> PathBuf {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = npy::MAGIC.to_vec();
        bytes.extend([1, 0]);
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        let path = path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn open(path: &Path, inputs: &[InputSpec], options: &ImageOptions) -> Result<Dataset, DataError> {
        let names: Vec<String> = inputs.iter().map(|i| i.name.clone()).collect();
        Dataset::new(Source::open(path, &names, 1 << 20)?, inputs, options)
    }

    #[test]
    fn one_input_with_the_batch_dropped_or_kept() {
        let data: Vec<u8> = (0..12).collect();
        let input = [input("x", DType::U8, &[1, 2, 2])];
        for shape in ["(3, 2, 2)", "(3, 1, 2, 2)"] {
            let mut set =
                open(&npy("batch.npy", "|u1", shape, &data), &input, &ImageOptions::default()).unwrap();
            assert_eq!(set.len(), 3);
            assert_eq!(set.sample(2).unwrap(), [[8, 9, 10, 11]]);
            set.truncate(2);
            assert_eq!(set.len(), 2);
        }
        for shape in ["(12,)", "(3, 4)", "(6, 2)", "()"] {
            let data = if shape == "()" { &data[..1] } else { &data };
            let set = open(&npy("shape.npy", "|u1", shape, data), &input, &ImageOptions::default());
            assert!(matches!(set, Err(DataError::Shape { .. })), "{shape}");
        }
        let none = open(&npy("none.npy", "|u1", "(0, 2, 2)", &[]), &input, &ImageOptions::default());
        assert!(matches!(none, Err(DataError::Empty { .. })));
    }

    #[test]
    fn several_inputs_by_name() {
        let path = path("several.npz");
        let arrays = [
            array("ids", DType::I64, &[2, 3]),
            array("mask", DType::U8, &[2, 3]),
            array("extra", DType::U8, &[1]),
        ];
        write_npz(&path, &arrays).unwrap();
        let inputs = [input("mask", DType::U8, &[1, 3]), input("ids", DType::I64, &[1, 3])];
        let mut set = open(&path, &inputs, &ImageOptions::default()).unwrap();
        assert_eq!(set.len(), 2);
        let sample = set.sample(1).unwrap();
        assert_eq!(sample, [vec![3, 4, 5], (24..48).collect()]);
        let missing = [input("mask", DType::U8, &[1, 3]), input("types", DType::I64, &[1, 3])];
        let missing = open(&path, &missing, &ImageOptions::default());
        assert!(missing.unwrap_err().to_string().contains("ids"), "the names that are there are told");
        let counts = [array("a", DType::U8, &[2]), array("b", DType::U8, &[3])];
        write_npz(&path, &counts).unwrap();
        let inputs = [input("a", DType::U8, &[]), input("b", DType::U8, &[])];
        let counts = open(&path, &inputs, &ImageOptions::default());
        assert!(matches!(counts, Err(DataError::SampleCount { wanted: 2, found: 3, .. })));
    }

    #[test]
    fn types_must_be_equal_except_for_pixels() {
        let path = npy("pixels.npy", "|u1", "(2, 1, 2)", &[0, 255, 51, 102]);
        let inputs = [input("x", DType::F32, &[1, 1, 2])];
        let refused = open(&path, &inputs, &ImageOptions::default()).unwrap_err().to_string();
        assert!(refused.contains("f32") && refused.contains("--scale"), "{refused}");
        let normalize = Some(Normalize { scale: 1.0 / 51.0, mean: vec![1.0], std: vec![2.0] });
        let mut set = open(&path, &inputs, &ImageOptions { normalize, ..ImageOptions::default() }).unwrap();
        let floats =
            |s: Sample| s[0].as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect::<Vec<_>>();
        assert_eq!(floats(set.sample(0).unwrap()), [-0.5, 2.0]);
        assert_eq!(floats(set.sample(1).unwrap()), [0.0, 0.5]);
        let f64s = npy("f64.npy", "<f8", "(1, 1, 2)", &[0; 16]);
        assert!(matches!(open(&f64s, &inputs, &ImageOptions::default()), Err(DataError::DType { .. })));
    }

    #[test]
    fn other_files_are_refused() {
        let path = path("other.txt");
        std::fs::write(&path, "hello").unwrap();
        assert!(matches!(Source::open(&path, &[], 0), Err(DataError::Kind { .. })));
        assert!(matches!(Source::open(&path.join("no"), &[], 0), Err(DataError::Io { .. })));
        let inputs = [input("a", DType::U8, &[1]), input("b", DType::U8, &[1])];
        let one = open(&npy("one.npy", "|u1", "(1, 1)", &[0]), &inputs, &ImageOptions::default());
        assert!(matches!(one, Err(DataError::InputCount { inputs: 2, .. })));
    }

    #[test]
    fn free_dimensions_are_bound_by_the_data() {
        let mut graph = Graph::default();
        let (batch, length) = (graph.free_dim("batch"), graph.free_dim("length"));
        let id = graph.add_tensor(Tensor::value("ids", DType::I64, Shape(vec![batch, length])));
        graph.inputs.push(id);
        let bound = |graph: &Graph, shape: &str, len: usize| {
            let path = npy("free.npy", "<i8", shape, &vec![0; len]);
            Source::open(&path, &[], 0).unwrap().shapes(graph, &ImageOptions::default())
        };
        assert_eq!(bound(&graph, "(2, 46)", 2 * 46 * 8), [("ids".to_string(), vec![1, 46])]);
        assert_eq!(bound(&graph, "(2, 1, 46)", 2 * 46 * 8), [("ids".to_string(), vec![1, 46])]);
        assert_eq!(bound(&graph, "(2,)", 16), []);
        graph.tensor_mut(id).shape = Shape(vec![Dim::Fixed(1), length]);
        assert_eq!(bound(&graph, "(2, 1, 46)", 2 * 46 * 8), [("ids".to_string(), vec![1, 46])]);
        assert_eq!(bound(&graph, "(2, 3, 46)", 6 * 46 * 8), [], "left to the check of the data set");
    }

    #[test]
    fn free_sides_of_images_are_bound_by_the_options() {
        let mut graph = Graph::default();
        let dims = ["n", "h", "w"].map(|d| graph.free_dim(d));
        let id = graph.add_tensor(Tensor::value(
            "x",
            DType::F32,
            Shape(vec![dims[0], Dim::Fixed(3), dims[1], dims[2]]),
        ));
        graph.inputs.push(id);
        let source = Source::open(Path::new(env!("CARGO_MANIFEST_DIR")), &[], 0).unwrap();
        let size = ImageOptions { size: Some((24, 32)), ..ImageOptions::default() };
        assert_eq!(source.shapes(&graph, &size), [("x".to_string(), vec![1, 3, 24, 32])]);
        assert_eq!(source.shapes(&graph, &ImageOptions::default()), []);
    }
}
