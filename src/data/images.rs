//! A folder of images: decoded one at a time, in the order of their file names.

use super::pixels::{Layout, Normalize, PixelEncoder};
use super::{DataError, InputSpec};
use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageReader};
use std::path::{Path, PathBuf};

/// What is taken for an image.
const EXTENSIONS: [&str; 4] = ["png", "jpg", "jpeg", "bmp"];

/// Wider or higher images are refused before they are decoded.
const MAX_SIDE: u32 = 1 << 14;

/// Images that have more pixels once they are resized are refused: a thin strip grows without bounds.
const MAX_PIXELS: u64 = 1 << 28;

/// How images become a model's input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageOptions {
    /// Height, width. `None`: as the model's input says.
    pub size: Option<(usize, usize)>,
    /// The shorter side is brought to this length before the middle is cut out. `None`: as large a part of the
    /// image as has the input's proportions is used.
    pub resize: Option<usize>,
    /// `None`: where the model's input has 1 or 3 channels.
    pub layout: Option<Layout>,
    /// `None`: no numbers were given, pixels stay bytes.
    pub normalize: Option<Normalize>,
}

impl ImageOptions {
    /// Where an input has channels, height and width.
    pub(super) fn geometry(&self, input: &InputSpec) -> Result<Geometry, DataError> {
        let sample = match input.shape.as_slice() {
            [1, sample @ ..] if sample.len() == 3 => sample,
            all => all,
        };
        let channels = |n: &usize| matches!(n, 1 | 3);
        let layout = match (self.layout, sample) {
            (Some(layout), _) => layout,
            (None, [c, _, _]) if channels(c) => Layout::Nchw,
            (None, [_, _, c]) if channels(c) => Layout::Nhwc,
            _ => Layout::Nchw,
        };
        let (c, h, w) = match (layout, sample) {
            (Layout::Nchw, &[c, h, w]) => (c, h, w),
            (Layout::Nhwc, &[h, w, c]) => (c, h, w),
            _ => (0, 0, 0),
        };
        if !channels(&c) {
            let what = format!(
                "input '{}' takes {sample:?} per sample: images need 1 or 3 channels, height and width \
                 (see --layout)",
                input.name
            );
            return Err(DataError::Options(what));
        }
        if let Some(size) = self.size
            && size != (h, w)
        {
            let (sh, sw) = size;
            let what = format!("--image-size {sh}x{sw} is not what input '{}' takes: {h}x{w}", input.name);
            return Err(DataError::Options(what));
        }
        Ok(Geometry { channels: c, height: h, width: w, layout })
    }
}

/// The pixels of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Geometry {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub layout: Layout,
}

/// The images of a folder.
#[derive(Debug)]
pub(super) struct ImageFolder {
    files: Vec<PathBuf>,
    geometry: Geometry,
    resize: Option<usize>,
    encoder: PixelEncoder,
}

impl ImageFolder {
    /// Lists the folder; the images are opened when they are read.
    pub fn open(path: &Path, input: &InputSpec, options: &ImageOptions) -> Result<ImageFolder, DataError> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path).map_err(|e| DataError::io(path, e))? {
            let file = entry.map_err(|e| DataError::io(path, e))?.path();
            let extension = file.extension().unwrap_or_default().to_ascii_lowercase();
            if EXTENSIONS.iter().any(|e| extension == *e) {
                files.push(file);
            }
        }
        if files.is_empty() {
            return Err(DataError::Empty { path: path.into() });
        }
        files.sort();
        let geometry = options.geometry(input)?;
        let Geometry { channels, height, width, layout } = geometry;
        let encoder = PixelEncoder::new(input, options.normalize.as_ref(), channels, height * width, layout)?;
        Ok(ImageFolder { files, geometry, resize: options.resize, encoder })
    }

    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Decodes image `index` into the input's elements.
    pub fn read(&self, index: usize, out: &mut [u8]) -> Result<(), DataError> {
        let image = decode(&self.files[index])?;
        let pixels = cut(&image, self.geometry, self.resize);
        let pixels = pixels.map_err(|what| DataError::Image { path: self.files[index].clone(), what })?;
        self.encoder.encode(&pixels, out);
        Ok(())
    }
}

fn decode(path: &Path) -> Result<DynamicImage, DataError> {
    let fault = |what: String| DataError::Image { path: path.into(), what };
    let mut reader = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(|e| DataError::io(path, e))?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    reader.limits(limits);
    let image = reader.decode().map_err(|e| fault(e.to_string()))?;
    if image.width() == 0 || image.height() == 0 {
        return Err(fault("an image without pixels".into()));
    }
    Ok(image)
}

/// The middle of the image, resized with an antialiasing triangle filter, as bytes in the geometry's layout.
fn cut(image: &DynamicImage, geometry: Geometry, resize: Option<usize>) -> Result<Vec<u8>, String> {
    let (height, width) = (geometry.height, geometry.width);
    let (w, h) = (f64::from(image.width()), f64::from(image.height()));
    let factor = match resize {
        Some(shorter) => shorter as f64 / w.min(h),
        None => (width as f64 / w).max(height as f64 / h),
    };
    let scaled = |side: f64, least: usize| ((side * factor).round() as u32).max(least as u32);
    let (sw, sh) = (scaled(w, width), scaled(h, height));
    if u64::from(sw) * u64::from(sh) > MAX_PIXELS {
        return Err(format!("resized it would have {sw}x{sh} pixels: cut it before, or see --resize"));
    }
    let planes = |pixels: &[u8], channels: usize| match geometry.layout {
        Layout::Nhwc => pixels.to_vec(),
        Layout::Nchw => {
            (0..channels).flat_map(|c| pixels.iter().skip(c).step_by(channels).copied()).collect()
        }
    };
    // The conversion comes first, so that the filter works on the channels that are wanted.
    macro_rules! middle {
        ($pixels:expr) => {{
            let scaled = match $pixels {
                p if (p.width(), p.height()) == (sw, sh) => p,
                p => imageops::resize(&p, sw, sh, FilterType::Triangle),
            };
            let (left, top) = ((sw - width as u32) / 2, (sh - height as u32) / 2);
            imageops::crop_imm(&scaled, left, top, width as u32, height as u32).to_image().into_raw()
        }};
    }
    let pixels = if geometry.channels == 1 { middle!(image.to_luma8()) } else { middle!(image.to_rgb8()) };
    Ok(planes(&pixels, geometry.channels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::DType;
    use image::{GrayImage, RgbImage};

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ottava-images-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    fn input(dtype: DType, shape: &[usize]) -> InputSpec {
        InputSpec { name: "x".into(), dtype, shape: shape.into(), quant: None }
    }

    #[test]
    fn images_come_in_order_and_in_planes() {
        let path = folder("order");
        RgbImage::from_fn(2, 2, |x, y| image::Rgb([10 + x as u8, 20 + y as u8, 30]))
            .save(path.join("b.png"))
            .unwrap();
        RgbImage::from_pixel(2, 2, image::Rgb([1, 2, 3])).save(path.join("a.bmp")).unwrap();
        std::fs::write(path.join("readme.txt"), "not an image").unwrap();
        let nchw =
            ImageFolder::open(&path, &input(DType::U8, &[1, 3, 2, 2]), &ImageOptions::default()).unwrap();
        assert_eq!(nchw.len(), 2);
        let mut out = [0; 12];
        nchw.read(0, &mut out).unwrap();
        assert_eq!(out, [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]);
        nchw.read(1, &mut out).unwrap();
        assert_eq!(out, [10, 11, 10, 11, 20, 20, 21, 21, 30, 30, 30, 30]);
        let nhwc =
            ImageFolder::open(&path, &input(DType::U8, &[1, 2, 2, 3]), &ImageOptions::default()).unwrap();
        nhwc.read(1, &mut out).unwrap();
        assert_eq!(out, [10, 20, 30, 11, 20, 30, 10, 21, 30, 11, 21, 30]);
    }

    #[test]
    fn the_middle_is_cut_out() {
        let path = folder("middle");
        // Columns 0..=7: the middle four are 2, 3, 4, 5.
        GrayImage::from_fn(8, 4, |x, _| image::Luma([x as u8])).save(path.join("a.png")).unwrap();
        let input = input(DType::U8, &[1, 1, 4, 4]);
        let mut out = [0; 16];
        let read = |options: &ImageOptions, out: &mut [u8]| {
            ImageFolder::open(&path, &input, options).and_then(|f| f.read(0, out)).unwrap()
        };
        read(&ImageOptions::default(), &mut out);
        assert_eq!(out[..4], [2, 3, 4, 5]);
        // Twice as large: the middle is columns 6..=9 of 16, or 3, 3.25, ... of the original.
        read(&ImageOptions { resize: Some(8), ..ImageOptions::default() }, &mut out);
        assert!(out[..4].iter().all(|p| (3..=4).contains(p)), "{out:?}");
    }

    #[test]
    fn damaged_images_and_wrong_options_are_errors() {
        let path = folder("damaged");
        let image = path.join("a.png");
        GrayImage::from_pixel(8, 8, image::Luma([200])).save(&image).unwrap();
        let whole = std::fs::read(&image).unwrap();
        let input = input(DType::U8, &[1, 1, 8, 8]);
        let open = |options: &ImageOptions| ImageFolder::open(&path, &input, options);
        let mut out = [0; 64];
        for length in 0..whole.len() - 12 {
            std::fs::write(&image, &whole[..length]).unwrap();
            let read = open(&ImageOptions::default()).unwrap().read(0, &mut out);
            assert!(matches!(read, Err(DataError::Image { .. })), "cut at {length}: {read:?}");
        }
        // 100000 x 100000 pixels in the header, and a checksum that does not matter.
        let mut bomb = whole.clone();
        bomb[16..24].copy_from_slice(&[0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0]);
        std::fs::write(&image, &bomb).unwrap();
        assert!(open(&ImageOptions::default()).unwrap().read(0, &mut out).is_err());
        let wrong = ImageOptions { size: Some((9, 8)), ..ImageOptions::default() };
        assert!(matches!(open(&wrong), Err(DataError::Options(_))));
        let wrong = ImageOptions { layout: Some(Layout::Nhwc), ..ImageOptions::default() };
        assert!(matches!(open(&wrong), Err(DataError::Options(_))));
        assert!(matches!(
            ImageFolder::open(&folder("empty"), &input, &ImageOptions::default()),
            Err(DataError::Empty { .. })
        ));
    }
}
