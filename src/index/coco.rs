//! COCO's annotation files as a source, read as leniently as pycocotools reads them.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use crate::{
    error::{Error, Result},
    loader::{BoundingBoxes, Images, Input, KeyPoints, Lists, SharedSource, Table, Texts},
    transform::BoxFormat,
};

/// How many characters of an entry an error shows.
const SHOWN: usize = 80;
/// What a batch holds as `float32`, sums of two included.
const LARGEST: f64 = 1e38;

/// Images and their objects, as torchvision's `CocoDetection` finds them in a COCO annotation file.
///
/// Samples are the images of the file, in the order of their ids, those without objects included. The fields are `image`;
/// `boxes`, ragged `float32` (n, 4); `labels`, the category ids, ragged `int64` (n,); `area`, ragged `float32` (n,);
/// `iscrowd`, ragged `uint8` (n,); `image_id`, an `int64`, or a text where ids are no such numbers; and, where the file has
/// any, `keypoints`, ragged `float32` (n, k, 3) of x, y and visibility. Boxes and keypoints follow the transforms of `image`.
///
/// Passed over are annotations of images that are not listed, and those without a box. An image that is listed again counts
/// once, by its last entry. Filled in are `area` and `iscrowd` (0), keypoints (zeros, also where an object has fewer than
/// others), and names of categories (their ids), where they are missing or null; [`counters`](Self::counters) tell how many.
/// Segmentations are not read here.
#[derive(Clone, Debug)]
pub struct CocoDetection {
    source: SharedSource,
    categories: BTreeMap<i64, String>,
    counters: BTreeMap<&'static str, u64>,
}

impl CocoDetection {
    /// Reads an annotation file whose images lie below the folder `root`; its boxes become corners.
    ///
    /// # Errors
    /// [`Error::Sys`] for a file that cannot be read; [`Error::Config`] for one that is no COCO annotation file, has no images,
    /// or has something that cannot be used: file, annotation and image are named.
    pub fn open(root: impl AsRef<Path>, annotations: impl AsRef<Path>) -> Result<Self> {
        Self::open_as(root, annotations, BoxFormat::Xyxy)
    }

    /// As [`open`](Self::open), with boxes of another format.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_as(root: impl AsRef<Path>, annotations: impl AsRef<Path>, format: BoxFormat) -> Result<Self> {
        let path = annotations.as_ref();
        let text = std::fs::read(path).map_err(|error| Error::sys(format!("read `{}`", path.display()), error))?;
        let mut file = File { path: path.to_owned(), counters: BTreeMap::new() };
        let content = file.content(&text)?;
        let images = file.images(&content)?;
        let categories = file.categories(&content)?;
        let most = most_points(&images);
        let fewer = |object: &&Object| object.points.len() < 3 * most;
        let fewer = images.values().flat_map(|image| &image.objects).filter(fewer).count();
        file.counters.insert("annotations_with_fewer_keypoints", fewer as u64);
        let source = table(root.as_ref(), &images, format).build()?;
        file.counters.retain(|_, count| *count > 0);
        Ok(Self { source, categories, counters: file.counters })
    }

    /// Returns the source.
    pub const fn source(&self) -> &SharedSource {
        &self.source
    }

    /// Returns the names of the categories by their ids, which the labels are.
    pub const fn categories(&self) -> &BTreeMap<i64, String> {
        &self.categories
    }

    /// Returns how much of the file was passed over or filled in, by its name, such as `annotations_without_image`.
    pub const fn counters(&self) -> &BTreeMap<&'static str, u64> {
        &self.counters
    }
}

impl From<CocoDetection> for Input {
    fn from(coco: CocoDetection) -> Self {
        coco.source.into()
    }
}

/// What identifies an image; numbers stand before texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Id {
    Number(i64),
    Text(String),
}

impl Id {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Number(number) => whole(number.as_f64()?, number.as_i64()).map(Self::Number),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => write!(f, "'{text}'"),
        }
    }
}

/// An image of the file, and the objects in it.
struct Image {
    file_name: String,
    objects: Vec<Object>,
}

/// An annotation with all that an object in a batch needs.
struct Object {
    /// Left, top, width and height.
    bbox: [f64; 4],
    label: i64,
    area: f64,
    crowd: u8,
    points: Vec<f64>,
}

/// A file that is read.
struct File {
    path: PathBuf,
    counters: BTreeMap<&'static str, u64>,
}

impl File {
    fn error(&self, what: impl fmt::Display) -> Error {
        Error::Config(format!("`{}` {what}", self.path.display()))
    }

    fn count(&mut self, name: &'static str, more: bool) {
        *self.counters.entry(name).or_default() += u64::from(more);
    }

    fn content(&self, text: &[u8]) -> Result<Map<String, Value>> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        match serde_json::from_slice(text) {
            Ok(Value::Object(content)) => Ok(content),
            Ok(other) => Err(self.error(format_args!("is no COCO annotation file: it holds {}", short(&other)))),
            Err(error) => Err(self.error(format_args!("is no JSON: {error}"))),
        }
    }

    /// Returns the entries of a list, which may be missing.
    fn list<'a>(&self, content: &'a Map<String, Value>, name: &str) -> Result<Vec<&'a Map<String, Value>>> {
        let entries = match content.get(name) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(entries)) => entries,
            Some(other) => {
                return Err(
                    self.error(format_args!("is no COCO annotation file: its {name} are {}, not a list", short(other)))
                );
            }
        };
        let object = |(number, entry): (usize, &'a Value)| {
            entry.as_object().ok_or_else(|| {
                self.error(format_args!(
                    "is no COCO annotation file: number {number} of its {name} is {}",
                    short(entry)
                ))
            })
        };
        entries.iter().enumerate().map(object).collect()
    }

    /// Returns the images in the order of their ids, with their objects.
    fn images(&mut self, content: &Map<String, Value>) -> Result<BTreeMap<Id, Image>> {
        let mut images = BTreeMap::new();
        for (number, entry) in self.list(content, "images")?.into_iter().enumerate() {
            let Some(id) = entry.get("id").and_then(Id::of) else {
                return Err(self
                    .error(format_args!("has an image without a usable id: number {number}, {}", short_entry(entry))));
            };
            let Some(file_name) = entry.get("file_name").and_then(Value::as_str).filter(|name| !name.is_empty()) else {
                return Err(self.error(format_args!(
                    "has an image without a usable file_name: image {id}, {}",
                    short_entry(entry)
                )));
            };
            // The last one counts, as for pycocotools.
            let before = images.insert(id, Image { file_name: file_name.to_owned(), objects: Vec::new() });
            self.count("repeated_images", before.is_some());
        }
        if images.is_empty() {
            return Err(self.error("has no images"));
        }
        let is_number = |id: &Id| matches!(id, Id::Number(_));
        if images.keys().any(is_number) && !images.keys().all(is_number) {
            return Err(self.error("has images whose ids cannot be ordered: some are numbers and some are texts"));
        }
        for (number, entry) in self.list(content, "annotations")?.into_iter().enumerate() {
            self.annotation(number, entry, &mut images)?;
        }
        Ok(images)
    }

    fn annotation(
        &mut self,
        number: usize,
        entry: &Map<String, Value>,
        images: &mut BTreeMap<Id, Image>,
    ) -> Result<()> {
        let own = match entry.get("id") {
            None | Some(Value::Null) => format!("annotation number {number}"),
            Some(id) => format!("annotation {}", short(id)),
        };
        let Some(key) = entry.get("image_id") else {
            return Err(self.error(format_args!("has an annotation without image_id: {own}, {}", short_entry(entry))));
        };
        let Some(image) = Id::of(key).and_then(|id| images.get_mut(&id)) else {
            self.count("annotations_without_image", true);
            return Ok(());
        };
        let name = format!("{own} of image {}", short(key));
        if let Some(object) = self.object(&name, entry)? {
            image.objects.push(object);
        }
        Ok(())
    }

    /// Returns an annotation's object; none where it has no box.
    fn object(&mut self, name: &str, entry: &Map<String, Value>) -> Result<Option<Object>> {
        let given = entry.get("bbox").unwrap_or(&Value::Null);
        if given.is_null() || given.as_array().is_some_and(Vec::is_empty) {
            self.count("annotations_without_box", true);
            return Ok(None);
        }
        let Some(bbox) = numbers(given).and_then(|numbers| <[f64; 4]>::try_from(numbers).ok()) else {
            return Err(self.error(format_args!("has a bbox that is not four numbers: {name}, bbox {}", short(given))));
        };
        let category = entry.get("category_id").unwrap_or(&Value::Null);
        let Some(Id::Number(label)) = Id::of(category) else {
            return Err(
                self.error(format_args!("has a category_id that is no whole number: {name}, {}", short(category)))
            );
        };
        let area = self.value(entry, "area", "annotations_without_area", name)?;
        let crowd = self.value(entry, "iscrowd", "annotations_without_iscrowd", name)?;
        if crowd.fract() != 0.0 || !(0.0..=255.0).contains(&crowd) {
            return Err(self.error(format_args!("has an iscrowd that is not 0 to 255: {name}, {crowd}")));
        }
        let points = match entry.get("keypoints") {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(given) => numbers(given).filter(|numbers| numbers.len() % 3 == 0),
        };
        let Some(points) = points else {
            let given = short(entry.get("keypoints").unwrap_or(&Value::Null));
            return Err(
                self.error(format_args!("has keypoints that are not x, y and visibility of each: {name}, {given}"))
            );
        };
        Ok(Some(Object { bbox, label, area, crowd: crowd as u8, points }))
    }

    /// Returns a number of an annotation; 0 where it has none.
    fn value(&mut self, entry: &Map<String, Value>, key: &str, missing: &'static str, name: &str) -> Result<f64> {
        match entry.get(key) {
            None | Some(Value::Null) => {
                self.count(missing, true);
                Ok(0.0)
            }
            Some(Value::Bool(is)) => Ok(f64::from(u8::from(*is))),
            Some(value) => finite(value)
                .ok_or_else(|| self.error(format_args!("has an {key} that is no number: {name}, {}", short(value)))),
        }
    }

    fn categories(&mut self, content: &Map<String, Value>) -> Result<BTreeMap<i64, String>> {
        let mut categories = BTreeMap::new();
        for (number, entry) in self.list(content, "categories")?.into_iter().enumerate() {
            let Some(Id::Number(id)) = entry.get("id").and_then(Id::of) else {
                return Err(self.error(format_args!(
                    "has a category without a usable id: number {number}, {}",
                    short_entry(entry)
                )));
            };
            let name = match entry.get("name") {
                None | Some(Value::Null) => None,
                Some(Value::String(name)) => Some(name.clone()),
                Some(other) => Some(other.to_string()),
            };
            self.count("unnamed_categories", name.is_none());
            categories.insert(id, name.unwrap_or_else(|| id.to_string()));
        }
        Ok(categories)
    }
}

/// Returns the columns of the images, which lie below a folder.
fn table(root: &Path, images: &BTreeMap<Id, Image>, format: BoxFormat) -> Table<'static> {
    let objects = || images.values().map(|image| image.objects.iter());
    let table = Table::new()
        .column("image", Images::paths(images.values().map(|image| root.join(&image.file_name))))
        .column("boxes", BoundingBoxes::new(objects().map(|row| row.map(|each| in_format(each.bbox, format))), format))
        .column("labels", Lists::new(objects().map(|row| row.map(|each| each.label))))
        .column("area", Lists::new(objects().map(|row| row.map(|each| each.area as f32))))
        .column("iscrowd", Lists::new(objects().map(|row| row.map(|each| each.crowd))));
    let (mut numbers, mut texts) = (Vec::new(), Vec::new());
    for id in images.keys() {
        match id {
            Id::Number(number) => numbers.push(*number),
            Id::Text(text) => texts.push(text.as_str()),
        }
    }
    let table =
        if texts.is_empty() { table.column("image_id", numbers) } else { table.column("image_id", Texts::new(texts)) };
    let most = most_points(images);
    if most == 0 {
        return table;
    }
    let padded = |each: &Object| {
        let rest = std::iter::repeat_n(0.0, 3 * most - each.points.len());
        each.points.iter().copied().chain(rest).map(|number| number as f32).collect::<Vec<_>>()
    };
    let rows = objects().map(|row| row.flat_map(padded).collect::<Vec<f32>>());
    table.column("keypoints", KeyPoints::of_shape(vec![most, 3], rows))
}

/// Returns how many keypoints an object has at most.
fn most_points(images: &BTreeMap<Id, Image>) -> usize {
    images.values().flat_map(|image| &image.objects).map(|each| each.points.len() / 3).max().unwrap_or(0)
}

/// Returns a box in a format; computed in 64 bits and rounded once.
fn in_format([left, top, width, height]: [f64; 4], format: BoxFormat) -> [f32; 4] {
    let numbers = match format {
        BoxFormat::Xyxy => [left, top, left + width, top + height],
        BoxFormat::Xywh => [left, top, width, height],
        BoxFormat::Cxcywh => [left + width / 2.0, top + height / 2.0, width, height],
    };
    numbers.map(|number| number as f32)
}

/// Returns the whole number that a number is, if it fits.
fn whole(number: f64, exact: Option<i64>) -> Option<i64> {
    // Below 2^53 a whole `f64` is that number.
    exact.or_else(|| (number.fract() == 0.0 && number.abs() < (1_u64 << 53) as f64).then_some(number as i64))
}

fn finite(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| number.abs() < LARGEST)
}

fn numbers(value: &Value) -> Option<Vec<f64>> {
    value.as_array()?.iter().map(finite).collect()
}

fn short_entry(entry: &Map<String, Value>) -> String {
    short(&Value::Object(entry.clone()))
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        None => text,
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::Loader;

    /// What a file of this content becomes.
    fn open(content: &Value) -> Result<CocoDetection> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("annotations.json");
        std::fs::write(&path, content.to_string()).unwrap();
        CocoDetection::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data"), &path)
    }

    fn file() -> Value {
        serde_json::json!({
            "images": [
                {"id": 9, "file_name": "444.jpg"},
                {"id": 2, "file_name": "missing.jpg"},
                {"id": 2, "file_name": "420.jpg"},
            ],
            "annotations": [
                {"id": 1, "image_id": 2, "bbox": [1, 2, 3, 4.5], "category_id": 18, "area": 13.5, "iscrowd": 0,
                 "keypoints": [1, 2, 2, 3, 4, 1]},
                {"id": 2, "image_id": 2, "bbox": [0, 0, 1, 1], "category_id": 1.0, "iscrowd": true, "keypoints": [5, 6, 1]},
                {"id": 3, "image_id": 2, "category_id": 1},
                {"id": 4, "image_id": 77, "bbox": [0, 0, 1, 1], "category_id": 1},
            ],
            "categories": [{"id": 18, "name": "dog"}, {"id": 1}],
        })
    }

    #[test]
    fn objects_are_those_of_the_file() {
        let coco = open(&file()).unwrap();
        assert_eq!(
            coco.categories().iter().map(|(id, name)| (*id, name.as_str())).collect::<Vec<_>>(),
            [(1, "1"), (18, "dog")]
        );
        let counted = [
            ("annotations_with_fewer_keypoints", 1),
            ("annotations_without_area", 1),
            ("annotations_without_box", 1),
            ("annotations_without_image", 1),
            ("repeated_images", 1),
            ("unnamed_categories", 1),
        ];
        assert_eq!(coco.counters().iter().map(|(name, count)| (*name, *count)).collect::<Vec<_>>(), counted);
        let resize = [crate::transform::Transform::resize([8, 8])];
        let loader = Loader::builder(coco).num_workers(0).batch_size(2).transforms("image", resize).build().unwrap();
        let batch = loader.iter().next().unwrap().unwrap();
        assert_eq!(batch.view::<i64, ndarray::Ix1>("image_id").unwrap().to_vec(), [2, 9]);
        let labels = batch.ragged::<i64, ndarray::Ix1>("labels").unwrap();
        assert_eq!((labels.row(0).unwrap().to_vec(), labels.row(1).unwrap().len()), (vec![18, 1], 0));
        let crowd = batch.ragged::<u8, ndarray::Ix1>("iscrowd").unwrap();
        assert_eq!(crowd.row(0).unwrap().to_vec(), [0, 1]);
        assert_eq!(batch.ragged::<f32, ndarray::Ix3>("keypoints").unwrap().row(0).unwrap().shape(), [2, 2, 3]);
        assert_eq!(batch.ragged::<f32, ndarray::Ix2>("boxes").unwrap().row(0).unwrap().shape(), [2, 4]);
    }

    #[test]
    fn boxes_have_the_format_that_is_asked_for() {
        let bbox = [1.0, 2.0, 3.0, 5.0];
        let is = |format, to: [f32; 4]| in_format(bbox, format).map(f32::to_bits) == to.map(f32::to_bits);
        assert!(is(BoxFormat::Xyxy, [1.0, 2.0, 4.0, 7.0]));
        assert!(is(BoxFormat::Xywh, [1.0, 2.0, 3.0, 5.0]));
        assert!(is(BoxFormat::Cxcywh, [2.5, 4.5, 3.0, 5.0]));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let changed = |at: &str, to: Value| {
            let mut file = file();
            *file.pointer_mut(at).unwrap() = to;
            open(&file).unwrap_err().to_string()
        };
        let said = changed("/annotations/0/bbox", serde_json::json!([1, 2, 3]));
        assert!(said.contains("a bbox that is not four numbers: annotation 1 of image 2, bbox [1,2,3]"), "{said}");
        assert!(
            changed("/annotations/0/category_id", Value::Null).contains("no whole number: annotation 1 of image 2")
        );
        assert!(changed("/annotations/0/iscrowd", 300.into()).contains("iscrowd that is not 0 to 255"));
        assert!(changed("/annotations/0/area", "x".into()).contains("an area that is no number"));
        assert!(changed("/annotations/0/keypoints", serde_json::json!([1, 2])).contains("keypoints that are not x, y"));
        assert!(changed("/images/0/id", Value::Null).contains("an image without a usable id: number 0"));
        assert!(changed("/images/0/id", "a".into()).contains("cannot be ordered"));
        assert!(changed("/images/0/file_name", 7.into()).contains("without a usable file_name: image 9"));
        assert!(changed("/images", serde_json::json!([])).contains("has no images"));
        assert!(changed("/annotations", 7.into()).contains("its annotations are 7, not a list"));
        assert!(open(&Value::Null).unwrap_err().to_string().contains("it holds null"));
    }
}
