//! Arrays that seem to belong to an image and would not follow it: a mistake that no batch would show.

use super::{Field, Kind, Tensor, recipe::Recipe};
use crate::{
    error::{Error, Result},
    transform::{self, Numbered, OnMask},
};

/// Words in the names of arrays that lie in an image, by what they are.
const MASKS: &[&str] = &["mask", "masks", "segmentation", "segmentations"];
const BOXES: &[&str] = &["box", "boxes", "bbox", "bboxes"];
const POINTS: &[&str] = &["keypoint", "keypoints", "landmark", "landmarks"];

/// Refuses arrays that seem to belong to an image whose transforms move pixels, and that stay where they are, or are moved
/// at random by themselves.
///
/// What a field is told to be is believed: an empty list of transforms says that it stays as it is.
///
/// # Errors
/// [`Config`](Error::Config) that names the field and says what to do.
pub(super) fn check(fields: &[Field], ops: &[Vec<Numbered>], recipe: &Recipe) -> Result<()> {
    let images = fields.iter().zip(ops).filter(|(_, ops)| ops.iter().any(moves));
    for (image, image_ops) in images {
        for (field, own_ops) in fields.iter().zip(ops).filter(|(field, _)| field.name != image.name) {
            let Kind::Tensor(tensor) = &field.kind else { continue };
            let (name, of) = (&field.name, &image.name);
            let stays = !recipe.transforms.contains_key(name) && (is_named(name, tensor) || is_over(image, tensor));
            if stays {
                return Err(Error::Config(format!(
                    "field `{name}` is an array, which does not follow `{of}` through its {}: give it as Masks, \
                     BoundingBoxes or KeyPoints of a Table, with `{of}` as Images, or transforms[{name:?}] = [] where \
                     it is to stay as it is",
                    image_ops.iter().find(|op| moves(op)).map_or("transforms", |op| op.name)
                )));
            }
            let is_apart = is_named(name, tensor) && !recipe.draws.contains_key(name);
            if let Some(op) = own_ops.iter().find(|op| is_random(op))
                && is_apart
                && image_ops.iter().any(is_random)
            {
                return Err(Error::Config(format!(
                    "field `{name}` draws its {} by itself, and not as `{of}` does: give draws[{name:?}] = {of:?}, or \
                     {name:?} where that is meant",
                    op.name
                )));
            }
        }
    }
    Ok(())
}

/// Tells whether a transform moves pixels.
fn moves(op: &Numbered) -> bool {
    match &op.role {
        transform::Role::Pixels(pixel_op) => !matches!(pixel_op.on_mask(), OnMask::Leaves),
        transform::Role::Call(call) => call.moves_pixels,
        transform::Role::Samples(_) => true,
        transform::Role::Decoding(_)
        | transform::Role::Row(_)
        | transform::Role::Boxes(_)
        | transform::Role::KeyPoints(_)
        | transform::Role::Sound(_)
        | transform::Role::Text(_) => false,
    }
}

fn is_random(op: &Numbered) -> bool {
    moves(op) && (op.name.starts_with("Rand") || op.name == "ElasticTransform")
}

/// Tells whether an array has the name and the shape of what lies in an image.
fn is_named(name: &str, tensor: &Tensor) -> bool {
    let shape = &tensor.shape[..];
    let says =
        |words: &[&str]| name.to_lowercase().split(|c: char| !c.is_alphanumeric()).any(|word| words.contains(&word));
    (says(MASKS) && shape.len() >= 2)
        || (says(BOXES) && shape.last() == Some(&4))
        || (says(POINTS) && shape.len() >= 2 && matches!(shape.last(), Some(2 | 3)))
}

/// Tells whether an array has a value for each pixel of an image in memory.
fn is_over(image: &Field, tensor: &Tensor) -> bool {
    let Kind::Tensor(Tensor { shape: pixels, .. }) = &image.kind else { return false };
    let Some(size) = pixels.get(..2) else { return false };
    match &tensor.shape[..] {
        shape @ [_, _] => shape == size,
        // With channels, or several of a kind, behind or in front.
        shape @ [_, _, _] => shape[..2] == *size || shape[1..] == *size,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{field::Compiled, spec::DType, transform::Transform};

    fn told(other: &str, shape: &[usize], recipe: impl FnOnce(&mut Recipe)) -> Option<String> {
        let tensor = |shape: &[usize]| Tensor { dtype: DType::UInt8, shape: shape.to_vec() };
        let fields = [Field::new("image", tensor(&[8, 6, 3])), Field::new(other, tensor(shape))];
        let flip = vec![Transform::random_horizontal_flip()];
        let mut given = Recipe { transforms: [("image".to_owned(), flip)].into(), ..Recipe::default() };
        recipe(&mut given);
        Compiled::of(&fields, &given).err().map(|error| error.to_string())
    }

    #[test]
    fn what_seems_to_belong_to_an_image_is_not_left_behind() {
        for (name, shape) in [
            ("mask", &[4, 4][..]),
            ("Masks", &[5, 8, 6]),
            ("instance_masks", &[8, 6]),
            ("boxes", &[9, 4]),
            ("face-box", &[4]),
            ("keypoints", &[17, 3]),
            ("target", &[8, 6]),
            ("depth", &[8, 6, 1]),
            ("other", &[3, 8, 6]),
        ] {
            let message = told(name, shape, |_| {}).unwrap();
            assert!(
                message.contains(&format!("field `{name}` is an array, which does not follow `image`")),
                "{message}"
            );
            assert!(message.contains("RandomHorizontalFlip"), "{message}");
            let stays = |recipe: &mut Recipe| drop(recipe.transforms.insert(name.to_owned(), vec![]));
            assert_eq!(told(name, shape, stays), None);
            assert_eq!(told(name, shape, |recipe| recipe.transforms.clear()), None);
        }
    }

    #[test]
    fn what_does_not_is_none_of_its_business() {
        for (name, shape) in [
            ("attention_mask", &[77][..]),
            ("boxes", &[7]),
            ("keypoints", &[17]),
            ("label", &[]),
            ("pose", &[6, 8]),
            ("embedding", &[768]),
            ("unmasked", &[4, 4]),
        ] {
            assert_eq!(told(name, shape, |_| {}), None, "{name}");
        }
    }

    #[test]
    fn a_mask_that_draws_by_itself_is_told_of() {
        let flips = |recipe: &mut Recipe| {
            recipe.transforms.insert("mask".to_owned(), vec![Transform::random_horizontal_flip()]);
        };
        let draws = |of: &'static str| {
            move |recipe: &mut Recipe| {
                flips(recipe);
                recipe.draws.insert("mask".to_owned(), of.to_owned());
            }
        };
        let message = told("mask", &[8, 6], flips).unwrap();
        assert!(message.contains("field `mask` draws its RandomHorizontalFlip by itself"), "{message}");
        assert!(message.contains(r#"draws["mask"] = "image""#), "{message}");
        assert_eq!(told("mask", &[8, 6], draws("image")), None);
        assert_eq!(told("mask", &[8, 6], draws("mask")), None);
        // Two views of a sample draw independently.
        let views = |recipe: &mut Recipe| {
            recipe.transforms.insert("other".to_owned(), vec![Transform::random_horizontal_flip()]);
        };
        assert_eq!(told("other", &[8, 6, 3], views), None);
    }
}
