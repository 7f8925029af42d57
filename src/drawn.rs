//! What was drawn for a sample, told to whoever looks at one; while batches are made, nobody does.
//!
//! Whoever draws says what, by [`tell`], and whoever calls it says for which transform of which field, by [`of`]. Only
//! inside of [`listen`], and on its thread, is there anybody who listens: elsewhere all of them come to one branch.

use std::cell::{Cell, RefCell};

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

/// What was drawn for a transform.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawn {
    /// The field; empty where it is the whole sample.
    pub field: String,
    /// The transform's name.
    pub transform: String,
    /// What was drawn, by torchvision's names, in the order in which it was told.
    pub parameters: Vec<(&'static str, Value)>,
    /// What was drawn for transforms that this one is made of.
    pub parts: Vec<Self>,
    /// Whether anything was drawn, told or not; see [`begin`].
    begun: bool,
}

impl Serialize for Drawn {
    /// As field, transform, and a map of the parameters, where `transforms` are the parts, without their fields.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.field, &self.transform, Parameters(self)).serialize(serializer)
    }
}

struct Parameters<'a>(&'a Drawn);

impl Serialize for Parameters<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Drawn { parameters, parts, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in parameters {
            map.serialize_entry(name, value)?;
        }
        if !parts.is_empty() {
            let parts: Vec<_> = parts.iter().map(|part| (&part.transform, Parameters(part))).collect();
            map.serialize_entry("transforms", &parts)?;
        }
        map.end()
    }
}

thread_local! {
    /// Whether anybody listens.
    static IS_HEARD: Cell<bool> = const { Cell::new(false) };
    /// The transforms that are being drawn for, each a part of the one before it, behind the whole.
    static OPEN: RefCell<Vec<Drawn>> = const { RefCell::new(Vec::new()) };
}

/// Does something, and returns what this thread has drawn for it meanwhile.
pub fn listen<T>(run: impl FnOnce() -> T) -> (T, Vec<Drawn>) {
    /// Ends the listening, also where `run` panics, and puts back what was heard around it.
    struct Around(bool, Vec<Drawn>);
    impl Drop for Around {
        fn drop(&mut self) {
            IS_HEARD.set(self.0);
            OPEN.replace(std::mem::take(&mut self.1));
        }
    }
    let around = Around(IS_HEARD.replace(true), OPEN.replace(vec![Drawn::default()]));
    let made = run();
    let parts = OPEN.with_borrow_mut(|open| open.drain(..).next().map(|whole| whole.parts));
    drop(around);
    (made, parts.unwrap_or_default())
}

/// Does something for a transform of a field: what is told meanwhile was drawn for it.
#[inline]
pub fn of<T>(field: &str, transform: &str, run: impl FnOnce() -> T) -> T {
    if IS_HEARD.get() { heard(field, transform, run) } else { run() }
}

#[cold]
fn heard<T>(field: &str, transform: &str, run: impl FnOnce() -> T) -> T {
    let next = Drawn { field: field.to_owned(), transform: transform.to_owned(), ..Drawn::default() };
    OPEN.with_borrow_mut(|open| open.push(next));
    let made = run();
    OPEN.with_borrow_mut(|open| {
        if let Some(drawn) = open.pop()
            && (drawn.begun || !drawn.parameters.is_empty() || !drawn.parts.is_empty())
            && let Some(whole) = open.last_mut()
        {
            whole.parts.push(drawn);
        }
    });
    made
}

/// Tells what was drawn for the transform whose turn it is.
#[inline]
pub fn tell<const N: usize>(parameters: impl FnOnce() -> [(&'static str, Value); N]) {
    if IS_HEARD.get() {
        told(parameters);
    }
}

#[cold]
fn told<const N: usize>(parameters: impl FnOnce() -> [(&'static str, Value); N]) {
    let parameters = parameters();
    note(|drawn| drawn.parameters.extend(parameters));
}

/// Notes that something is drawn for the transform whose turn it is, so that a test finds the one that does not tell of it:
/// only where there are debug assertions.
#[inline]
pub fn begin() {
    if cfg!(debug_assertions) && IS_HEARD.get() {
        note(|drawn| drawn.begun = true);
    }
}

#[cold]
fn note(note: impl FnOnce(&mut Drawn)) {
    OPEN.with_borrow_mut(|open| open.last_mut().map(note));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_belongs_to_the_transform_whose_turn_it_is() {
        let ((), drawn) = listen(|| {
            of("image", "Resize", || ());
            of("image", "RandomApply", || {
                tell(|| [("applied", true.into())]);
                of("image", "ColorJitter", || tell(|| [("hue_factor", 0.5.into()), ("fn_idx", vec![1, 0].into())]));
            });
            of("mask", "Flip", || tell(|| [("applied", false.into())]));
        });
        let json = serde_json::to_string(&drawn).unwrap();
        let parts = r#"[["ColorJitter",{"hue_factor":0.5,"fn_idx":[1,0]}]]"#;
        assert_eq!(
            json,
            format!(
                r#"[["image","RandomApply",{{"applied":true,"transforms":{parts}}}],["mask","Flip",{{"applied":false}}]]"#
            )
        );
    }

    #[test]
    fn nobody_listens_elsewhere() {
        let never = || unreachable!("nobody asked");
        assert_eq!(of("image", "Crop", || 3), 3);
        tell::<1>(never);
        let ended = std::panic::catch_unwind(|| listen(|| of("image", "Crop", || panic!("not drawn"))));
        assert!(ended.is_err());
        tell::<1>(never);
        // One within another has what is its own.
        let (inner, outer) = listen(|| {
            tell(|| [("seed", 1.into())]);
            of("x", "Outer", || {
                tell(|| [("p", 0.5.into())]);
                listen(|| of("y", "Inner", || tell(|| [("q", 0.5.into())]))).1
            })
        });
        assert_eq!((inner.len(), outer.len()), (1, 1));
        assert_eq!((inner[0].field.as_str(), outer[0].field.as_str()), ("y", "x"));
    }
}
