//! What a recipe says of fields, checked before anything is compiled.

use std::collections::BTreeMap;

use super::{Field, Kind, recipe::Recipe, relations::Relations};
use crate::{
    error::{Error, Result},
    transform::{self, Numbered},
};

/// Refuses names that no field has. What draws as another field may name one that only views are made of.
pub(super) fn names(recipe: &Recipe, relations: &Relations<'_>, source: &[Field]) -> Result<()> {
    let Recipe { transforms, capacity, draws, .. } = recipe;
    let fields = relations.fields;
    let labels: Vec<String> = (0..fields.len()).flat_map(|at| relations.labels(at)).collect();
    let named = transforms.keys().map(|name| (name, "transforms", "to transform"));
    let named = named.chain(capacity.keys().map(|name| (name, "capacity", "for capacity")));
    let drawn = draws.iter().flat_map(|(name, of)| [(name, "draws", "for draws"), (of, "draws", "to draw as")]);
    let mut named = named.chain(drawn).chain(labels.iter().map(|name| (name, "labels", "to go with boxes")));
    let unknown = named.find(|(name, ..)| fields.iter().chain(source).all(|field| field.name != **name));
    unknown.map_or(Ok(()), |(unknown, argument, what)| {
        let known: Vec<String> = fields.iter().map(|field| format!("`{}`", field.name)).collect();
        let known = known.join(", ");
        Err(Error::Config(format!("{argument}: there is no field `{unknown}` {what}; the source has {known}")))
    })
}

/// Refuses transforms of texts where a field is none.
pub(super) fn texts(fields: &[Field], ops: &[Vec<Numbered>]) -> Result<()> {
    for (field, ops) in fields.iter().zip(ops) {
        let is_of_texts = |op: &&Numbered| matches!(op.role, transform::Role::Text(_));
        if let Some(op) = ops.iter().find(is_of_texts)
            && !matches!(field.kind, Kind::Text(_))
        {
            let Numbered { at, name, .. } = op;
            return Err(Error::Config(format!(
                "field `{}`: transform {at}: {name} takes texts, not {field}",
                field.name
            )));
        }
    }
    Ok(())
}

/// Refuses fills of fields that are neither the image that is transformed nor masks of it.
pub(super) fn fills(fields: &[Field], recipe: &Recipe) -> Result<()> {
    for (name, transforms) in &recipe.transforms {
        for (at, transform) in transforms.iter().enumerate() {
            for (of, fill) in transform.filled().iter().filter(|(of, _)| of != name) {
                let follower = fields.iter().find(|field| field.name == *of && field.image() == Some(name));
                let is_mask = follower.is_some_and(|field| matches!(field.kind, Kind::Mask(_) | Kind::Segmentation(_)));
                let is_index = |value: &f32| value.fract() == 0.0 && (0.0..=255.0).contains(value);
                // One list may stand for several fields.
                let is_shared = recipe.transforms.get(of).is_some_and(|own| own.contains(transform));
                let what = match fill.as_deref() {
                    _ if is_shared => continue,
                    _ if !is_mask => format!("is neither `{name}` nor a mask that follows it"),
                    Some([value]) if is_index(value) => continue,
                    _ => format!("is a mask, whose fill is one index, 0 to 255, not {fill:?}"),
                };
                return Err(Error::Config(format!(
                    "field `{name}`: transform {at}: fill is given for `{of}`, which {what}"
                )));
            }
        }
    }
    Ok(())
}

/// Refuses fields that draw as others and cannot.
pub(super) fn draws(fields: &[Field], draws: &BTreeMap<String, String>) -> Result<()> {
    for (name, of) in draws {
        let follows = |name: &str| fields.iter().find(|field| field.name == name).and_then(Field::image);
        if name == of {
            continue;
        }
        let what = match (follows(name), follows(of), draws.get(of)) {
            (Some(image), ..) => format!("it follows `{image}`, and draws as that does"),
            (None, Some(image), _) => format!("`{of}` follows `{image}`: name that"),
            (None, None, Some(other)) => format!("`{of}` draws as `{other}` itself: name that"),
            (None, None, None) => continue,
        };
        return Err(Error::Config(format!("field `{name}` cannot draw as `{of}`: {what}")));
    }
    Ok(())
}
