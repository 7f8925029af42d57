//! The members of a tar file: what they are called, and where their bytes lie.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Seek},
    path::Path,
};

use tar::{Archive, EntryType};

use crate::error::{Error, Result};

/// The members of one tar file that hold bytes, in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Members {
    names: Vec<u8>,
    /// Where each name ends.
    ends: Vec<usize>,
    /// Where the bytes of each start, and how many they are.
    pub(super) parts: Vec<(u64, u64)>,
}

impl Members {
    /// Reads the headers of a tar file of `size` bytes; nothing is extracted.
    ///
    /// Names come in any of the ways of GNU tar and POSIX (PAX). A hard link has the bytes that it links to. Folders,
    /// symbolic links and devices hold no bytes and are passed over, as by the reference reader.
    ///
    /// # Errors
    /// [`Config`](Error::Config) that names the file, the member and its place, for what is no tar file, ends too early, or has
    /// a sparse member.
    pub(super) fn of(path: &Path, mut file: &File, size: u64) -> Result<Self> {
        file.rewind().map_err(|error| bad(path, &error))?;
        let mut members = Self::default();
        let mut links: Vec<(usize, Vec<u8>)> = Vec::new();
        let mut archive = Archive::new(file);
        let entries = archive.entries_with_seek().map_err(|error| bad(path, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| bad(path, &error))?;
            let name = entry.path_bytes();
            let start = entry.raw_file_position();
            let told = |what: String| {
                Error::Config(format!("`{}`: member `{}` at byte {start} {what}", path.display(), text(&name)))
            };
            match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => {
                    let bytes = entry.size();
                    if start.checked_add(bytes).is_none_or(|end| end > size) {
                        return Err(told(format!(
                            "has {bytes} bytes, and the file ends after {}",
                            size.saturating_sub(start)
                        )));
                    }
                    members.add(&name, (start, bytes));
                }
                EntryType::Link => {
                    let of = entry.link_name_bytes().ok_or_else(|| told("links to nothing".into()))?;
                    links.push((members.parts.len(), of.into_owned()));
                    members.add(&name, (0, 0));
                }
                EntryType::GNUSparse => {
                    return Err(told(
                        "is sparse, so that its bytes do not lie in one piece: pack it without --sparse".into(),
                    ));
                }
                EntryType::Symlink
                | EntryType::Char
                | EntryType::Block
                | EntryType::Directory
                | EntryType::Fifo
                | EntryType::GNULongName
                | EntryType::GNULongLink
                | EntryType::XGlobalHeader
                | EntryType::XHeader => {}
                // Types of vendors, of which nobody knows what they hold.
                other => return Err(told(format!("is of type {:?}, which is not read", char::from(other.as_byte())))),
            }
        }
        members.follow(path, links)?;
        Ok(members)
    }

    fn add(&mut self, name: &[u8], part: (u64, u64)) {
        self.names.extend_from_slice(name);
        self.ends.push(self.names.len());
        self.parts.push(part);
    }

    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    pub(super) fn name(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.names[start..self.ends[number]]
    }

    /// Gives hard links the bytes that they link to, which come before them.
    fn follow(&mut self, path: &Path, links: Vec<(usize, Vec<u8>)>) -> Result<()> {
        if links.is_empty() {
            return Ok(());
        }
        let mut known: HashMap<Vec<u8>, (u64, u64)> = HashMap::new();
        let mut links = links.into_iter().peekable();
        for number in 0..self.len() {
            if let Some((_, of)) = links.next_if(|(link, _)| *link == number) {
                self.parts[number] = *known.get(&of).ok_or_else(|| {
                    let (name, of) = (text(self.name(number)), text(&of));
                    Error::Config(format!(
                        "`{}`: `{name}` links to `{of}`, which does not come before it",
                        path.display()
                    ))
                })?;
            }
            known.insert(self.name(number).to_vec(), self.parts[number]);
        }
        Ok(())
    }
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn bad(path: &Path, error: &io::Error) -> Error {
    Error::Config(format!("`{}` is no tar file, or a damaged one: {error}", path.display()))
}
