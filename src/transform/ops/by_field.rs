//! A transform whose fill is another one for a mask than for its image.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    super::op::{Operation, Role},
    Transform,
};

/// A transform with a `fill` of its own for some fields: the image that it transforms, and masks that follow that image.
/// Where none is given, it is that of the transform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ByField {
    /// The transform, one with a `fill`.
    pub transform: Box<Transform>,
    /// The fills, one value or one for each channel, by the names of fields.
    pub fill: BTreeMap<String, Option<Vec<f32>>>,
}

impl ByField {
    /// Returns the transform as it is for a field.
    fn of(&self, field: &str) -> Result<Transform, String> {
        for_field(&self.clone().into(), field)
    }
}

/// Returns a transform as it is for a field, with those that it is made of.
///
/// # Errors
/// The reason, where one is to have a fill that it cannot have.
pub(super) fn for_field(transform: &Transform, field: &str) -> Result<Transform, String> {
    if fills(transform).is_empty() {
        return Ok(transform.clone());
    }
    let data = serde_json::to_value(transform).map_err(|error| error.to_string())?;
    let resolved = resolved(data, field)?;
    serde_json::from_value(resolved).map_err(|error| error.to_string())
}

/// Returns the same for a transform as data, or for a part of one.
fn resolved(data: Value, field: &str) -> Result<Value, String> {
    match data {
        Value::Array(all) => all.into_iter().map(|each| resolved(each, field)).collect(),
        Value::Object(mut all) if all.get("op").is_some_and(|op| op == "ByField") => {
            let fill = all.get_mut("fill").and_then(|fills| fills.get_mut(field)).map(Value::take);
            let mut transform = all.remove("transform").unwrap_or_default();
            let Some(fill) = fill else { return Ok(transform) };
            let name = transform.get("op").and_then(Value::as_str).unwrap_or_default().to_owned();
            let refused = format!("{name} takes no fill of {fill} (for `{field}`)");
            *transform.get_mut("fill").ok_or_else(|| refused.clone())? = fill;
            match serde_json::from_value::<Transform>(transform.clone()) {
                Ok(_) => Ok(transform),
                Err(_) => Err(refused),
            }
        }
        Value::Object(all) => all.into_iter().map(|(name, each)| Ok((name, resolved(each, field)?))).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => Ok(other),
    }
}

/// Returns the fills of a transform, and of those that it is made of, that are for some fields.
pub(super) fn fills(transform: &Transform) -> Vec<ByField> {
    fn collect(data: &Value, found: &mut Vec<ByField>) {
        if let Ok(Transform::ByField(by_field)) = serde_json::from_value(data.clone()) {
            found.push(by_field);
        }
        match data {
            Value::Array(all) => all.iter().for_each(|each| collect(each, found)),
            Value::Object(all) => all.values().for_each(|each| collect(each, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    if let Ok(data) = serde_json::to_value(transform) {
        collect(&data, &mut found);
    }
    found
}

impl Operation for ByField {
    fn check(&self) -> Result<(), String> {
        if matches!(*self.transform, Transform::Mosaic(_)) {
            return Err("takes one fill, and has mask_fill for masks".to_owned());
        }
        self.transform.operation().check()?;
        for (field, fill) in &self.fill {
            self.of(field)?.operation().check().map_err(|what| format!("{what} ({fill:?} for `{field}`)"))?;
        }
        Ok(())
    }

    fn role(&self) -> Role {
        self.transform.role()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Pad, *};

    fn pad(fill: &[f32]) -> Transform {
        Pad { padding: vec![2], fill: fill.to_vec(), padding_mode: super::super::super::args::PaddingMode::Constant }
            .into()
    }

    #[test]
    fn a_field_has_the_fill_that_is_given_for_it() {
        let fill = [("mask".to_owned(), Some(vec![255.0])), ("image".to_owned(), Some(vec![1.0, 2.0, 3.0]))].into();
        let by_field = ByField { transform: Box::new(pad(&[9.0])), fill };
        assert_eq!(by_field.of("mask"), Ok(pad(&[255.0])));
        assert_eq!(by_field.of("image"), Ok(pad(&[1.0, 2.0, 3.0])));
        assert_eq!(by_field.of("other"), Ok(pad(&[9.0])));
        assert_eq!(by_field.check(), Ok(()));
    }

    #[test]
    fn a_transform_without_a_fill_takes_none() {
        let transform = Box::new(Transform::center_crop(3));
        let fill: BTreeMap<_, _> = [("mask".to_owned(), Some(vec![255.0]))].into();
        let none = ByField { transform, fill: fill.clone() };
        assert_eq!(none.check(), Err("CenterCrop takes no fill of [255.0] (for `mask`)".to_owned()));
        let bad = ByField { transform: Box::new(pad(&[0.0])), fill: [("mask".to_owned(), None)].into() };
        assert_eq!(bad.check(), Err("Pad takes no fill of null (for `mask`)".to_owned()));
        let short = ByField { transform: Box::new(pad(&[0.0])), fill: [("mask".to_owned(), Some(vec![]))].into() };
        assert!(short.check().unwrap_err().contains("fill must be one value or one per channel"));
    }
}
