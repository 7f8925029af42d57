//! A transform whose fill is another one for a mask than for its image.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    super::op::{Operation, Role},
    Transform,
};

/// A transform with a `fill` of its own for some fields: the image that it transforms, and masks that follow that image.
/// Where none is given, it is that of the transform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByField {
    /// The transform, one with a `fill`.
    pub transform: Box<Transform>,
    /// The fills, one value or one for each channel, by the names of fields.
    pub fill: BTreeMap<String, Option<Vec<f32>>>,
}

impl ByField {
    /// Returns the transform as it is for a field.
    ///
    /// # Errors
    /// The reason, where the transform has no fill.
    pub(super) fn of(&self, field: &str) -> Result<Transform, String> {
        let Some(fill) = self.fill.get(field) else { return Ok((*self.transform).clone()) };
        let name = self.transform.name();
        let none = || format!("{name} takes no fill");
        let mut data = serde_json::to_value(&self.transform).map_err(|error| error.to_string())?;
        let given = data.as_object_mut().and_then(|data| data.get_mut("fill")).ok_or_else(none)?;
        *given = serde_json::to_value(fill).map_err(|error| error.to_string())?;
        serde_json::from_value(data).map_err(|_| format!("{name} takes no fill like {fill:?}, for `{field}`"))
    }
}

impl Operation for ByField {
    fn check(&self) -> Result<(), String> {
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
        assert_eq!(none.check(), Err("CenterCrop takes no fill".to_owned()));
        let bad = ByField { transform: Box::new(pad(&[0.0])), fill: [("mask".to_owned(), None)].into() };
        assert_eq!(bad.check(), Err("Pad takes no fill like None, for `mask`".to_owned()));
        let short = ByField { transform: Box::new(pad(&[0.0])), fill: [("mask".to_owned(), Some(vec![]))].into() };
        assert!(short.check().unwrap_err().contains("fill must be one value or one per channel"));
    }
}
