//! Names that live as long as the process.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::engine::Name;

/// All of them, each once.
static NAMES: Mutex<BTreeSet<Name>> = Mutex::new(BTreeSet::new());

/// The name, kept for as long as the process lives: a tick says it without a copy. It is for names of guards and triggers, which are few
/// and the same after a reload; what comes from outside again and again would fill the memory.
pub fn lasting(name: &str) -> Name {
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let kept: Name = Box::leak(name.into());
    names.insert(kept);
    kept
}

#[cfg(test)]
mod tests {
    use super::lasting;

    #[test]
    fn a_name_is_kept_once() {
        let (one, same, other) = (lasting("lasting-1"), lasting(&String::from("lasting-1")), lasting("lasting-2"));
        assert!(std::ptr::eq(one, same));
        assert_eq!((one, other), ("lasting-1", "lasting-2"));
    }
}
