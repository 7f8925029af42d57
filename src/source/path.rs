//! Paths as data: text where they are UTF-8, and a list of bytes where they are not.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Utf8(String),
    Bytes(Vec<u8>),
}

pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    match path.to_str() {
        Some(text) => text.serialize(serializer),
        None => path.as_os_str().as_bytes().serialize(serializer),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    Ok(match Text::deserialize(deserializer)? {
        Text::Utf8(text) => text.into(),
        Text::Bytes(bytes) => OsString::from_vec(bytes).into(),
    })
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    use crate::source::SourceSpec;

    #[test]
    fn a_path_keeps_its_bytes() {
        for (bytes, json) in [(&b"a/b"[..], r#""a/b""#), (b"a/\xff", "[97,47,255]")] {
            let spec = SourceSpec::ImageFolder { root: OsStr::from_bytes(bytes).into() };
            let text = serde_json::to_string(&spec).unwrap();
            assert_eq!(text, format!(r#"{{"kind":"ImageFolder","root":{json}}}"#));
            assert_eq!(serde_json::from_str::<SourceSpec>(&text).unwrap(), spec);
        }
    }
}
