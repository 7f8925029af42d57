//! Bytes in memory that is used again.

/// Bytes in memory that grows to the most that was asked for and stays, so that a worker soon stops allocating. They lie
/// so that values of up to 4 bytes can be read from them.
#[derive(Clone, Debug, Default)]
pub struct Buffer {
    words: Vec<u32>,
}

impl Buffer {
    /// Returns the first `len` bytes, of which there must be as many.
    pub fn bytes(&self, len: usize) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..len]
    }

    /// Returns the first `len` bytes, of which there must be as many.
    pub fn bytes_mut(&mut self, len: usize) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..len]
    }

    /// Returns `len` bytes of arbitrary content.
    pub fn grown(&mut self, len: usize) -> &mut [u8] {
        let words = len.div_ceil(size_of::<u32>());
        if self.words.len() < words {
            // The old content is of no use, so it need not move along.
            self.words = Vec::new();
            self.words = vec![0; words];
        }
        self.bytes_mut(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again() {
        let mut buffer = Buffer::default();
        assert_eq!(buffer.bytes(0).len(), 0);
        buffer.grown(9).fill(7);
        let start = buffer.bytes(1).as_ptr();
        assert_eq!(buffer.grown(3).len(), 3);
        assert_eq!((buffer.bytes(9), buffer.bytes(1).as_ptr()), (&[7; 9][..], start));
        assert_eq!(start.align_offset(size_of::<u32>()), 0);
    }
}
