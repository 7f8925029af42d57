//! Pages of a column chunk, each looked at before it is decoded.

use std::sync::Arc;

use ::parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, RowGroups},
    column::page::{Page, PageIterator, PageMetadata, PageReader},
    errors::{ParquetError, Result},
    file::{
        metadata::{ParquetMetaData, RowGroupMetaData},
        serialized_reader::SerializedPageReader,
    },
};

use super::{chunk::Chunk, page::Pages};

/// One column chunk of one row group, for the reader of record batches.
#[derive(Debug)]
pub(super) struct OneChunk<'a> {
    pub(super) chunk: Chunk,
    pub(super) metadata: &'a ArrowReaderMetadata,
    pub(super) group: usize,
}

impl OneChunk<'_> {
    fn row_group(&self) -> &RowGroupMetaData {
        self.metadata.metadata().row_group(self.group)
    }
}

impl RowGroups for OneChunk<'_> {
    fn num_rows(&self) -> usize {
        self.row_group().num_rows() as usize
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        let described = self.row_group().column(column);
        let inner = SerializedPageReader::new(Arc::new(self.chunk.clone()), described, self.num_rows(), None)?;
        let seen = Pages::new(described.column_descr());
        Ok(Box::new(Once(Some(CheckedPages { inner, seen }))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.row_group()))
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }
}

/// The pages of the only row group.
struct Once(Option<CheckedPages>);

impl Iterator for Once {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(|pages| Ok(Box::new(pages) as Box<dyn PageReader>))
    }
}

impl PageIterator for Once {}

struct CheckedPages {
    inner: SerializedPageReader<Chunk>,
    seen: Pages,
}

impl Iterator for CheckedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.inner.get_next_page()?;
        match page.as_ref().map(|page| self.seen.check(page)) {
            Some(Err(reason)) => Err(ParquetError::General(reason)),
            Some(Ok(())) | None => Ok(page),
        }
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.inner.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.inner.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.inner.at_record_boundary()
    }
}
