//! Samples of several sources, one after the other.

use std::{ffi::OsString, os::fd::RawFd, sync::Arc};

use xxhash_rust::xxh3::Xxh3;

use super::{access::Source, reader::Reader, record::Record};
use crate::{
    error::{Error, Failure, Result},
    field::Field,
    rng::Key,
    sampler::Blocks,
};

/// Sources with the same fields and classes, one after the other.
#[derive(Debug)]
pub struct Concat {
    sources: Vec<Arc<dyn Source>>,
    /// Where each source ends.
    ends: Vec<u64>,
    fields: Vec<Field>,
}

impl Concat {
    /// Returns the fields of sources of these fields: with room for the longest sample of any.
    ///
    /// # Errors
    /// [`Config`](Error::Config) where there is no source, or fields differ; it names what differs.
    pub fn common<'a>(sources: impl IntoIterator<Item = &'a [Field]>) -> Result<Vec<Field>> {
        let mut sources = sources.into_iter();
        let first = sources.next().ok_or_else(|| Error::config("there must be at least one source to concatenate"))?;
        let mut common = first.to_vec();
        for (number, fields) in sources.enumerate() {
            let differs = |what: String| Error::Config(format!("source {} {what}", number + 1));
            for (at, field) in common.iter_mut().enumerate() {
                let other = fields.iter().find(|other| other.name == field.name);
                let other = other.ok_or_else(|| differs(format!("has no field `{}`, as source 0 has", field.name)))?;
                let both = field.with(other);
                let both = both.ok_or_else(|| differs(format!("has the field {other}, and source 0 has {field}")))?;
                if fields[at].name != field.name {
                    return Err(differs(format!("has its fields in another order: {}", names(fields))));
                }
                *field = both;
            }
            if let Some(more) = fields.get(common.len()) {
                return Err(differs(format!("has the field `{}`, which source 0 has not", more.name)));
            }
        }
        Ok(common)
    }

    /// Puts sources one after the other.
    ///
    /// # Errors
    /// Those of [`common`](Self::common), and [`Config`](Error::Config) where classes differ.
    pub fn open(sources: Vec<Arc<dyn Source>>) -> Result<Self> {
        let fields = Self::common(sources.iter().map(|source| source.fields()))?;
        let mut ends = Vec::with_capacity(sources.len());
        let mut end = 0_u64;
        for (number, source) in sources.iter().enumerate() {
            if let Some((one, other)) = differing(sources[0].classes(), source.classes()) {
                return Err(Error::Config(format!(
                    "source {number} has {other}, and source 0 has {one}: give both the same classes"
                )));
            }
            let sum = end.checked_add(source.len());
            end = sum.ok_or_else(|| Error::config("sources have more samples together than can be counted"))?;
            ends.push(end);
        }
        Ok(Self { sources, ends, fields })
    }

    /// Returns the number of the source that a sample is of, and the sample's index there.
    fn locate(&self, index: u64) -> (usize, u64) {
        let number = self.ends.partition_point(|end| *end <= index);
        (number, index - number.checked_sub(1).map_or(0, |before| self.ends[before]))
    }
}

/// Returns the least number that is none of zero; 0 where all are.
pub(super) fn least(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.filter(|&number| number > 0).min().unwrap_or(0)
}

fn names(fields: &[Field]) -> String {
    fields.iter().map(|field| format!("`{}`", field.name)).collect::<Vec<_>>().join(", ")
}

/// Returns what the first difference of two lists of classes is.
fn differing(one: &[OsString], other: &[OsString]) -> Option<(String, String)> {
    if one == other {
        return None;
    }
    let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    let class = |classes: &[OsString]| match classes.get(same) {
        Some(name) => format!("class {same} `{}`", name.display()),
        None => format!("{} classes", classes.len()),
    };
    Some((class(one), class(other)))
}

/// Reads samples of all sources.
struct ConcatReader<'a> {
    concat: &'a Concat,
    readers: Vec<Box<dyn Reader + 'a>>,
}

impl Reader for ConcatReader<'_> {
    fn begin(&mut self) {
        self.readers.iter_mut().for_each(|reader| reader.begin());
    }

    fn read(&mut self, key: Key, record: &mut Record, most: u64) -> Result<(), Failure> {
        let (number, index) = self.concat.locate(key.index);
        self.readers[number].read(Key { index, ..key }, record, most)
    }

    fn end(&mut self) {
        self.readers.iter_mut().for_each(|reader| reader.end());
    }
}

#[deny(clippy::missing_trait_methods)]
impl Source for Concat {
    fn len(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn key(&self, index: u64) -> String {
        let (number, index) = self.locate(index);
        self.sources[number].key(index)
    }

    fn file(&self, field: usize, index: u64) -> Option<String> {
        let (number, index) = self.locate(index);
        self.sources[number].file(field, index)
    }

    fn classes(&self) -> &[OsString] {
        self.sources[0].classes()
    }

    fn identity(&self, samples: u64) -> u64 {
        // The first source alone is as it would be by itself.
        if samples <= self.ends[0] {
            return self.sources[0].identity(samples);
        }
        let (mut hash, mut left) = (Xxh3::new(), samples);
        for source in &self.sources {
            let of_it = source.len().min(left);
            if of_it == 0 {
                break;
            }
            hash.update(&source.identity(of_it).to_le_bytes());
            hash.update(&of_it.to_le_bytes());
            left -= of_it;
        }
        hash.digest()
    }

    fn descriptors(&self) -> Vec<RawFd> {
        self.sources.iter().flat_map(|source| source.descriptors()).collect()
    }

    fn is_stream(&self) -> bool {
        false
    }

    fn does_io(&self) -> bool {
        self.sources.iter().any(|source| source.does_io())
    }

    fn blocks(&self) -> Option<Arc<Blocks>> {
        let all: Option<Vec<Arc<Blocks>>> = self.sources.iter().map(|source| source.blocks()).collect();
        let (mut ends, mut before, mut window) = (Vec::new(), 0, u64::MAX);
        for (blocks, source) in all?.iter().zip(&self.sources) {
            ends.extend(blocks.ends.iter().map(|end| before + end));
            before += source.len();
            window = window.min(blocks.window);
        }
        Some(Arc::new(Blocks { ends, window }))
    }

    fn needs_record(&self, field: usize) -> bool {
        self.sources.iter().any(|source| source.needs_record(field))
    }

    fn waits(&self) -> bool {
        self.sources.iter().any(|source| source.waits())
    }

    fn looks_ahead(&self) -> u64 {
        least(self.sources.iter().map(|source| source.looks_ahead()))
    }

    fn soon(&self, index: u64) {
        let (number, index) = self.locate(index);
        self.sources[number].soon(index);
    }

    fn is_quick(&self) -> bool {
        self.sources.iter().all(|source| source.is_quick())
    }

    fn runs_code(&self) -> bool {
        self.sources.iter().any(|source| source.runs_code())
    }

    fn stack_signal(&self) -> Option<i32> {
        self.sources.iter().find_map(|source| source.stack_signal())
    }

    fn guesses_room(&self) -> bool {
        self.sources.iter().any(|source| source.guesses_room())
    }

    fn enter(&self, seat: u32) -> Result<()> {
        self.sources.iter().try_for_each(|source| source.enter(seat))
    }

    fn reader(&self) -> Box<dyn Reader + '_> {
        let readers = self.sources.iter().map(|source| source.reader()).collect();
        Box::new(ConcatReader { concat: self, readers })
    }

    fn field<'a>(&'a self, field: usize, index: u64, record: &'a Record) -> &'a [u8] {
        let (number, index) = self.locate(index);
        self.sources[number].field(field, index, record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        field::{Label, List, Tensor, Text},
        source::combined_tests::numbers,
        spec::DType,
    };

    #[test]
    fn samples_come_one_source_after_the_other() {
        let concat = Concat::open(vec![numbers(&[1, 2]), numbers(&[3]), numbers(&[4, 5])]).unwrap();
        let values: Vec<u8> = (0..5).flat_map(|index| concat.field(0, index, &Record::default()).to_vec()).collect();
        assert_eq!((concat.len(), values), (5, vec![1, 2, 3, 4, 5]));
        assert_eq!((concat.key(2), concat.key(4)), ("row 0".into(), "row 1".into()));
        assert_ne!(concat.identity(5), Concat::open(vec![numbers(&[1, 2, 3, 4, 5])]).unwrap().identity(5));
    }

    #[test]
    fn what_comes_behind_changes_nothing_of_an_identity() {
        let of = |parts: &[&[u8]], samples| {
            Concat::open(parts.iter().map(|part| numbers(part)).collect()).unwrap().identity(samples)
        };
        let had = of(&[&[1, 2], &[3]], 3);
        assert_eq!(of(&[&[1, 2], &[3], &[4, 5]], 3), had);
        assert_eq!(of(&[&[1, 2], &[3, 6]], 3), had);
        assert_ne!(of(&[&[1, 2], &[3, 6]], 4), had);
        assert_ne!(of(&[&[1, 2, 6], &[3]], 3), had, "what comes between does");
        assert_eq!(of(&[&[1, 2], &[3]], 2), numbers(&[1, 2]).identity(2));
    }

    #[test]
    fn fields_have_room_for_the_longest_sample_of_any() {
        let list = |capacity| vec![Field::new("x", List { dtype: DType::Int16, shape: vec![2], capacity })];
        assert_eq!(Concat::common([&list(3)[..], &list(5), &list(4)]).unwrap(), list(5));
        let label = vec![Field::new("y", Label {})];
        let number = vec![Field::new("y", Tensor { dtype: DType::Int64, shape: vec![] })];
        assert_eq!(Concat::common([&label[..], &number]).unwrap(), number);
        assert_eq!(Concat::common([&number[..], &label]).unwrap(), number);
        assert_eq!(Concat::common([&label[..], &label]).unwrap(), label);
    }

    #[test]
    fn what_differs_is_named() {
        let message = |sources: &[Vec<Field>]| Concat::common(sources.iter().map(|fields| &fields[..])).unwrap_err();
        let text = Field::new("t", Text { capacity: 0 });
        let number = |dtype| Field::new("x", Tensor { dtype, shape: vec![3] });
        let sources = [vec![number(DType::Int8)], vec![number(DType::Int16)]];
        assert_eq!(message(&sources).to_string(), "source 1 has the field x: int16[3], and source 0 has x: int8[3]");
        let sources = [vec![text.clone()], vec![number(DType::Int8)]];
        assert_eq!(message(&sources).to_string(), "source 1 has no field `t`, as source 0 has");
        let sources = [vec![text.clone()], vec![text.clone(), number(DType::Int8)]];
        assert_eq!(message(&sources).to_string(), "source 1 has the field `x`, which source 0 has not");
        let sources = [vec![text.clone(), number(DType::Int8)], vec![number(DType::Int8), text]];
        assert_eq!(message(&sources).to_string(), "source 1 has its fields in another order: `x`, `t`");
        assert_eq!(message(&[]).to_string(), "there must be at least one source to concatenate");
    }

    #[test]
    fn classes_that_differ_are_named() {
        let classes = |names: &[&str]| names.iter().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(differing(&classes(&["a"]), &classes(&["a"])), None);
        let found = differing(&classes(&["a", "b"]), &classes(&["a", "c"]));
        assert_eq!(found, Some(("class 1 `b`".into(), "class 1 `c`".into())));
        let found = differing(&classes(&["a"]), &classes(&["a", "c"]));
        assert_eq!(found, Some(("1 classes".into(), "class 1 `c`".into())));
    }
}
