//! What is done to the records of a source in batches of each variant.

use super::{Compiled, Field, recipe::Recipe};
use crate::{
    error::{Error, Result},
    spec::FieldSpec,
};

/// What is done to the records of a source: one list of operations for each variant of batches, at least one. Samples of all
/// of them have the same fields, of other shapes.
#[derive(Debug)]
pub struct Variants(Vec<Compiled>);

impl Variants {
    /// Compiles the transforms of a source's fields.
    ///
    /// # Errors
    /// Those of [`Compiled::of`]; and [`Error::Config`] for a field whose transforms are given for all batches and for those
    /// of a variant, and for variants whose fields are not alike, or that put samples together in other ways.
    pub fn of(source: &[Field], recipe: &Recipe) -> Result<Self> {
        for (at, variant) in recipe.variants.iter().enumerate() {
            if let Some(field) = variant.keys().find(|field| recipe.transforms.contains_key(*field)) {
                return Err(refused(
                    at,
                    &format!("transforms of `{field}` stand in those of the loader too: leave one out"),
                ));
            }
        }
        let compiled = |(at, variant): (usize, Recipe)| {
            let compiled = Compiled::of(source, &variant);
            if recipe.variants.is_empty() { compiled } else { compiled.map_err(|error| of_variant(at, error)) }
        };
        let all = recipe.each_variant().into_iter().enumerate().map(compiled).collect::<Result<Vec<_>>>()?;
        // What functions give is compared once that is known.
        let known = if recipe.has_unknown() { 1 } else { all.len() };
        for (at, other) in all[..known].iter().enumerate().skip(1) {
            let (first, other_specs) = (all[0].specs(), other.specs());
            let names = |specs: &[FieldSpec]| specs.iter().map(|spec| spec.name.clone()).collect::<Vec<_>>();
            if names(first) != names(other_specs) {
                let (gives, first) = (names(other_specs).join(", "), names(first).join(", "));
                let what =
                    format!("gives the fields {gives}, where transforms[0] gives {first}: each is to give the same");
                return Err(refused(at, &what));
            }
            if let Some((first, spec)) = first.iter().zip(other_specs).find(|(first, spec)| !are_alike(first, spec)) {
                let what = format!(
                    "field {spec}, where transforms[0] gives {first}: each is to give the same fields, with the same \
                     dtypes and numbers of axes, and other extents alone"
                );
                return Err(refused(at, &what));
            }
            if !all[0].draws_others_as(other) {
                let what = "puts samples together in another way than transforms[0]: each is to have a Mosaic of the same p, \
                            in the same field, or none";
                return Err(refused(at, what));
            }
        }
        Ok(Self(all))
    }

    /// Returns what is done in batches of each variant.
    pub fn all(&self) -> &[Compiled] {
        &self.0
    }

    /// Returns what is done in batches of the first variant.
    pub fn first(&self) -> &Compiled {
        &self.0[0]
    }

    /// Returns what samples look like in batches of each variant.
    pub fn specs(&self) -> Vec<&[FieldSpec]> {
        self.0.iter().map(Compiled::specs).collect()
    }
}

/// Tells whether a field differs in nothing but its extents.
fn are_alike(field: &FieldSpec, other: &FieldSpec) -> bool {
    let axes = |field: &FieldSpec| (field.ragged.map(|ragged| ragged.axes), field.shape.len());
    (field.dtype, axes(field)) == (other.dtype, axes(other))
}

fn refused(at: usize, what: &str) -> Error {
    Error::Config(format!("MultiScale: transforms[{at}]: {what}"))
}

fn of_variant(at: usize, error: Error) -> Error {
    if let Error::Config(what) = error {
        return Error::Config(format!("MultiScale: with transforms[{at}]: {what}"));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        field::{BoundingBoxes, Image, Tensor},
        spec::DType,
        transform::BoxFormat,
    };

    fn fields() -> Vec<Field> {
        vec![
            Field::new("image", Image::default()),
            Field::new("boxes", BoundingBoxes { image: "image".into(), format: BoxFormat::Xyxy, capacity: 3 }),
            Field::new("x", Tensor { dtype: DType::UInt8, shape: vec![4] }),
        ]
    }

    const CHW: &str = r#"{"op": "ToLayout", "layout": "CHW"}"#;

    fn resize(size: u32) -> String {
        format!(r#"{{"op": "Resize", "size": [{size}, {size}]}}"#)
    }

    fn recipe(all: &str, variants: &[String]) -> Recipe {
        serde_json::from_str(&format!(r#"{{"transforms": {{{all}}}, "variants": [{}]}}"#, variants.join(", "))).unwrap()
    }

    fn image(transforms: &[&str]) -> String {
        format!(r#"{{"image": [{}]}}"#, transforms.join(", "))
    }

    #[test]
    fn each_variant_has_its_own_shapes() {
        let variants = [image(&[&resize(8), CHW]), image(&[&resize(4), CHW])];
        let made = Variants::of(&fields(), &recipe(r#""x": []"#, &variants)).unwrap();
        let shapes: Vec<String> = made.specs().iter().map(|specs| specs[0].to_string()).collect();
        assert_eq!(shapes, ["image: uint8[3, 8, 8]", "image: uint8[3, 4, 4]"]);
        assert_eq!(made.specs()[0][1..], made.specs()[1][1..]);
        let one = Variants::of(&fields(), &recipe(&format!(r#""image": [{}]"#, resize(8)), &[])).unwrap();
        assert_eq!((one.all().len(), one.specs()[0].len()), (1, 3));
    }

    #[test]
    fn variants_that_are_not_alike_are_refused() {
        let refused =
            |all: &str, variants: &[String]| Variants::of(&fields(), &recipe(all, variants)).unwrap_err().to_string();
        let first = image(&[&resize(8), CHW]);
        let float = image(&[&resize(8), CHW, r#"{"op": "ToDtype", "dtype": "float32"}"#]);
        let error = refused("", &[first.clone(), float]);
        assert!(
            error.starts_with("MultiScale: transforms[1]: field image: float32[3, 8, 8], where transforms[0] gives"),
            "{error}"
        );
        let error = refused(r#""image": []"#, std::slice::from_ref(&first));
        assert!(error.contains("transforms[0]: transforms of `image` stand in those of the loader too"), "{error}");
        let error = refused("", &[first.clone(), r#"{"imge": []}"#.to_owned()]);
        assert!(error.contains("MultiScale: with transforms[1]: transforms: there is no field `imge`"), "{error}");
        let mosaic = image(&[r#"{"op": "Mosaic", "size": [4], "labels": []}"#, &resize(8), CHW]);
        let error = refused(r#""x": []"#, &[first, mosaic]);
        assert!(error.contains("transforms[1]: puts samples together in another way"), "{error}");
    }
}
