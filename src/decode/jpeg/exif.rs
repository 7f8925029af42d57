//! The orientation in an EXIF segment (CIPA DC-008, TIFF 6.0).

const ORIENTATION: u16 = 0x0112;
const SHORT: u16 = 3;

/// Returns the orientation of a JPEG, 1 to 8: what its first EXIF segment says, else 1.
///
/// A broken segment has none: it says nothing about the pixels.
pub(super) fn orientation(data: &[u8]) -> u8 {
    let mut rest = data.get(2..).unwrap_or_default();
    while let Some((&[0xff, code, high, low], after)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([high, low])).saturating_sub(2);
        let Some((body, next)) = after.split_at_checked(length) else { break };
        match code {
            0xe1 => {
                if let Some(orientation) = of_segment(body) {
                    return orientation;
                }
            }
            0xda => break,
            _ => {}
        }
        rest = next;
    }
    1
}

/// Returns the orientation that an APP1 body holds.
fn of_segment(body: &[u8]) -> Option<u8> {
    let tiff = body.strip_prefix(b"Exif\0\0")?;
    let big = match tiff.first_chunk::<4>()? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes = *tiff.get(at..)?.first_chunk::<2>()?;
        Some(if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let long = |at: usize| {
        let bytes = *tiff.get(at..)?.first_chunk::<4>()?;
        Some(if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    let directory = long(4)? as usize;
    let entries = usize::from(short(directory)?);
    for entry in (0..entries).map(|number| directory + 2 + 12 * number) {
        if short(entry)? == ORIENTATION {
            let value = short(entry.checked_add(8)?)?;
            return (short(entry + 2)? == SHORT && (1..=8).contains(&value)).then_some(value as u8);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(big: bool, kind: u16, value: u16) -> Vec<u8> {
        let two = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let four = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut bytes = b"Exif\0\0".to_vec();
        bytes.extend(if big { *b"MM\0*" } else { *b"II*\0" });
        bytes.extend(four(8));
        bytes.extend(two(2));
        for (tag, kind, value) in [(0x0100, 3, 7), (ORIENTATION, kind, value)] {
            bytes.extend([two(tag), two(kind)].concat());
            bytes.extend(four(1));
            bytes.extend([two(value), [0, 0]].concat());
        }
        bytes.extend([0; 4]);
        bytes
    }

    #[test]
    fn both_byte_orders_are_read() {
        for big in [false, true] {
            assert_eq!(of_segment(&segment(big, SHORT, 6)), Some(6));
            assert_eq!(of_segment(&segment(big, SHORT, 9)), None);
            assert_eq!(of_segment(&segment(big, 4, 6)), None);
        }
    }

    #[test]
    fn the_first_segment_of_a_file_counts() {
        let body = segment(false, SHORT, 8);
        let length = ((body.len() + 2) as u16).to_be_bytes();
        let file =
            [&[0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xe1], &length[..], &body, &[0xff, 0xda, 0, 2]].concat();
        assert_eq!(orientation(&file), 8);
        assert_eq!(orientation(&file[..20]), 1);
        assert_eq!(orientation(&[]), 1);
    }

    #[test]
    fn a_broken_segment_has_none() {
        let whole = segment(true, SHORT, 6);
        for end in 0..6 + 8 + 2 + 12 + 10 {
            assert_eq!(of_segment(&whole[..end]), None, "{end}");
        }
        let mut far = whole;
        far[6 + 4..6 + 8].fill(0xff);
        assert_eq!(of_segment(&far), None);
    }
}
