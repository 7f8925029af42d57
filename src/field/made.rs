//! The fields of samples: those of the source that stay, and views of them.

use super::{
    Field, Kind,
    recipe::{Recipe, View},
};
use crate::error::{Error, Result};

/// The fields of samples, and of which field of the source each is made.
#[derive(Debug)]
pub(super) struct MadeFields {
    pub(super) fields: Vec<Field>,
    /// For each, the index of the source's field that its payload is.
    pub(super) origins: Vec<usize>,
}

impl MadeFields {
    /// Returns the fields that are made of those of a source. Views stand where their field stood, in the order in which
    /// they are listed; a field of which there are views stays, before them, where the recipe has transforms or a capacity
    /// for it.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for a view of no field, a name that is taken, or an image that cannot be followed.
    pub(super) fn of(source: &[Field], recipe: &Recipe) -> Result<Self> {
        let Recipe { views, transforms, capacity, .. } = recipe;
        check(source, views)?;
        let mut made = Self { fields: Vec::new(), origins: Vec::new() };
        for (at, field) in source.iter().enumerate() {
            let name = &field.name;
            let mut views = views.iter().filter(|view| view.of == *name).peekable();
            if views.peek().is_none() || transforms.contains_key(name) || capacity.contains_key(name) {
                made.push(at, field.clone());
            }
            for view in views {
                let mut field = Field { name: view.name.clone(), kind: field.kind.clone() };
                follow(view, &mut field.kind)?;
                made.push(at, field);
            }
        }
        made.check_images(source)?;
        Ok(made)
    }

    fn push(&mut self, origin: usize, field: Field) {
        self.fields.push(field);
        self.origins.push(origin);
    }

    /// Refuses what would follow an image that is not made, or that is made of another field.
    fn check_images(&self, source: &[Field]) -> Result<()> {
        for (field, origin) in self.fields.iter().zip(&self.origins) {
            let (Some(image), Some(of)) = (field.image(), source[*origin].image()) else { continue };
            let found = self.fields.iter().position(|other| other.name == image);
            let origin_of = |at: usize| source[self.origins[at]].name.as_str();
            let name = &field.name;
            let same = found.is_some_and(|at| origin_of(at) == of);
            let has_views =
                self.origins.iter().zip(&self.fields).find(|(at, other)| source[**at].name == of && other.name != of);
            if same || (found.is_some() && image == of) || (found.is_none() && has_views.is_none()) {
                continue;
            }
            let from = &source[*origin].name;
            return Err(Error::Config(match (found, has_views) {
                (None, Some((_, view))) if image == of => format!(
                    "field `{name}` follows `{of}`, of which there are views alone: make a view of it that follows one \
                     of them, View({from:?}, image={:?}), or name {of:?} in transforms too",
                    view.name
                ),
                _ => format!(
                    "field `{name}` cannot follow `{image}`: `{from}` lies in `{of}`, and that is no view of it"
                ),
            }));
        }
        Ok(())
    }
}

/// Refuses views of no field, and names that are taken.
fn check(source: &[Field], views: &[View]) -> Result<()> {
    for (at, View { name, of, .. }) in views.iter().enumerate() {
        if source.iter().all(|field| field.name != *of) {
            let known: Vec<String> = source.iter().map(|field| format!("`{}`", field.name)).collect();
            return Err(Error::Config(format!(
                "view `{name}`: there is no field `{of}` to be seen; the source has {}",
                known.join(", ")
            )));
        }
        if source.iter().any(|field| field.name == *name) || views[..at].iter().any(|other| other.name == *name) {
            return Err(Error::Config(format!("view `{name}` of `{of}`: there is a field of that name already")));
        }
    }
    Ok(())
}

/// Makes a view of what follows an image follow the one that it names.
fn follow(view: &View, kind: &mut Kind) -> Result<()> {
    let Some(image) = &view.image else { return Ok(()) };
    let followed = match kind {
        Kind::Mask(kind) => &mut kind.image,
        Kind::Segmentation(kind) => &mut kind.image,
        Kind::BoundingBoxes(kind) => &mut kind.image,
        Kind::KeyPoints(kind) => &mut kind.image,
        Kind::Image(_)
        | Kind::Tensor(_)
        | Kind::List(_)
        | Kind::Varying(_)
        | Kind::Label(_)
        | Kind::Text(_)
        | Kind::Bytes(_)
        | Kind::Audio(_)
        | Kind::Object(_) => {
            let View { name, of, .. } = view;
            return Err(Error::Config(format!(
                "view `{name}`: `{of}` follows no image, and image={image:?} is for masks, boxes and keypoints"
            )));
        }
    };
    followed.clone_from(image);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        field::{BoundingBoxes, Image, Label, Mask},
        transform::{BoxFormat, Transform},
    };

    fn source() -> Vec<Field> {
        vec![
            Field::new("image", Image::default()),
            Field::new("boxes", BoundingBoxes { image: "image".into(), format: BoxFormat::Xyxy, capacity: 3 }),
            Field::new("mask", Mask::of("image")),
            Field::new("label", Label {}),
        ]
    }

    fn made(views: &[(&str, &str, Option<&str>)], named: &[&str]) -> Result<Vec<(String, Option<String>, usize)>> {
        let views = views.iter().map(|(name, of, image)| View {
            name: (*name).into(),
            of: (*of).into(),
            image: image.map(Into::into),
        });
        let transforms = named.iter().map(|name| ((*name).to_owned(), Vec::<Transform>::new())).collect();
        let recipe = Recipe { views: views.collect(), transforms, ..Recipe::default() };
        let MadeFields { fields, origins } = MadeFields::of(&source(), &recipe)?;
        let row = |(field, at): (Field, usize)| (field.name.clone(), field.image().map(str::to_owned), at);
        Ok(fields.into_iter().zip(origins).map(row).collect())
    }

    fn names(made: &[(String, Option<String>, usize)]) -> Vec<&str> {
        made.iter().map(|(name, ..)| name.as_str()).collect()
    }

    #[test]
    fn views_stand_where_their_field_stood() {
        let all =
            [("b", "image", None), ("a", "image", None), ("boxes1", "boxes", Some("b")), ("mask1", "mask", Some("a"))];
        let found = made(&all, &[]).unwrap();
        assert_eq!(names(&found), ["b", "a", "boxes1", "mask1", "label"]);
        assert_eq!(found.iter().map(|(_, _, at)| *at).collect::<Vec<_>>(), [0, 0, 1, 2, 3]);
        assert_eq!((found[2].1.as_deref(), found[3].1.as_deref()), (Some("b"), Some("a")));
        let found = made(&[("a", "image", None)], &["image"]).unwrap();
        assert_eq!(names(&found), ["image", "a", "boxes", "mask", "label"]);
        assert_eq!(made(&[], &[]).unwrap().len(), 4);
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let told = |views: &[(&str, &str, Option<&str>)], named: &[&str]| made(views, named).unwrap_err().to_string();
        let left = told(&[("a", "image", None)], &[]);
        assert!(left.contains("field `boxes` follows `image`, of which there are views alone"), "{left}");
        assert!(left.contains("View(\"boxes\", image=\"a\")"), "{left}");
        let missing = told(&[("a", "picture", None)], &[]);
        assert!(missing.contains("there is no field `picture` to be seen; the source has `image`"), "{missing}");
        let taken = told(&[("label", "image", None)], &[]);
        assert!(taken.contains("view `label` of `image`: there is a field of that name already"), "{taken}");
        assert!(told(&[("a", "image", None), ("a", "image", None)], &["image"]).contains("already"));
        let none = told(&[("l", "label", Some("image"))], &[]);
        assert!(none.contains("`label` follows no image"), "{none}");
        let other = told(&[("m", "mask", Some("label"))], &[]);
        assert!(other.contains("field `m` cannot follow `label`: `mask` lies in `image`"), "{other}");
        let nowhere = told(&[("a", "image", None), ("m", "mask", Some("x"))], &["image"]);
        assert!(nowhere.contains("field `m` cannot follow `x`"), "{nowhere}");
    }
}
