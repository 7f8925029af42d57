//! A table, put together column by column.

use super::{
    columns::Column,
    shared_source::{Columns, SharedSource},
};
use crate::{
    error::{Error, Result},
    field::Field,
};

/// Columns by name; sample `i` is row `i` of each.
///
/// ```
/// use stokehold::{BoundingBoxes, BoxFormat, Images, Table};
///
/// let table = Table::new()
///     .column("image", Images::paths(["a.jpg", "b.jpg"]))
///     .column("boxes", BoundingBoxes::new([vec![[0.0, 0.0, 8.0, 8.0]], vec![]], BoxFormat::Xyxy))
///     .column("label", [3_i64, 1]);
/// let source = table.build()?;
/// # Ok::<_, stokehold::Error>(())
/// ```
///
/// The bytes are copied into shared memory when it is built; files are read when their sample's turn comes.
#[derive(Clone, Debug, Default)]
pub struct Table<'a> {
    columns: Vec<(String, Column<'a>)>,
    classes: Vec<String>,
}

impl<'a> Table<'a> {
    /// Returns a table without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column.
    #[must_use]
    pub fn column(mut self, name: impl Into<String>, column: impl Into<Column<'a>>) -> Self {
        self.columns.push((name.into(), column.into()));
        self
    }

    /// Sets the names of the classes that a column of labels counts. Default: none.
    #[must_use]
    pub fn classes<S: Into<String>>(mut self, classes: impl IntoIterator<Item = S>) -> Self {
        self.classes = classes.into_iter().map(Into::into).collect();
        self
    }

    /// Copies the columns.
    ///
    /// # Errors
    /// [`Error::Config`] where there are no columns or rows, their numbers of rows differ, or two have one name;
    /// [`Error::Memory`] where the copy does not fit under a limit of this process.
    pub fn build(&self) -> Result<SharedSource> {
        let Some((first, Column { len, .. })) = self.columns.first() else {
            return Err(Error::config("a table needs at least one column"));
        };
        if let Some((name, other)) = self.columns.iter().find(|(_, column)| column.len != *len) {
            let rows = other.len;
            return Err(Error::Config(format!("column `{name}` has {rows} rows, and `{first}` has {len}")));
        }
        let columns =
            self.columns.iter().map(|(name, column)| (Field::new(name, column.kind.clone()), column.values()));
        SharedSource::table(Columns { classes: self.classes.clone(), ..Columns::new(*len, columns.collect()) })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Ix1, Ix2, arr2};

    use super::*;
    use crate::{
        loader::{Batch, BoundingBoxes, Images, KeyPoints, Lists, Loader, Masks, Texts},
        transform::{BoxFormat, Transform},
    };

    fn first(table: &Table<'_>) -> Batch {
        let loader = Loader::builder(table.build().unwrap()).batch_size(2).num_workers(0);
        let loader = loader.transforms("image", [Transform::resize([4, 4])]).build();
        loader.unwrap().iter().next().unwrap().unwrap()
    }

    fn message(table: &Table<'_>) -> String {
        table.build().unwrap_err().to_string()
    }

    #[test]
    fn columns_of_every_kind_become_fields() {
        let image = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/420.jpg")).unwrap();
        let grid: Array2<f32> = arr2(&[[1.0, 2.0], [3.0, 4.0]]);
        let table = Table::new()
            .column("image", Images::encoded([&image, &image]))
            .column("points", KeyPoints::new([vec![[1.0_f32, 2.0]], vec![]]))
            .column("boxes", BoundingBoxes::new([vec![], vec![[0.0, 0.0, 1.0, 1.0]; 2]], BoxFormat::Xyxy))
            .column("tokens", Lists::new([vec![1_i32, 2, 3], vec![4]]))
            .column("pairs", Lists::new([vec![[1_u8, 2]], vec![[3, 4], [5, 6]]]))
            .column("text", Texts::new(["one", "zwölf"]))
            .column("label", [5_i64, 6])
            .column("row", &grid)
            .column("turned", grid.t());
        let batch = first(&table);
        assert_eq!(batch.shape(batch.position("image").unwrap()), [2, 4, 4, 3]);
        assert_eq!(batch.view::<i64, Ix1>("label").unwrap().to_vec(), [5, 6]);
        assert_eq!(batch.view::<f32, Ix2>("row").unwrap(), grid);
        assert_eq!(batch.view::<f32, Ix2>("turned").unwrap(), grid.t());
        assert_eq!(batch.ragged::<i32, Ix1>("tokens").unwrap().row(0).unwrap().to_vec(), [1, 2, 3]);
        assert_eq!(batch.ragged::<u8, Ix2>("pairs").unwrap().row(1).unwrap(), arr2(&[[3, 4], [5, 6]]));
        assert_eq!(batch.ragged::<f32, Ix2>("boxes").unwrap().row(1).unwrap().shape(), [2, 4]);
        assert_eq!(batch.ragged::<f32, Ix2>("points").unwrap().row(0).unwrap().shape(), [1, 2]);
        let text = batch.ragged::<u8, Ix1>("text").unwrap().row(1).unwrap().to_vec();
        assert_eq!(String::from_utf8(text).unwrap(), "zwölf");
    }

    #[test]
    fn files_are_read_where_their_paths_say() {
        let file = |name: &str| format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
        let table = Table::new()
            .column("photo", Images::paths([file("420.jpg")]))
            .column("label", vec![1_u8])
            .classes(["a", "b"]);
        let source = table.build().unwrap();
        let loader = Loader::builder(source).num_workers(0).transforms("photo", [Transform::center_crop(4)]);
        let loader = loader.build().unwrap();
        assert_eq!(loader.classes(), ["a", "b"]);
        let batch = loader.iter().next().unwrap().unwrap();
        assert_eq!(batch.shape(0), [1, 4, 4, 3]);
    }

    #[test]
    fn what_is_no_table_is_refused() {
        assert_eq!(message(&Table::new()), "a table needs at least one column");
        let uneven = Table::new().column("x", [1_u8, 2]).column("y", [1_u8]);
        assert_eq!(message(&uneven), "column `y` has 1 rows, and `x` has 2");
        let twice = Table::new().column("x", [1_u8]).column("x", [1_u8]);
        assert!(message(&twice).contains('x'));
        let lonely = Table::new().column("mask", Masks::paths(["a.png"]).image("photo")).build().unwrap();
        assert!(Loader::builder(lonely).num_workers(0).build().unwrap_err().to_string().contains("photo"));
    }
}
