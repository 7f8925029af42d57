//! Sources as data.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    access::{Bytes, Source},
    concat::Concat,
    examples::{Examples, ExamplesSpec},
    image_folder::ImageFolder,
    joined::Joined,
    path,
    select::Select,
    table::{Table, TableSpec},
    tokens::{Tokens, TokensSpec},
};
use crate::{
    error::{Error, Result},
    field::Field,
};

/// A source as data: what the trainer sends to the coordinator, which opens it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
#[non_exhaustive]
pub enum SourceSpec {
    /// A folder of class folders of images; see [`ImageFolder`].
    ImageFolder {
        /// The folder.
        #[serde(with = "path")]
        root: std::path::PathBuf,
        /// Where a listing that took long is kept; nowhere if None.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "path::optional")]
        cache: Option<std::path::PathBuf>,
    },
    /// Columns by name, of files and of values in one piece of shared memory; see [`Table`].
    Table(TableSpec),
    /// Samples of another source, whose indices lie in one more piece of shared memory; see [`Select`].
    Select {
        /// The other source.
        source: Box<Self>,
        /// How many samples that had when they were selected.
        of: u64,
        /// How many are selected.
        len: u64,
    },
    /// Sources with the same fields, one after the other; see [`Concat`].
    Concat {
        /// The sources.
        sources: Vec<Self>,
    },
    /// Fields of two sources beside each other; see [`Joined`].
    Joined {
        /// The source whose fields come first.
        source: Box<Self>,
        /// The source of the others.
        other: Box<Self>,
    },
    /// Records of shards that are `tf.train.Example`s; see [`Examples`].
    Examples(ExamplesSpec),
    /// Windows of files of tokens; see [`Tokens`].
    Tokens(TokensSpec),
    /// Rows of Parquet files; see [`Parquet`](super::Parquet).
    #[cfg(feature = "parquet")]
    Parquet(super::ParquetSpec),
    /// Code of the user, which no data can say: it comes beside the description, as so many pieces of shared memory.
    Code {
        /// How many.
        pieces: usize,
    },
}

impl SourceSpec {
    /// Returns the fields that the opened source will have, without opening it.
    pub fn fields(&self) -> Vec<Field> {
        match self {
            Self::ImageFolder { .. } => ImageFolder::source_fields(),
            Self::Table(table) => table.columns.iter().map(|column| column.field.clone()).collect(),
            Self::Select { source, .. } => source.fields(),
            Self::Concat { sources } => {
                let fields: Vec<Vec<Field>> = sources.iter().map(Self::fields).collect();
                // Opening it tells what differs.
                Concat::common(fields.iter().map(|fields| &fields[..])).unwrap_or_default()
            }
            Self::Joined { source, other } => [source.fields(), other.fields()].concat(),
            Self::Examples(spec) => spec.features.iter().map(|feature| feature.field.clone()).collect(),
            Self::Tokens(spec) => spec.fields(),
            #[cfg(feature = "parquet")]
            Self::Parquet(spec) => spec.columns.iter().map(|column| column.field.clone()).collect(),
            // They are learned from samples.
            Self::Code { .. } => Vec::new(),
        }
    }

    /// Makes a relative path mean the same wherever the program goes.
    #[must_use]
    pub fn absolute(self) -> Self {
        match self {
            // Without a directory of now, or a path, opening it tells what is wrong.
            Self::ImageFolder { root, cache } => {
                let absolute = |path: std::path::PathBuf| std::path::absolute(&path).unwrap_or(path);
                Self::ImageFolder { root: absolute(root), cache: cache.map(absolute) }
            }
            #[cfg(feature = "parquet")]
            Self::Parquet(_) => self,
            Self::Select { source, of, len } => Self::Select { source: Box::new(source.absolute()), of, len },
            Self::Concat { sources } => Self::Concat { sources: sources.into_iter().map(Self::absolute).collect() },
            Self::Joined { source, other } => {
                Self::Joined { source: Box::new(source.absolute()), other: Box::new(other.absolute()) }
            }
            Self::Table(_) | Self::Examples(_) | Self::Tokens(_) | Self::Code { .. } => self,
        }
    }

    /// Returns in how many pieces of memory the source lies.
    pub fn pieces(&self) -> usize {
        match self {
            Self::ImageFolder { .. } => 0,
            #[cfg(feature = "parquet")]
            Self::Parquet(_) => 0,
            Self::Table(_) | Self::Examples(_) => 1,
            Self::Tokens(spec) => 1 + usize::from(spec.documents.is_some()),
            Self::Select { source, .. } => source.pieces() + 1,
            Self::Concat { sources } => sources.iter().map(Self::pieces).sum(),
            Self::Joined { source, other } => source.pieces() + other.pieces(),
            Self::Code { pieces } => *pieces,
        }
    }

    /// Returns the most bytes that each worker keeps of what it has decoded of the source.
    pub fn kept_bytes(&self) -> u64 {
        match self {
            #[cfg(feature = "parquet")]
            Self::Parquet(spec) => spec.kept_bytes(),
            Self::Select { source, .. } => source.kept_bytes(),
            Self::Concat { sources } => sources.iter().map(Self::kept_bytes).fold(0, u64::saturating_add),
            Self::Joined { source, other } => source.kept_bytes().saturating_add(other.kept_bytes()),
            Self::ImageFolder { .. } | Self::Table(_) | Self::Examples(_) | Self::Tokens(_) | Self::Code { .. } => 0,
        }
    }

    /// Opens the source, which lies in these [pieces](Self::pieces) of memory: those of sources that it is made of, in their
    /// order, and then its own.
    ///
    /// # Errors
    /// [`Config`](crate::Error::Config) for a folder without samples, columns that do not fit their bytes, sources that do
    /// not go together, or another number of pieces; [`Sys`](crate::Error::Sys) for a folder that cannot be listed.
    pub fn open(&self, memory: &[Bytes]) -> Result<Arc<dyn Source>> {
        if self.pieces() != memory.len() {
            let (needed, given) = (self.pieces(), memory.len());
            return Err(Error::Config(format!("a source lies in {needed} pieces of memory, and {given} were given")));
        }
        Ok(match self {
            Self::ImageFolder { root, cache } => Arc::new(ImageFolder::open(root, cache.as_deref())?),
            Self::Table(table) => Arc::new(Table::open(table.clone(), Arc::clone(&memory[0]))?),
            Self::Select { source, of, len } => {
                let (inner, own) = memory.split_at(source.pieces());
                Arc::new(Select::open(source.open(inner)?, *of, *len, Arc::clone(&own[0]))?)
            }
            Self::Concat { sources } => {
                let mut left = memory;
                let mut open = |source: &Self| {
                    let (own, others) = left.split_at(source.pieces());
                    left = others;
                    source.open(own)
                };
                Arc::new(Concat::open(sources.iter().map(&mut open).collect::<Result<_>>()?)?)
            }
            Self::Joined { source, other } => {
                let (one, others) = memory.split_at(source.pieces());
                Arc::new(Joined::open(source.open(one)?, other.open(others)?)?)
            }
            Self::Examples(spec) => Arc::new(Examples::open(spec.clone(), Arc::clone(&memory[0]))?),
            Self::Tokens(spec) => Arc::new(Tokens::open(spec.clone(), Arc::clone(&memory[0]), memory.get(1).cloned())?),
            #[cfg(feature = "parquet")]
            Self::Parquet(spec) => Arc::new(super::Parquet::open(spec.clone())?),
            Self::Code { .. } => return Err(Error::config("code of the user is opened by what runs it")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &str) -> SourceSpec {
        serde_json::from_str(&format!(r#"{{"kind":"Table","len":2,"columns":[{columns}]}}"#)).unwrap()
    }

    fn column(name: &str) -> String {
        format!(r#"{{"name":"{name}","kind":"tensor","dtype":"uint8","shape":[],"stored":{{"rows":0}}}}"#)
    }

    #[test]
    fn each_source_opens_with_its_own_memory() {
        let memory = |bytes: &[u8]| -> Bytes { Arc::new(bytes.to_vec()) };
        let selected = SourceSpec::Select { source: Box::new(table(&column("x"))), of: 2, len: 1 };
        let both = SourceSpec::Concat { sources: vec![selected, table(&column("x")), table(&column("x"))] };
        let four = both.open(&[memory(&[1, 2]), memory(&1_u64.to_ne_bytes()), memory(&[3, 4]), memory(&[5, 6])]);
        let four = four.unwrap();
        let record = crate::source::Record::default();
        let values: Vec<u8> = (0..5).flat_map(|index| four.field(0, index, &record).to_vec()).collect();
        assert_eq!(values, [2, 3, 4, 5, 6]);
        assert_eq!((both.pieces(), both.fields().len()), (4, 1));
        assert_eq!(serde_json::from_str::<SourceSpec>(&serde_json::to_string(&both).unwrap()).unwrap(), both);

        let joined = SourceSpec::Joined { source: Box::new(table(&column("x"))), other: Box::new(table(&column("y"))) };
        let two = joined.open(&[memory(&[1, 2]), memory(&[3, 4])]).unwrap();
        assert_eq!((two.field(0, 1, &record), two.field(1, 1, &record)), (&[2][..], &[4][..]));
        assert!(joined.open(&[memory(&[1, 2])]).unwrap_err().to_string().contains("2 pieces of memory, and 1"));
    }
}
