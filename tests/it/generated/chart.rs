//! The chart's table of values, made from the comments in values.yaml, and its copies of the CRDs.

use crate::support::{committed, read};

const README: &str = "charts/relay/README.md";
const BEGIN: &str = "<!-- generated: values -->\n";
const END: &str = "<!-- end -->";

#[test]
fn the_readme_of_the_chart_lists_its_values() {
    let rows = rows(&read("charts/relay/values.yaml"));
    assert!(rows.len() > 20, "the values were found: {rows:?}");
    let mut table = String::from("| value | default | what it is |\n|---|---|---|\n");
    for (path, default, text) in rows {
        table.push_str(&format!("| `{path}` | `{default}` | {} |\n", text.replace('|', "\\|")));
    }
    let readme = read(README);
    let (before, rest) = readme.split_once(BEGIN).expect("the mark of the beginning");
    let (_, after) = rest.split_once(END).expect("the mark of the end");
    committed(README, &format!("{before}{BEGIN}{table}{END}{after}"));
}

/// Path, default and comment of each value that has a comment.
fn rows(values: &str) -> Vec<(String, String, String)> {
    let lines: Vec<&str> = values.lines().collect();
    let mut rows = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    let mut path: Vec<(usize, &str)> = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let indent = depth(line);
        let text = line.trim();
        if let Some(words) = text.strip_prefix("# ") {
            comment.push(words);
            continue;
        }
        let Some((key, value)) = text.split_once(':') else {
            comment.clear();
            continue;
        };
        path.retain(|(depth, _)| *depth < indent);
        path.push((indent, key));
        if comment.is_empty() {
            continue;
        }
        let name: Vec<&str> = path.iter().map(|(_, key)| *key).collect();
        let inner = lines[number + 1..].iter().take_while(|next| depth(next) > indent && !next.is_empty());
        let inner: Vec<&str> = inner.map(|next| next.trim()).collect();
        let default =
            if inner.is_empty() { value.trim().to_owned() } else { format!("{{{}}}", inner.join(", ")) };
        rows.push((name.join("."), default, comment.join(" ")));
        comment.clear();
    }
    rows
}

fn depth(line: &str) -> usize {
    line.len() - line.trim_start().len()
}
