//! What somebody probably meant.

/// The candidate nearest to what was written, if any is near: at most a third of the letters differ.
pub(super) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = written.to_lowercase();
    candidates
        .into_iter()
        .map(|c| (strsim::osa_distance(&lower, &c.to_lowercase()), c))
        .min()
        .filter(|(distance, c)| *distance <= c.chars().count().div_ceil(3))
        .map(|(_, c)| c)
}

/// `; did you mean "x"?`, or the list of what there is.
pub(super) fn hint(written: &str, candidates: &[&str], what: &str) -> String {
    match nearest(written, candidates.iter().copied()) {
        Some(c) => format!("; did you mean {c:?}?"),
        None if candidates.is_empty() => String::new(),
        None => format!("; {what}: {}", candidates.join(", ")),
    }
}
