//! Protocol Buffers as they lie in memory: the fields of a message, one after the other, without copies.
//!
//! See <https://protobuf.dev/programming-guides/encoding/>. Groups, which nobody has written for fifteen years, are refused.

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A number of varying length.
    Number(u64),
    /// Bytes, a text or a message.
    Bytes(&'a [u8]),
    /// Four bytes.
    Four([u8; 4]),
    /// Eight bytes.
    Eight,
}

/// What is wrong with a message, as a fragment.
pub(super) type Fault = &'static str;

/// The fields of a message that are still to come: their numbers and what they hold.
#[derive(Debug)]
pub(super) struct Message<'a>(pub(super) &'a [u8]);

const CUT: Fault = "a field is cut short";

/// Reads a number of up to ten bytes from the begin of these, seven bits a byte.
#[inline]
pub(super) fn number(bytes: &mut &[u8]) -> Result<u64, Fault> {
    match **bytes {
        [first @ ..0x80, ref rest @ ..] => {
            *bytes = rest;
            Ok(first.into())
        }
        [first, second @ ..0x80, ref rest @ ..] => {
            *bytes = rest;
            Ok(u64::from(first & 0x7f) | u64::from(second) << 7)
        }
        _ => long_number(bytes),
    }
}

fn long_number(bytes: &mut &[u8]) -> Result<u64, Fault> {
    let mut found = 0_u64;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        if at == 9 && *byte > 1 {
            return Err("a number has more than 64 bits");
        }
        found |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return Ok(found);
        }
    }
    Err("a number is cut short")
}

impl<'a> Message<'a> {
    fn take(&mut self, size: u64) -> Result<&'a [u8], Fault> {
        let (taken, rest) = usize::try_from(size).ok().and_then(|size| self.0.split_at_checked(size)).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), Fault> {
        let tag = number(&mut self.0)?;
        let value = match tag & 7 {
            0 => Value::Number(number(&mut self.0)?),
            1 => self.take(8).map(|_| Value::Eight)?,
            2 => {
                let size = number(&mut self.0)?;
                Value::Bytes(self.take(size)?)
            }
            5 => Value::Four(self.take(4)?.try_into().map_err(|_| CUT)?),
            _ => return Err("a field is of a type that there is not"),
        };
        if tag >> 3 == 0 { Err("a field has the number 0") } else { Ok((tag >> 3, value)) }
    }
}

impl<'a> Iterator for Message<'a> {
    type Item = Result<(u64, Value<'a>), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<(u64, Value<'_>)>, Fault> {
        Message(bytes).collect()
    }

    #[test]
    fn fields_of_all_types_are_read() {
        let bytes = b"\x08\x96\x01\x12\x03abc\x1d\x01\x02\x03\x04\x21\x01\x02\x03\x04\x05\x06\x07\x08";
        let expected =
            [(1, Value::Number(150)), (2, Value::Bytes(b"abc")), (3, Value::Four([1, 2, 3, 4])), (4, Value::Eight)];
        assert_eq!(fields(bytes).unwrap(), expected);
        assert_eq!(fields(b"").unwrap(), []);
        for end in 1..bytes.len() {
            // It ends between two fields, or is a fault.
            assert_eq!(fields(&bytes[..end]).is_ok(), [3, 8, 13].contains(&end), "{end}");
        }
    }

    #[test]
    fn numbers_have_64_bits() {
        let read = |bytes: &[u8]| number(&mut &bytes[..]);
        assert_eq!(read(&[&[0xff; 9][..], &[1]].concat()), Ok(u64::MAX));
        assert_eq!(read(&[0x80, 0x00]), Ok(0));
        assert!(read(&[&[0xff; 9][..], &[2]].concat()).unwrap_err().contains("more than 64 bits"));
        assert!(read(&[0xff; 11]).is_err());
        assert!(read(&[0x80]).unwrap_err().contains("cut short"));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        // A length beyond the end, one of 2^63, groups, and a field without a number.
        for bytes in
            [&b"\x0a\x05abc"[..], b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", b"\x0b", b"\x0c", b"\x02\x00"]
        {
            assert!(fields(bytes).is_err(), "{bytes:?}");
        }
    }
}
