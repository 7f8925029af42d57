//! Tar files of samples, by the rules of WebDataset.

use std::{
    collections::BTreeSet,
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    Progress,
    cache::Cache,
    shards::{Shard, each, open},
    take::{Member, Take, Taken},
    tar::Members,
};
use crate::{
    error::{Error, Result},
    field::{Field, Payload},
    loader::{Columns, Parts, Runs, Shards, SharedSource, Values},
    stamp::Stamp,
};

/// Tar files of samples.
///
/// Members whose names agree up to the first dot behind the last slash, and which follow each other, are a sample; what is
/// behind that dot, in lower case, is the member's suffix. Names that begin with a dot, as those that macOS adds, names
/// without a suffix, and those in a folder or file of the form `__name__` belong to no sample. Two members of a sample
/// with one suffix are an error. These are the rules of the `webdataset` package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebDataset {
    /// The files.
    pub shards: Vec<PathBuf>,
    /// The fields; none for one of each suffix that the first sample has.
    pub fields: Option<Vec<Member>>,
    /// What becomes of samples that lack a member.
    pub missing: Missing,
}

/// What becomes of samples that lack a member of a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// The first one is an error.
    #[default]
    Error,
    /// They are left out, and counted.
    Skip,
}

impl WebDataset {
    /// Finds the samples, or has them from the cache, and returns them as a source with the number of those that were left out.
    ///
    /// # Errors
    /// [`Config`](Error::Config) that names the shard and the member where a file is no tar file, a sample lacks a member or has
    /// two of one suffix, or a member is not what a field needs; [`Sys`](Error::Sys) for a file that cannot be read.
    pub fn index(&self, cache: &Cache, progress: Progress<'_>) -> Result<(SharedSource, u64)> {
        let files = self.shards.iter().map(|path| open(path)).collect::<Result<Vec<_>>>()?;
        let stamped: Vec<_> = files.iter().map(|(path, _, stamp)| (path.clone(), *stamp)).collect();
        let what = serde_json::to_string(self).map_err(|error| Error::Protocol(error.to_string()))?;
        cache.get(&what, &stamped, || self.build(&files, &stamped, progress))
    }

    fn build(
        &self,
        files: &[Shard],
        stamped: &[(PathBuf, Stamp)],
        progress: Progress<'_>,
    ) -> Result<(SharedSource, u64)> {
        let fields = match &self.fields {
            Some(fields) => fields.clone(),
            None => first_fields(files)?,
        };
        let found = each(files, progress, |number, (path, file, stamp)| {
            let members = Members::of(path, file, stamp.size)?;
            Samples::of(number, (path, file), &members, &fields, self.missing)
        })?;
        let mut all = Samples::new(&fields);
        for (samples, (path, _, _)) in found.into_iter().zip(files) {
            all.append(samples, path)?;
        }
        if all.ends.is_empty() {
            let without = if all.skipped > 0 { " that has all fields" } else { "" };
            return Err(Error::Config(format!("there is no sample{without} in {} shards", files.len())));
        }
        Ok((all.source(&fields, stamped)?, all.skipped))
    }
}

/// Splits a member's name into the key of its sample and its suffix. None where it belongs to no sample.
fn split(name: &[u8]) -> Option<(&[u8], String)> {
    let base = name.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let dot = name[base..].iter().position(|byte| *byte == b'.')?;
    let is_meta = |part: &[u8]| part.len() >= 4 && part.starts_with(b"__") && part.ends_with(b"__");
    if dot == 0 || name.split(|byte| *byte == b'/').any(is_meta) {
        return None;
    }
    let suffix = String::from_utf8_lossy(&name[base + dot + 1..]).to_lowercase();
    Some((&name[..base + dot], suffix))
}

/// A sample's members: their numbers, by suffix.
struct Group<'a> {
    key: &'a [u8],
    members: Vec<(String, usize)>,
}

/// Returns the samples of a shard.
fn groups<'a>(path: &Path, members: &'a Members) -> Result<Vec<Group<'a>>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for number in 0..members.len() {
        let Some((key, suffix)) = split(members.name(number)) else { continue };
        match groups.last_mut() {
            Some(group) if group.key == key => {
                if group.members.iter().any(|(other, _)| *other == suffix) {
                    let name = String::from_utf8_lossy(members.name(number));
                    return Err(Error::Config(format!(
                        "`{}`: member `{name}` comes twice in its sample",
                        path.display()
                    )));
                }
                group.members.push((suffix, number));
            }
            _ => groups.push(Group { key, members: vec![(suffix, number)] }),
        }
    }
    Ok(groups)
}

/// Returns a field for each suffix of the first sample.
fn first_fields(files: &[Shard]) -> Result<Vec<Member>> {
    for (path, file, stamp) in files {
        let members = Members::of(path, file, stamp.size)?;
        let groups = groups(path, &members)?;
        let Some(first) = groups.first() else { continue };
        let names: BTreeSet<&String> = first.members.iter().map(|(suffix, _)| suffix).collect();
        let member = |suffix: &String| {
            let take = Take::by_suffix(suffix).map_err(|reason| {
                let key = String::from_utf8_lossy(first.key);
                Error::Config(format!(
                    "`{}`: member `{key}.{suffix}` {reason}; leave it out with `fields`",
                    path.display()
                ))
            })?;
            Ok(Member { name: suffix.clone(), suffixes: vec![suffix.clone()], take })
        };
        return names.into_iter().map(member).collect();
    }
    Err(Error::Config(format!("there is no sample in {} shards", files.len())))
}

/// The samples of one shard, or of several.
#[derive(Default)]
struct Samples {
    keys: Vec<u8>,
    ends: Vec<u64>,
    columns: Vec<Column>,
    skipped: u64,
}

/// What one field has.
#[derive(Default)]
struct Column {
    /// What rows look like, where that is learned from samples.
    learned: Option<Field>,
    shards: Vec<u32>,
    starts: Vec<u64>,
    sizes: Vec<u64>,
    bytes: Vec<u8>,
    ends: Vec<u64>,
}

impl Samples {
    fn new(fields: &[Member]) -> Self {
        Self { columns: fields.iter().map(|_| Column::default()).collect(), ..Self::default() }
    }

    fn of(
        shard: u32,
        (path, file): (&Path, &File),
        members: &Members,
        fields: &[Member],
        missing: Missing,
    ) -> Result<Self> {
        let mut samples = Self::new(fields);
        'samples: for group in groups(path, members)? {
            let key = || String::from_utf8_lossy(group.key).into_owned();
            let mut found = Vec::with_capacity(fields.len());
            for member in fields {
                let of = |wanted: &String| group.members.iter().find(|(suffix, _)| suffix == wanted);
                match (member.suffixes.iter().find_map(of), missing) {
                    (Some((_, number)), _) => found.push(*number),
                    (None, Missing::Skip) => {
                        samples.skipped += 1;
                        continue 'samples;
                    }
                    (None, Missing::Error) => {
                        let (name, suffixes) = (&member.name, member.suffixes.join(" or ."));
                        return Err(Error::Config(format!(
                            "`{}`: sample `{}` has no .{suffixes} for field `{name}`; choose others with `fields`, or \
                             leave such samples out with missing=\"skip\"",
                            path.display(),
                            key()
                        )));
                    }
                }
            }
            for ((member, number), column) in fields.iter().zip(found).zip(&mut samples.columns) {
                let part = members.parts[number];
                column.take(member, shard, (file, part)).map_err(|reason| {
                    let name = String::from_utf8_lossy(members.name(number)).into_owned();
                    Error::Config(format!(
                        "`{}`: member `{name}` at byte {} {reason} (field `{}`)",
                        path.display(),
                        part.0,
                        member.name
                    ))
                })?;
            }
            samples.keys.extend_from_slice(group.key);
            samples.ends.push(samples.keys.len() as u64);
        }
        Ok(samples)
    }

    /// Adds the samples of another shard behind these.
    fn append(&mut self, other: Self, path: &Path) -> Result<()> {
        let before = self.keys.len() as u64;
        self.keys.extend(other.keys);
        self.ends.extend(other.ends.iter().map(|end| end + before));
        self.skipped += other.skipped;
        for (column, other) in self.columns.iter_mut().zip(other.columns) {
            if let (Some(known), Some(found)) = (&column.learned, &other.learned)
                && known != found
            {
                let path = path.display();
                return Err(Error::Config(format!("`{path}`: samples have {found}, and those before them {known}")));
            }
            column.learned = column.learned.take().or(other.learned);
            let before = column.bytes.len() as u64;
            column.bytes.extend(other.bytes);
            column.ends.extend(other.ends.iter().map(|end| end + before));
            column.shards.extend(other.shards);
            column.starts.extend(other.starts);
            column.sizes.extend(other.sizes);
        }
        Ok(())
    }

    fn source(&self, fields: &[Member], stamped: &[(PathBuf, Stamp)]) -> Result<SharedSource> {
        SharedSource::table(Columns {
            len: self.ends.len() as u64,
            columns: fields
                .iter()
                .zip(&self.columns)
                .map(|(member, column)| column.values(member))
                .collect::<Result<_>>()?,
            shards: Some(Shards { files: stamped, mapped: false }),
            keys: Some(Runs { bytes: &self.keys, ends: &self.ends }),
            classes: Vec::new(),
        })
    }
}

impl Column {
    /// Returns the field, and what the column holds.
    fn values(&self, member: &Member) -> Result<(Field, Values<'_>)> {
        let field = self.learned.clone().unwrap_or_else(|| member.take.field(&member.name));
        let values = if member.take.is_part() {
            Values::Parts(Parts { shards: &self.shards, starts: &self.starts, sizes: &self.sizes })
        } else if matches!(field.payload()?, Payload::Row(_)) {
            Values::Rows(&self.bytes)
        } else {
            Values::Runs(Runs { bytes: &self.bytes, ends: &self.ends })
        };
        Ok((field, values))
    }

    fn take(&mut self, member: &Member, shard: u32, (file, part): (&File, (u64, u64))) -> Result<(), String> {
        let (start, size) = part;
        let read = |most: u64| {
            let mut bytes = vec![0; most.min(size) as usize];
            file.read_exact_at(&mut bytes, start).map_err(|error| format!("cannot be read: {error}"))?;
            Ok(bytes)
        };
        match member.take.of(size, &mut self.learned, &member.name, read)? {
            Taken::Part(from, size) => {
                self.shards.push(shard);
                self.starts.push(start + from);
                self.sizes.push(size);
            }
            Taken::Bytes(bytes) => {
                self.bytes.extend(bytes);
                self.ends.push(self.bytes.len() as u64);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_as_by_the_reference() {
        let parts = |name: &str| {
            split(name.as_bytes()).map(|(key, suffix)| (String::from_utf8_lossy(key).into_owned(), suffix))
        };
        let some = |key: &str, suffix: &str| Some((key.to_owned(), suffix.to_owned()));
        assert_eq!(parts("a/b.c/000.seg.PNG"), some("a/b.c/000", "seg.png"));
        assert_eq!(parts("000.jpg"), some("000", "jpg"));
        assert_eq!(parts("./x/000.cls"), some("./x/000", "cls"));
        for name in ["a/readme", "._000.jpg", "a/._000.jpg", ".hidden", "__key__/x.jpg", "__index__", "a/"] {
            assert_eq!(parts(name), None, "{name}");
        }
    }
}
