//! Shared memory without a name.

#![expect(unsafe_code, reason = "slices over a mapping")]

use std::{
    ffi::CString,
    fs::File,
    ops::Range,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
    slice,
    sync::atomic::{AtomicU64, Ordering},
};

use memmap2::{Advice, MmapRaw};
use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, FcntlArg, OFlag, SealFlag, fallocate, fcntl},
    sys::{
        memfd::{MFdFlags, memfd_create},
        stat::Mode,
    },
    unistd::ftruncate,
};

use super::{limits::ByteSize, retry};
use crate::{
    descriptor::beyond_stdio,
    error::{Error, Result},
};

/// Memory that is mapped here and that other processes may map through its descriptor.
///
/// Its size never changes: where the kernel can, it is sealed, so that no process can truncate it and
/// make the others fault. It is unmapped when the value is dropped, and freed by the kernel when the
/// last process has dropped it, however that process ended.
#[derive(Debug)]
pub struct SharedMemory {
    file: File,
    map: MmapRaw,
}

impl SharedMemory {
    /// Creates `len` zeroed bytes. `name` shows up in `/proc/<pid>/maps` and nowhere else.
    ///
    /// Uses a memfd, whose pages are allocated when they are first written; see [`super::limits::check_memory`] for the limits
    /// to look at before. Where memfds are refused it is an unlinked file, and all of it is allocated at once: a page that
    /// finds no room later would end the process that writes it.
    ///
    /// # Errors
    /// [`Error::Sys`] where the memory cannot be created, sized or mapped, [`Error::Memory`] where a file has no room.
    pub fn create(name: &str, len: usize) -> Result<Self> {
        let size =
            i64::try_from(len).map_err(|_| Error::Memory(format!("{len} bytes are more than a file can hold")))?;
        let make = || create_file(name, size);
        let (file, sealable) = beyond_stdio(|(file, _): &(File, bool)| file.as_raw_fd(), make)?;
        if sealable {
            retry(&format!("ftruncate to {len} bytes"), || ftruncate(&file, size))?;
            let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
            retry("fcntl(F_ADD_SEALS)", || fcntl(&file, FcntlArg::F_ADD_SEALS(seals)))?;
        }
        Self::map(file)
    }

    /// Creates memory that holds these bytes.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn of(name: &str, bytes: &[u8]) -> Result<Self> {
        let memory = Self::create(name, bytes.len().max(1))?;
        // SAFETY: the mapping was just made, is as long as the bytes or longer, and nobody else has it.
        unsafe { memory.as_mut_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Ok(memory)
    }

    /// Maps memory that another process created.
    ///
    /// # Errors
    /// [`Error::Sys`] where it cannot be mapped.
    pub fn open(fd: OwnedFd) -> Result<Self> {
        Self::map(File::from(fd))
    }

    fn map(file: File) -> Result<Self> {
        let map = MmapRaw::map_raw(&file).map_err(|error| Error::sys("mmap of shared memory", error))?;
        Ok(Self { file, map })
    }

    /// Returns the first byte's address. It stays the same, and valid, for as long as the value lives.
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }

    /// Returns the size in bytes.
    #[expect(clippy::len_without_is_empty, reason = "an empty mapping cannot be made")]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Allocates and maps the pages of `range` now, so that writing them later does not fault.
    ///
    /// Returns whether the kernel did; older ones (before 5.14) cannot. A refusal costs speed only.
    pub fn populate(&self, range: Range<usize>) -> bool {
        self.map.advise_range(Advice::PopulateWrite, range.start, range.len()).is_ok()
    }

    /// Gives the pages of `range` back to the system, for all processes that map them; they read as zeros from then on.
    ///
    /// Returns whether that worked: a refusal costs memory only.
    pub fn discard(&self, range: Range<usize>) -> bool {
        let (Ok(start), Ok(len)) = (i64::try_from(range.start), i64::try_from(range.len())) else { return false };
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        retry("fallocate", || fallocate(&self.file, hole, start, len)).is_ok()
    }

    /// Puts `new` into the word at `offset` if `old` is there, and tells whether it was. Of several processes that try,
    /// one succeeds.
    ///
    /// # Panics
    /// The word is not aligned, or not in the memory.
    pub fn exchange(&self, offset: usize, old: u64, new: u64) -> bool {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.len(), "no word at {offset}");
        // SAFETY: the word is aligned, since a mapping is to a page, and lies in the mapping, which lives as long as self.
        // Every process looks at it with this function alone.
        let word = unsafe { AtomicU64::from_ptr(self.as_mut_ptr().add(offset).cast()) };
        word.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Returns the bytes as a plain slice.
    ///
    /// # Safety
    /// No process may write to the memory for as long as the slice lives.
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: the mapping is len() bytes long and lives as long as self; the caller rules out writers.
        unsafe { slice::from_raw_parts(self.map.as_ptr(), self.map.len()) }
    }
}

impl AsFd for SharedMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Returns an empty file in memory that has no name, and that may grow.
///
/// # Errors
/// [`Error::Sys`] where it cannot be created.
pub fn nameless_file(name: &str) -> Result<OwnedFd> {
    beyond_stdio(|(file, _): &(File, bool)| file.as_raw_fd(), || create_file(name, 0)).map(|(file, _)| file.into())
}

/// Returns a nameless file in memory, and whether it can be sealed. One that cannot has `size` bytes.
fn create_file(name: &str, size: i64) -> Result<(File, bool)> {
    let label = CString::new(name).map_err(|_| Error::Config("a memory's name has no NUL".into()))?;
    let base = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let noexec = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    // Kernels before 6.3 answer EINVAL to a flag that they do not know.
    for flags in [base | noexec, base] {
        match memfd_create(label.as_c_str(), flags) {
            Ok(fd) => return Ok((fd.into(), true)),
            Err(Errno::EINVAL) => {}
            Err(Errno::ENOSYS | Errno::EPERM | Errno::EACCES) => return Ok((unlinked_file(size)?, false)),
            Err(errno) => return Err(Error::sys("memfd_create", errno)),
        }
    }
    Ok((unlinked_file(size)?, false))
}

/// The fallback for a sandbox that refuses memfds: a file that never gets a name, where there is room for it.
fn unlinked_file(size: i64) -> Result<File> {
    let temp = std::env::temp_dir();
    let mut refused = Vec::new();
    for dir in ["/dev/shm".as_ref(), &*temp] {
        match file_in(dir, size) {
            Ok(file) => return Ok(file),
            Err(error) => refused.push(format!("in {}: {error}", dir.display())),
        }
    }
    let (size, refused) = (ByteSize(size.unsigned_abs()), refused.join("; "));
    Err(Error::Memory(format!(
        "memfd_create was refused, and there is no room for {size} of shared memory in a file ({refused}); allow \
         memfd_create, enlarge /dev/shm (docker: --shm-size), or set TMPDIR"
    )))
}

fn file_in(dir: &Path, size: i64) -> Result<File> {
    let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_EXCL;
    let open = || nix::fcntl::open(dir, flags, Mode::S_IRUSR | Mode::S_IWUSR);
    let file = retry("open(O_TMPFILE)", open).map(File::from)?;
    retry("ftruncate", || ftruncate(&file, size))?;
    retry("fallocate", || match fallocate(&file, FallocateFlags::empty(), 0, size) {
        // A file system that cannot allocate ahead, or nothing to allocate.
        Err(Errno::EOPNOTSUPP | Errno::EINVAL) => Ok(()),
        done => done,
    })?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use nix::{errno::Errno, unistd::ftruncate};

    use super::SharedMemory;

    #[test]
    fn memory_is_shared_through_its_descriptor() {
        let one = SharedMemory::create("test", 8192).unwrap();
        let two = SharedMemory::open(one.as_fd().try_clone_to_owned().unwrap()).unwrap();
        assert_ne!(one.as_mut_ptr(), two.as_mut_ptr());
        // SAFETY: both mappings are 8192 bytes and this thread alone uses them.
        unsafe {
            one.as_mut_ptr().add(5000).write(7);
            assert_eq!(two.as_mut_ptr().add(5000).read(), 7);
        }
    }

    #[test]
    fn sealed_memory_cannot_be_resized() {
        let memory = SharedMemory::create("test", 4096).unwrap();
        assert_eq!(ftruncate(memory.as_fd(), 0), Err(Errno::EPERM));
        assert_eq!(ftruncate(memory.as_fd(), 8192), Err(Errno::EPERM));
    }

    #[test]
    fn bytes_lie_in_memory_as_they_are() {
        let memory = SharedMemory::of("test", b"abc").unwrap();
        // SAFETY: this thread alone uses the memory.
        assert_eq!(unsafe { memory.as_slice() }, b"abc");
    }

    #[test]
    fn discarded_pages_are_zeros_and_the_others_stay() {
        let memory = SharedMemory::create("test", 3 * 4096).unwrap();
        // SAFETY: the mapping is 3 * 4096 bytes and this thread alone uses it.
        unsafe {
            memory.as_mut_ptr().write_bytes(7, 3 * 4096);
            assert!(memory.discard(4096..8192));
            let bytes = memory.as_slice();
            assert_eq!([bytes[4095], bytes[4096], bytes[8191], bytes[8192]], [7, 0, 0, 7]);
        }
    }

    #[test]
    fn the_fallback_works_like_a_memfd() {
        let file = super::unlinked_file(4096).unwrap();
        let memory = SharedMemory::map(file).unwrap();
        // SAFETY: the mapping is 4096 bytes and this thread alone uses it.
        unsafe { memory.as_mut_ptr().write(1) };
        assert_eq!(memory.len(), 4096);
    }

    #[test]
    fn a_fallback_without_room_says_so() {
        let error = super::unlinked_file(1 << 50).unwrap_err().to_string();
        assert!(error.contains("memfd_create was refused") && error.contains("in /dev/shm: "), "{error}");
        assert_eq!(super::unlinked_file(0).unwrap().metadata().unwrap().len(), 0);
    }
}
