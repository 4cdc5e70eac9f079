//! Any text as the document of the state. What is read can be written, and is then read as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ripcord::state::Document;

/// Small enough that some of the document has to be left out.
const LITTLE: usize = 700;

fuzz_target!(|text: &str| {
    let _ = Document::writer(text);
    let Ok(document) = Document::read(text) else { return };
    let Ok((whole, left_out)) = document.text(usize::MAX) else { return };
    assert_eq!(left_out, 0);
    assert_eq!(Document::read(&whole).as_ref(), Ok(&document));
    if let Ok((short, left_out)) = document.text(LITTLE) {
        assert!(left_out == 0 || short.len() <= LITTLE || short.len() <= whole.len());
        assert!(Document::read(&short).is_ok());
    }
});
