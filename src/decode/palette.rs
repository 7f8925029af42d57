//! From indices to what they stand for.

/// The colours of up to 256 indices; those beyond a palette are black.
pub(super) type Palette = [[u8; 3]; 256];

/// Makes pixels of the indices at the end of `out`, one for each pixel, which fill all of it.
pub(super) fn expand<const CHANNELS: usize>(out: &mut [u8], pixel: impl Fn(u8) -> [u8; CHANNELS]) {
    let count = out.len() / CHANNELS;
    let first = out.len() - count;
    // What is written ends in front of the next index.
    for at in 0..count {
        let pixel = pixel(out[first + at]);
        out[CHANNELS * at..CHANNELS * (at + 1)].copy_from_slice(&pixel);
    }
}

/// Returns where the indices lie that [`expand`] takes.
pub(super) fn indices(out: &mut [u8], channels: usize) -> &mut [u8] {
    let first = out.len() - out.len() / channels;
    &mut out[first..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<const CHANNELS: usize>(pixel: impl Fn(u8) -> [u8; CHANNELS]) {
        for count in 0..40_u8 {
            let mut out = vec![99; usize::from(count) * CHANNELS];
            indices(&mut out, CHANNELS).iter_mut().zip((0..count).rev()).for_each(|(to, index)| *to = index);
            expand(&mut out, &pixel);
            assert_eq!(out, (0..count).rev().flat_map(&pixel).collect::<Vec<u8>>());
        }
    }

    #[test]
    fn indices_become_pixels_where_they_lie() {
        check(|index| [255 - index]);
        check(|index| [index, 255 - index]);
        check(|index| [index, index.wrapping_mul(7), 255 - index]);
        check(|index| [index, 1, 2, 255 - index]);
    }
}
