//! Counts of what happened while rows were made, by name.
//!
//! Kinds of fields and sources choose the names; whatever carries the counts to the user knows none of them.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};

/// How often things happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counters(BTreeMap<Cow<'static, str>, u64>);

impl Counters {
    /// Returns counters of these names, all of them 0.
    pub fn of(names: impl IntoIterator<Item = &'static str>) -> Self {
        Self(names.into_iter().map(|name| (name.into(), 0)).collect())
    }

    /// Adds to the counter of this name. Adding 0 makes no counter: where nothing happens, nothing is kept or sent.
    pub fn add(&mut self, name: &'static str, count: u64) {
        if count > 0 {
            *self.0.entry(name.into()).or_insert(0) += count;
        }
    }

    /// Adds all counts of another list.
    pub fn merge(&mut self, other: Self) {
        for (name, count) in other.0 {
            *self.0.entry(name).or_insert(0) += count;
        }
    }

    /// Tells whether there are no counters.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Counters> for BTreeMap<String, u64> {
    fn from(counters: Counters) -> Self {
        counters.0.into_iter().map(|(name, count)| (name.into_owned(), count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_added_by_name_also_after_a_way_through_text() {
        let mut counters = Counters::of(["seen", "never"]);
        let mut more = Counters::default();
        more.add("seen", 2);
        more.add("other", 0);
        let text = serde_json::to_string(&more).unwrap();
        assert_eq!(text, r#"{"seen":2}"#);
        counters.merge(more);
        counters.merge(serde_json::from_str(&text).unwrap());
        let all: Vec<(String, u64)> = BTreeMap::from(counters).into_iter().collect();
        assert_eq!(all, [("never".into(), 0), ("seen".into(), 4)]);
    }

    #[test]
    fn nothing_counted_is_nothing_kept() {
        let mut counters = Counters::default();
        counters.add("never", 0);
        assert!(counters.is_empty());
    }
}
