//! What is done to the pixels of one sample: drawn and computed before any is touched.

use super::{
    args::Interpolation,
    edit::Edit,
    motion::{self, Motion},
    view::{Outside, Region, View},
};
use crate::{
    decode::MAX_PIXELS,
    geometry::{Rect, Size},
};

/// One pass over the pixels.
#[derive(Debug)]
pub(super) enum Pass {
    View(View),
    Edit(Box<dyn Edit>),
}

/// A part of an image that the row shows beside others: of the image, or of what it is mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crop {
    /// The box, which lies inside the image; of the mirrored image, where it is mirrored.
    pub(super) part: Rect,
    /// Whether the image is mirrored, left to right.
    pub(super) flip: bool,
    /// Whether it is turned upside down.
    pub(super) flop: bool,
}

/// The passes for one sample, in order. The first and the last are views.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The size of the image that the plan is for.
    pub(super) image: Size,
    /// All passes but the last.
    pub(super) passes: Vec<Pass>,
    /// The last pass, which writes the row.
    pub(super) last: View,
    /// What the row shows of the last pass, one beside the other, where it is not the whole.
    crops: Vec<Crop>,
    /// Where what lies in the image goes, if anybody wants to know.
    motions: Option<Vec<Box<dyn Motion>>>,
    /// The boxes that lie in the image before anything is done to it, where a step looks at them.
    pub(super) given_boxes: Vec<[f32; 4]>,
}

impl Plan {
    /// Begins a plan for an image. `follows` says whether anything follows its geometry.
    pub(super) fn begin(&mut self, image: Size, follows: bool) {
        self.go_on(image);
        self.motions = follows.then(|| self.motions.take().unwrap_or_default());
        self.motions.iter_mut().for_each(Vec::clear);
    }

    /// Begins a plan for what became of the image that the last plan was for. What that moved stays moved.
    pub(super) fn go_on(&mut self, image: Size) {
        self.image = image;
        self.passes.clear();
        self.crops.clear();
        self.last = View::whole(image);
    }

    /// Returns the size of the image that the plan makes so far; of each, where it makes several.
    pub(super) fn size(&self) -> Size {
        self.crops.first().map_or_else(|| self.last.size(), |crop| crop.part.size)
    }

    /// Returns what the row shows: views of what the last pass but one leaves, one beside the other.
    pub(super) fn shown(&self) -> impl ExactSizeIterator<Item = View> {
        (0..self.crops.len().max(1)).map(|at| {
            let mut view = self.last;
            if let Some(crop) = self.crops.get(at) {
                (view.flip, view.flop) = (view.flip != crop.flip, view.flop != crop.flop);
                let rest = view.crop(crop.part, Outside::default());
                debug_assert!(rest.is_none(), "a box inside takes no pass of its own");
            }
            view
        })
    }

    /// Shows parts of the image beside each other. Nothing can follow.
    pub(super) fn show_crops(&mut self, crops: impl IntoIterator<Item = Crop>) {
        // The image is resized once for all of them.
        if self.last.scale.is_some() {
            self.pass(View::whole(self.size()));
        }
        self.crops.extend(crops);
    }

    /// Exchanges the motions, which belong to this image, with others.
    pub(super) fn swap_motions(&mut self, motions: &mut Vec<Box<dyn Motion>>) {
        if let Some(ours) = &mut self.motions {
            std::mem::swap(ours, motions);
        }
    }

    /// Returns the part of the image that is needed.
    pub(super) fn region(&self) -> Region {
        match self.passes.first() {
            Some(Pass::View(view)) => view.region(),
            Some(Pass::Edit(_)) | None => self.last.region(),
        }
    }

    /// Makes the plan one for the pixels of its region.
    pub(super) fn take_region(&mut self, pixels: Size) -> Result<(), String> {
        match self.passes.first_mut() {
            Some(Pass::View(view)) => view.take_region(pixels),
            Some(Pass::Edit(_)) | None => self.last.take_region(pixels),
        }
    }

    /// Makes the plan one for the pixels of a box of the image, in which its region lies.
    pub(super) fn cut_to(&mut self, part: Rect) {
        let view = match self.passes.first_mut() {
            Some(Pass::View(view)) => view,
            Some(Pass::Edit(_)) | None => &mut self.last,
        };
        (view.crop.top, view.crop.left) = (view.crop.top - part.top, view.crop.left - part.left);
        self.image = part.size;
    }

    /// Returns where the boxes of the image lie by now: left, top, right, bottom of each.
    pub(super) fn boxes(&self) -> Result<Vec<[f32; 4]>, String> {
        let motions = self.motions.as_ref().ok_or("no boxes follow the image")?;
        let moved = |bounds: &[f32; 4]| motions.iter().fold(*bounds, |bounds, motion| motion.bounds(bounds));
        Ok(self.given_boxes.iter().map(moved).collect())
    }

    /// Shows only a box of the image, or more than there is of it.
    pub(super) fn crop(&mut self, part: Rect, outside: Outside) {
        self.crop_by(part, outside, motion::Crop { left: part.left as f32, top: part.top as f32, size: part.size });
    }

    /// Does the same where `motion` says what becomes of points and boxes.
    pub(super) fn crop_by(&mut self, part: Rect, outside: Outside, motion: impl Motion + 'static) {
        self.moved(|_| motion);
        if let Some(next) = self.last.crop(part, outside) {
            self.pass(next);
        }
    }

    /// Resizes the image.
    pub(super) fn resize(&mut self, size: Size, interpolation: Interpolation) {
        self.moved(|from| motion::Resize { from, to: size });
        if let Some(next) = self.last.resize(size, interpolation) {
            self.pass(next);
        }
    }

    /// Mirrors the image, left to right.
    pub(super) fn flip(&mut self) {
        self.moved(|size| motion::Flip { width: size.width as f32 });
        self.last.flip = !self.last.flip;
    }

    /// Turns the image upside down.
    pub(super) fn flop(&mut self) {
        self.moved(|size| motion::Flop { height: size.height as f32 });
        self.last.flop = !self.last.flop;
    }

    /// Turns the image by half a circle; `motion` says where points go.
    pub(super) fn half_turn<M: Motion + 'static>(&mut self, motion: impl FnOnce(Size) -> M) {
        self.moved(motion);
        (self.last.flip, self.last.flop) = (!self.last.flip, !self.last.flop);
    }

    /// Adds a change that needs the pixels, and that leaves them where they are.
    pub(super) fn edit(&mut self, edit: impl Edit + 'static) {
        let mut next = View::whole(edit.output(self.size()));
        if edit.is_symmetric() {
            (next.flip, next.flop) = (self.last.flip, self.last.flop);
            (self.last.flip, self.last.flop) = (false, false);
        }
        // What an edit leaves is packed already.
        if self.passes.is_empty() || self.last != View::whole(self.size()) {
            self.passes.push(Pass::View(self.last));
        }
        self.passes.push(Pass::Edit(Box::new(edit)));
        self.last = next;
    }

    /// Adds a change that moves pixels; `motion` says where to.
    pub(super) fn warp<M: Motion + 'static>(&mut self, edit: impl Edit + 'static, motion: impl FnOnce(Size) -> M) {
        self.moved(motion);
        self.edit(edit);
    }

    fn moved<M: Motion + 'static>(&mut self, motion: impl FnOnce(Size) -> M) {
        let size = self.size();
        if let Some(motions) = &mut self.motions {
            motions.push(Box::new(motion(size)));
        }
    }

    fn pass(&mut self, next: View) {
        self.passes.push(Pass::View(self.last));
        self.last = next;
    }

    /// Refuses to hold more pixels than may be decoded, before or after the window is cut out.
    pub(super) fn check_area(&self) -> Result<(), String> {
        match [self.last.content(), self.last.size()].into_iter().find(|size| size.area() > MAX_PIXELS) {
            None => Ok(()),
            Some(Size { height, width }) => {
                Err(format!("an image of {width}x{height} takes more than the limit of {MAX_PIXELS} pixels"))
            }
        }
    }
}
