//! Cuts of the trainer, with the lengths of all samples where these decide.

use std::sync::Arc;

use super::input::Input;
use crate::{
    error::{Error, Result},
    field::{Compiled, Recipe},
    sampler::{CutOptions, CutSpec, LengthCut, MultiScale},
};

/// How the samples of an epoch become batches: by their lengths, as rows that are packed, batches of so many values, or of
/// samples of like lengths; or by the variant of each batch. Loaders over the same value share the lengths.
#[derive(Clone, Debug)]
pub struct SharedCut {
    spec: CutSpec,
    lengths: Arc<[u32]>,
}

impl SharedCut {
    /// Returns the cut of a source whose samples have these lengths, in its order.
    ///
    /// # Errors
    /// Those of [`LengthCut::new`].
    pub fn new(options: CutOptions, lengths: impl Into<Arc<[u32]>>) -> Result<Self> {
        let lengths = lengths.into();
        Ok(Self { spec: CutSpec::Lengths(LengthCut::new(options, &lengths)?), lengths })
    }

    /// Returns the cut into batches of several variants, whose transforms are
    /// [`Builder::variants`](super::Builder::variants).
    pub fn multi_scale(cut: MultiScale) -> Self {
        Self { spec: CutSpec::Variants(cut), lengths: Arc::default() }
    }

    /// Returns the cut as data.
    pub fn spec(&self) -> &CutSpec {
        &self.spec
    }

    /// Returns the length of each sample; none where no lengths decide.
    pub fn lengths(&self) -> &Arc<[u32]> {
        &self.lengths
    }
}

/// Gives fields that are cut the room that the lengths say, where a recipe says none: what is made of a source must be known
/// before it is known where that lies.
///
/// # Errors
/// [`Error::Config`] where there are transforms of whole batches.
pub(super) fn make_room(cut: &LengthCut, input: &Input, recipe: &mut Recipe) -> Result<()> {
    if !recipe.batch_transforms.is_empty() {
        let name = cut.name();
        return Err(Error::Config(format!("{name}: batch_transforms are for batches of rows that are all alike")));
    }
    let fields = input.fields();
    let made = fields.as_ref().and_then(|fields| Compiled::of(fields, recipe).ok());
    // Of others it is told later what is wrong with them.
    let varies = |name: &String| match (&made, &fields) {
        (Some(made), _) => made.specs().iter().any(|spec| spec.name == *name && spec.ragged.is_some()),
        (None, Some(fields)) => fields.iter().any(|field| field.name == *name),
        (None, None) => true,
    };
    let names = cut.options().fields.iter().map(|field| &field.name).filter(|name| varies(name));
    for name in names {
        recipe.capacity.entry(name.clone()).or_insert_with(|| cut.longest() as usize);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ndarray::{Ix1, Ix2, Ix4, arr2};

    use super::*;
    use crate::{
        loader::{Batch, Builder, Images, Lists, Loader, Table as Columns},
        sampler::{Filling, Grouping, Mark, MarkField},
        transform::Transform,
    };

    fn batches(options: CutOptions, batch_size: u32) -> Vec<Batch> {
        let rows = [vec![1_i64, 2, 3], vec![4], vec![5, 6, 7, 8], vec![], vec![9, 10]];
        let lengths: Vec<u32> = rows.iter().map(|row| row.len() as u32).collect();
        let source = Columns::new().column("tokens", Lists::new(rows)).column("label", [0_u8, 1, 2, 3, 4]);
        let loader = Loader::builder(source.build().unwrap()).num_workers(0).batch_size(batch_size);
        let loader = loader.cut(SharedCut::new(options, lengths).unwrap()).build().unwrap();
        let first: Vec<Batch> = loader.iter().map(Result::unwrap).collect();
        let second: Vec<Vec<u64>> = loader.iter().map(|batch| batch.unwrap().indices()).collect();
        assert_eq!(second, first.iter().map(Batch::indices).collect::<Vec<_>>(), "the order is the source's");
        first
    }

    #[test]
    fn rows_are_packed_in_their_slot() {
        let marks = vec![MarkField { name: "segment_ids".into(), mark: Mark::SegmentIds }];
        let packing = Grouping::Packing { seq_len: 5, strategy: Filling::BestFit };
        let packed = batches(CutOptions { marks, ..CutOptions::new(packing, "tokens") }, 2);
        let [batch] = &packed[..] else { panic!("{} batches", packed.len()) };
        let tokens = batch.view::<i64, Ix2>("tokens").unwrap();
        assert_eq!(tokens, arr2(&[[1, 2, 3, 9, 10], [4, 5, 6, 7, 8]]));
        let segments = batch.view::<i32, Ix2>("segment_ids").unwrap();
        assert_eq!(segments, arr2(&[[1, 1, 1, 2, 2], [1, 2, 2, 2, 2]]));
        assert_eq!(batch.view::<u8, Ix1>("label").unwrap().len(), batch.rows());
        assert!(batch.ragged::<i64, Ix1>("tokens").unwrap_err().to_string().contains("not ragged"));
    }

    fn of_sizes(batch_sizes: &[u32], edges: &[u32]) -> Builder {
        let image = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/420.jpg")).unwrap();
        let source = Columns::new().column("image", Images::encoded(vec![image; 20]));
        let resized = |edge: &u32| BTreeMap::from([("image".to_owned(), vec![Transform::resize(vec![*edge; 2])])]);
        let variants: Vec<_> = edges.iter().map(resized).collect();
        let cut = SharedCut::multi_scale(MultiScale::new(batch_sizes, 1).unwrap());
        Loader::builder(source.build().unwrap()).num_workers(0).cut(cut).variants(variants)
    }

    #[test]
    fn a_batch_has_the_size_of_its_variant() {
        let loader = of_sizes(&[4, 2], &[3, 7]).build().unwrap();
        assert_eq!(loader.variants().iter().map(|fields| fields[0].shape[0]).collect::<Vec<_>>(), [3, 7]);
        let batches: Vec<Batch> = loader.iter().map(Result::unwrap).collect();
        for batch in &batches[..batches.len() - 1] {
            let variant = batch.variant().unwrap() as usize;
            let (rows, edge) = ([4, 2][variant], [3, 7][variant]);
            assert_eq!(batch.view::<u8, Ix4>("image").unwrap().shape(), [rows, edge, edge, 3]);
            assert!(batch.spans().is_none());
        }
        assert_eq!(batches.iter().map(Batch::rows).sum::<usize>(), 20);
        let variants: Vec<_> = batches.iter().map(Batch::variant).collect();
        assert!(variants.contains(&Some(0)) && variants.contains(&Some(1)));
    }

    #[test]
    fn variants_and_their_sizes_go_together() {
        let refused = |builder: Builder| builder.build().unwrap_err().to_string();
        assert!(refused(of_sizes(&[4, 2], &[3])).contains("batch_sizes must be one for each variant, 1, not 2"));
        assert!(refused(of_sizes(&[4, 2], &[3, 7]).batch_size(4)).contains("batch_size must be left out, not 4"));
        let source = Columns::new().column("x", [1_i64, 2]).build().unwrap();
        let uncut = Loader::builder(source).num_workers(0).variants(vec![BTreeMap::new(); 2]);
        assert!(refused(uncut).contains("variants are for a cut by MultiScale"));
    }

    #[test]
    fn values_of_a_budget_are_one_array() {
        let budget = CutOptions::new(Grouping::Budget { max_tokens: 6, sorted: false }, "tokens");
        let dense = batches(CutOptions { padding: false, ..budget.clone() }, 1);
        let values: Vec<_> = dense.iter().map(|batch| batch.view::<i64, Ix1>("tokens").unwrap().to_vec()).collect();
        assert_eq!(values, [vec![1, 2, 3, 4], vec![5, 6, 7, 8, 9, 10]]);
        let padded = batches(budget, 1);
        let values: Vec<_> = padded.iter().map(|batch| batch.view::<i64, Ix2>("tokens").unwrap().to_owned()).collect();
        assert_eq!(values[0], arr2(&[[1, 2, 3], [4, 0, 0]]));
        assert_eq!(padded[0].spans().unwrap().len(), 2);
    }
}
