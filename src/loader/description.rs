//! What a loader is to be, as one value.

use serde::{Deserialize, Serialize};

use crate::{field::Recipe, job::Options};

/// All but the source that makes a [`Builder`](crate::loader::Builder), as data: what another language gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Description {
    /// What is made of the samples.
    pub recipe: Recipe,
    /// How samples become batches.
    pub options: Options,
    /// How many batches may be finished ahead of the one in the trainer's hands.
    pub prefetch: usize,
    /// How large everything that is buffered may become, in bytes.
    pub memory_limit: u64,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::job::OnError;

    const JSON: &str = r#"{
        "recipe": {
            "transforms": {"image": [{"op": "CenterCrop", "size": [224]}]},
            "batch_transforms": [{"op": "MixUp", "num_classes": 10}],
            "capacity": {"boxes": 9},
            "draws": {"other": "image"}
        },
        "options": {
            "batch_size": 64, "shuffle": true, "seed": 18446744073709551615, "drop_last": true, "even": "drop",
            "rank": 1, "world_size": 2, "num_workers": 3, "threads_per_worker": 4, "on_error": "skip", "stall_timeout": 0.25
        },
        "prefetch": 5,
        "memory_limit": 6
    }"#;

    fn message<T: std::fmt::Debug>(result: Result<T, impl std::fmt::Display>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_description_is_exact_and_complete() {
        let description: Description = serde_json::from_str(JSON).unwrap();
        assert_eq!(description.options.seed, u64::MAX);
        assert_eq!(description.options.stall_timeout, Duration::from_millis(250));
        assert_eq!(description.options.on_error, OnError::Skip);
        let longest = Description {
            options: Options { stall_timeout: Duration::MAX, ..description.options.clone() },
            ..description.clone()
        };
        for description in [description, longest] {
            let json = serde_json::to_string(&description).unwrap();
            assert_eq!(serde_json::from_str::<Description>(&json).unwrap(), description);
        }
    }

    #[test]
    fn what_is_misspelt_or_out_of_range_is_refused() {
        let changed = |from, to| message(serde_json::from_str::<Description>(&JSON.replacen(from, to, 1)));
        assert!(changed("prefetch", "prefech").contains("unknown field `prefech`"));
        assert!(changed("draws", "draw").contains("unknown field `draw`"));
        assert!(changed("drop_last", "droplast").contains("unknown field `droplast`"));
        assert!(changed("18446744073709551615", "18446744073709551616").contains("expected u64"));
        assert!(changed("0.25", "-0.25").contains("-0.25 seconds"));
        assert!(changed("skip", "ignore").contains("unknown variant `ignore`"));
    }
}
