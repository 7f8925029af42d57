//! How much memory a sample may take.

use std::fmt;

/// What one sample may take of memory while it is read, decoded and transformed, in bytes, and what it has asked for.
///
/// Whoever allocates as much as a file says, or as its extent makes necessary, asks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    limit: u64,
    taken: u64,
}

impl Budget {
    /// What a sample may take where nothing else is said: 1 GiB.
    pub const DEFAULT: u64 = 1 << 30;

    /// Returns a budget of so many bytes.
    pub const fn new(limit: u64) -> Self {
        Self { limit, taken: 0 }
    }

    /// Returns how many bytes there were.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns how many bytes are left.
    pub const fn left(&self) -> u64 {
        self.limit - self.taken
    }

    /// Returns how many bytes have been taken.
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes `bytes` for what `what` names.
    ///
    /// # Errors
    /// A fragment with the numbers, where there are not as many left.
    pub fn take(&mut self, bytes: u64, what: impl fmt::Display) -> Result<(), String> {
        if bytes > self.left() {
            let Self { limit, taken } = *self;
            let others = if taken > 0 { format!(", of which {taken} are taken") } else { String::new() };
            return Err(format!("{what} needs {bytes} bytes, and max_sample_bytes is {limit}{others}"));
        }
        self.taken += bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is() {
        let mut budget = Budget::new(10);
        assert_eq!(budget.take(4, "a file"), Ok(()));
        assert_eq!(
            budget.take(7, "decoding"),
            Err("decoding needs 7 bytes, and max_sample_bytes is 10, of which 4 are taken".into())
        );
        assert_eq!(budget.take(6, "decoding"), Ok(()));
        assert_eq!((budget.left(), budget.taken()), (0, 10));
        assert!(Budget::new(10).take(u64::MAX, "x").unwrap_err().starts_with("x needs 18446744073709551615 bytes"));
    }
}
