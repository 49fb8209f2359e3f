//! "Did you mean": the known name nearest to a mistyped one.

/// Names longer than this are never compared: the cost is the product of the lengths.
const NAME_CHARS: usize = 64;

/// The nearest of `known`, when it is near enough to be what was meant.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    if length > NAME_CHARS {
        return None;
    }
    let folded = fold(word);
    // One slip in three letters, three slips at most; of shorter names only the case may differ.
    let allowed = (length / 3).min(3);
    let candidates = known.into_iter().filter(|name| name.chars().count() <= NAME_CHARS);
    let ranked = candidates.map(|name| (distance(&folded, &fold(name)), name));
    ranked.filter(|(distance, _)| *distance <= allowed).min().map(|(_, name)| name)
}

/// `did you mean "extract"?`
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|name| format!("did you mean {name:?}?"))
}

/// `depends_on`, `dependson` and `dependsOn` are the same slip.
fn fold(word: &str) -> Vec<char> {
    word.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// Edits (insert, delete, replace, swap of neighbours) from one to the other.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_found_and_a_stranger_is_not() {
        let tasks = ["extract", "check", "publish"];
        assert_eq!(nearest("exract", tasks), Some("extract"));
        assert_eq!(nearest("chekc", tasks), Some("check"));
        assert_eq!(nearest("notify", tasks), None);
        assert_eq!(nearest("depends_on", ["dependsOn"]), Some("dependsOn"));
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(nearest("X", ["x"]), Some("x"));
        assert_eq!(nearest(&"x".repeat(10_000), tasks), None);
    }
}
