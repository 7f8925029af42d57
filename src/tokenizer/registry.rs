//! Which tokenizers are loaded in this process.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{Encode, loaded::Tokenizer};

#[derive(Debug)]
struct Registry {
    all: Vec<Weak<Tokenizer>>,
    /// The last one is kept, since whoever checks a transform soon makes a loader with it.
    last: Option<Arc<Tokenizer>>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { all: Vec::new(), last: None });

impl Tokenizer {
    /// Returns the tokenizer that does this, which is loaded unless it was before.
    ///
    /// # Errors
    /// The reason, which names the file, where it cannot be read, is none of a tokenizer, was changed, or draws at random;
    /// and for a truncation that leaves no room for special tokens.
    pub fn load(encode: &Encode) -> Result<Arc<Self>, String> {
        let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
        registry.all.retain(|known| known.strong_count() > 0);
        let known = registry.all.iter().filter_map(Weak::upgrade).find(|known| known.encoding() == encode);
        let found = if let Some(known) = known {
            known
        } else {
            let path = encode.file.path.display();
            let loaded = Arc::new(Self::new(encode).map_err(|what| format!("`{path}` {what}"))?);
            registry.all.push(Arc::downgrade(&loaded));
            loaded
        };
        registry.last = Some(Arc::clone(&found));
        Ok(found)
    }
}
