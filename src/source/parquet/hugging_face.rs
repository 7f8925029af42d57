//! What Hugging Face `datasets` says of the columns of its files.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

/// What a column is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Feature {
    /// The files of images, as bytes and path.
    Image,
    /// Files of sound, likewise.
    Audio,
    /// Numbers of classes that have these names.
    ClassLabel(Vec<String>),
}

#[derive(Deserialize)]
struct Metadata {
    info: Info,
}

#[derive(Deserialize)]
struct Info {
    features: HashMap<String, Value>,
}

/// Returns the features that a text describes, that under `huggingface` in a schema's metadata. What is no such description
/// says nothing: files of others may have the same key.
pub(super) fn features(text: Option<&str>) -> HashMap<String, Feature> {
    let described = text.and_then(|text| serde_json::from_str::<Metadata>(text).ok());
    let features = described.into_iter().flat_map(|metadata| metadata.info.features);
    features.filter_map(|(name, feature)| Some((name, known(&feature)?))).collect()
}

fn known(feature: &Value) -> Option<Feature> {
    match feature.get("_type")?.as_str()? {
        "Image" => Some(Feature::Image),
        "Audio" => Some(Feature::Audio),
        "ClassLabel" => {
            let names = feature.get("names")?.as_array()?;
            Some(Feature::ClassLabel(names.iter().filter_map(Value::as_str).map(str::to_owned).collect()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_known_by_their_type() {
        let text = r#"{"info": {"features": {"image": {"_type": "Image"}, "n": {"dtype": "int64", "_type": "Value"},
            "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "tags": [{"_type": "Value"}]}}}"#;
        let read = features(Some(text));
        assert_eq!(read.get("image"), Some(&Feature::Image));
        assert_eq!(read.get("label"), Some(&Feature::ClassLabel(vec!["cat".into(), "dog".into()])));
        assert_eq!(read.len(), 2);
        for text in ["", "{}", r#"{"info": {"features": 3}}"#] {
            assert!(features(Some(text)).is_empty());
        }
    }
}
