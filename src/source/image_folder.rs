//! A folder of class folders of images, by torchvision's rules.

mod index;
mod kept;

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use self::index::Index;
use super::{
    access::Source,
    reader::{BytesReader, Reader},
    record::Record,
    whole_file,
};
use crate::{
    error::{Failure, Result},
    field::{Field, Image, Label},
};

/// Images in class folders, labelled as torchvision's `ImageFolder` does it.
///
/// The class names are the sorted names of the root's folders. A class's samples are found by a sorted walk
/// that follows symbolic links, and are the files with the extension of an image. A link to a folder above
/// itself is not followed, and a folder that cannot be listed is an error; torchvision goes round the first
/// until the path is too long and leaves out the second silently. Links that lead to one folder over more than 64
/// paths of a class are an error too.
///
/// The fields are `image`, an encoded image, and `label`, an `int64` scalar.
#[derive(Debug)]
pub struct ImageFolder {
    root: PathBuf,
    index: Index,
    fields: Vec<Field>,
}

impl ImageFolder {
    /// Returns the fields of every image folder.
    pub fn source_fields() -> Vec<Field> {
        vec![Field::new("image", Image::default()), Field::new("label", Label {})]
    }

    /// Lists the folder `root`, or takes what an earlier listing left in the folder `cache`: where that took long, it is
    /// kept there, and used while none of the folders has another time of change.
    ///
    /// # Errors
    /// [`Config`](crate::Error::Config) where `root` is no folder, has no class folders, or one of them has no image;
    /// [`Sys`](crate::Error::Sys) where a folder is missing or cannot be listed.
    pub fn open(root: &Path, cache: Option<&Path>) -> Result<Self> {
        let index = match cache {
            None => Index::build(root)?.index,
            Some(cache) => kept::index(root, cache)?,
        };
        Ok(Self { root: root.to_owned(), index, fields: Self::source_fields() })
    }

    /// Returns the path and the label of each sample.
    pub fn samples(&self) -> impl Iterator<Item = (PathBuf, i64)> {
        let label = |index| self.index.label(index).try_into().map_or(0, i64::from_ne_bytes);
        (0..self.index.len()).map(move |index| (self.path(index), label(index)))
    }

    fn path(&self, index: u64) -> PathBuf {
        self.root.join(OsStr::from_bytes(self.index.path(index)))
    }

    fn fetch(&self, index: u64, bytes: &mut Vec<u8>, most: u64) -> Result<(), Failure> {
        bytes.clear();
        whole_file::append(&self.path(index), bytes, most)
    }
}

impl Source for ImageFolder {
    fn len(&self) -> u64 {
        self.index.len()
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn key(&self, index: u64) -> String {
        self.path(index).to_string_lossy().into_owned()
    }

    fn classes(&self) -> &[OsString] {
        self.index.classes()
    }

    fn does_io(&self) -> bool {
        true
    }

    fn needs_record(&self, field: usize) -> bool {
        field == 0
    }

    fn reader(&self) -> Box<dyn Reader + '_> {
        Box::new(BytesReader::new(|index, bytes, most| self.fetch(index, bytes, most)))
    }

    fn field<'a>(&'a self, field: usize, index: u64, record: &'a Record) -> &'a [u8] {
        if field == 0 { &record.bytes } else { self.index.label(index) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_sample_is_a_file_and_its_class() {
        let root = tempfile::tempdir().unwrap();
        for (path, bytes) in [("b/x.jpg", "1"), ("a/y.PNG", "22")] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let folder = ImageFolder::open(root.path(), None).unwrap();
        let mut record = Record::from(vec![0; 100]);
        folder.fetch(1, &mut record.bytes, 1).unwrap();
        assert_eq!(folder.len(), 2);
        assert_eq!(folder.classes(), ["a", "b"]);
        assert_eq!(folder.field(0, 1, &record), b"1");
        assert_eq!(folder.field(1, 1, &record), 1_i64.to_ne_bytes());
        assert!(folder.fetch(0, &mut record.bytes, 1).unwrap_err().reason.contains("has 2 bytes"));
        let samples: Vec<_> = folder.samples().collect();
        assert_eq!(samples, [(root.path().join("a/y.PNG"), 0), (root.path().join("b/x.jpg"), 1)]);
        assert_eq!((folder.needs_record(0), folder.needs_record(1)), (true, false));
        assert_eq!(folder.key(1), root.path().join("b/x.jpg").to_str().unwrap());

        fs::remove_file(root.path().join("b/x.jpg")).unwrap();
        assert_eq!(folder.fetch(1, &mut record.bytes, 1).unwrap_err().errno, Some(libc::ENOENT));
    }
}
