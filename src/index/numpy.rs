//! The header of an array in NumPy's format.

use crate::spec::DType;

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    /// Where the numbers start.
    pub(super) start: usize,
}

/// The most bytes that a header takes that is read.
pub(super) const HEADER_BYTES: u64 = 4096;

/// Reads the header at the start of these bytes, by the description of `numpy.lib.format`. What is wrong with it is said as a
/// fragment.
pub(super) fn header(bytes: &[u8]) -> Result<Header, String> {
    let none = || "is no array in NumPy's format".to_owned();
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or_else(none)?;
    let (size, start) = match rest {
        [1, 0, a, b, ..] => (usize::from(u16::from_le_bytes([*a, *b])), 10),
        [2 | 3, 0, a, b, c, d, ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, 12),
        _ => return Err(none()),
    };
    let text =
        bytes.get(start..).and_then(|rest| rest.get(..size)).ok_or_else(|| format!("has a header of {size} bytes"))?;
    let text = str::from_utf8(text).map_err(|_| none())?;
    let value = |key: &str| {
        let at = text.find(&format!("'{key}':"))? + key.len() + 3;
        Some(text[at..].trim_start())
    };
    let parsed = || {
        let descr = value("descr")?.strip_prefix('\'')?.split('\'').next()?;
        let by_columns = value("fortran_order")?.starts_with("True");
        let shape = value("shape")?.strip_prefix('(')?.split(')').next()?;
        let extents = shape.split(',').map(str::trim).filter(|extent| !extent.is_empty());
        let shape: Option<Vec<usize>> = extents.map(|extent| extent.parse().ok()).collect();
        Some((descr, by_columns, shape?))
    };
    let (descr, by_columns, shape) = parsed().ok_or_else(|| format!("has a header that is none: {text}"))?;
    let dtype =
        dtype(descr).ok_or_else(|| format!("holds `{descr}`; a batch holds numbers in the machine's byte order"))?;
    if by_columns && shape.iter().filter(|extent| **extent > 1).count() > 1 {
        return Err("lies by columns; save numpy.ascontiguousarray(array)".into());
    }
    Ok(Header { dtype, shape, start: start + size })
}

fn dtype(descr: &str) -> Option<DType> {
    let native = if cfg!(target_endian = "little") { '<' } else { '>' };
    let (order, code) = descr.split_at_checked(1)?;
    let is_native = order.starts_with([native, '=']) || (order == "|" && code.ends_with('1'));
    let name = match code {
        "b1" => "bool",
        "u1" => "uint8",
        "i1" => "int8",
        "u2" => "uint16",
        "i2" => "int16",
        "u4" => "uint32",
        "i4" => "int32",
        "u8" => "uint64",
        "i8" => "int64",
        "f2" => "float16",
        "f4" => "float32",
        "f8" => "float64",
        _ => return None,
    };
    is_native.then(|| DType::parse(name).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(version: u8, text: &str) -> Vec<u8> {
        let mut bytes = [&b"\x93NUMPY"[..], &[version, 0]].concat();
        match version {
            1 => bytes.extend((text.len() as u16).to_le_bytes()),
            _ => bytes.extend((text.len() as u32).to_le_bytes()),
        }
        bytes.extend(text.as_bytes());
        bytes
    }

    #[test]
    fn headers_of_all_versions_are_read() {
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n";
        for version in [1, 2, 3] {
            let bytes = array(version, text);
            assert_eq!(header(&bytes), Ok(Header { dtype: DType::Float32, shape: vec![3, 4], start: bytes.len() }));
        }
        let scalar = array(1, "{'descr': '|u1', 'fortran_order': True, 'shape': (), }\n");
        assert!(header(&scalar).unwrap().shape.is_empty());
    }

    #[test]
    fn what_no_batch_holds_is_refused() {
        let reason = |text: &str| header(&array(1, text)).unwrap_err();
        assert!(reason("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }").contains("holds `|O`"));
        assert!(reason("{'descr': '>f4', 'fortran_order': False, 'shape': (3,), }").contains("byte order"));
        assert!(reason("{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2), }").contains("by columns"));
        assert!(reason("{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }").contains("none"));
        assert!(reason("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }").contains("none"));
        assert!(reason("{'descr': ''").contains("none"));
        for end in 0..10 {
            assert!(header(&array(2, "{'descr': '<f4'}")[..end]).is_err());
        }
    }
}
