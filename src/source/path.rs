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

/// A path that need not be there.
pub(super) mod optional {
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Given(#[serde(with = "super")] PathBuf);

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(in crate::source) fn serialize<S: Serializer>(
        path: &Option<PathBuf>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        path.as_deref().map(Path::to_owned).map(Given).serialize(serializer)
    }

    pub(in crate::source) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<Given>::deserialize(deserializer)?.map(|Given(path)| path))
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    use crate::source::SourceSpec;

    #[test]
    fn a_path_keeps_its_bytes() {
        for (bytes, json) in [(&b"a/b"[..], r#""a/b""#), (b"a/\xff", "[97,47,255]")] {
            let spec = SourceSpec::ImageFolder { root: OsStr::from_bytes(bytes).into(), cache: None };
            let text = serde_json::to_string(&spec).unwrap();
            assert_eq!(text, format!(r#"{{"kind":"ImageFolder","root":{json}}}"#));
            assert_eq!(serde_json::from_str::<SourceSpec>(&text).unwrap(), spec);
        }
    }
}
