//! Descriptors that nobody takes for standard input, output or error.

use std::os::fd::RawFd;

/// The first descriptor that is none of the standard ones.
const FIRST: RawFd = 3;

/// Opens something whose lowest descriptor is 3 or above, also where standard ones are closed: whoever prints would write
/// into it.
///
/// What gets a standard number is opened again, not moved, since somebody may have printed into it meanwhile.
///
/// # Errors
/// Those of `open`.
pub fn beyond_stdio<T, E>(lowest: impl Fn(&T) -> RawFd, mut open: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    // Kept until the end, so that their numbers are taken.
    let mut low = Vec::new();
    loop {
        let opened = open()?;
        if lowest(&opened) >= FIRST {
            return Ok(opened);
        }
        low.push(opened);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_numbers_are_passed_over() {
        let mut free = [1, 2, 5].into_iter();
        assert_eq!(beyond_stdio(|&number| number, || free.next().ok_or("none left")), Ok(5));
        assert_eq!(beyond_stdio(|&number: &i32| number, || Err("refused")), Err("refused"));
    }
}
