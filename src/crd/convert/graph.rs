//! The names of tasks and the edges between them: doubles, strangers, cycles, and who comes before whom.

use std::collections::{BTreeMap, VecDeque};

use crate::crd::convert::Source;
use crate::crd::finding::{Remark, Remarks, quoted};
use crate::crd::near;
use crate::model::expr::{CEL_RESERVED, cel_name};
use crate::model::workflow::limits;

/// Names drawn of a cycle; the rest is counted.
const DRAWN_MAX: usize = 12;
/// Cycles reported of one workflow.
const CYCLES_MAX: usize = 10;

/// The tasks as nodes: a task's number is its place over tasks, then finally.
pub(super) struct Graph {
    /// Number by name in CEL.
    by_cel_name: BTreeMap<String, usize>,
    /// Upstreams of each task; edges that were remarked upon are left out.
    pub(super) upstreams: Vec<Vec<usize>>,
    /// All that come before a task, as bits; none when that is not known.
    ancestors: Vec<Option<Vec<u64>>>,
}

impl Graph {
    /// Reads names and dependencies and remarks on what is wrong with them.
    pub(super) fn read(source: &Source<'_>, remarks: &mut Remarks) -> Self {
        let by_name = names(source, remarks);
        let by_cel_name = by_name.iter().map(|(name, &no)| (cel_name(name), no)).collect();
        let upstreams: Vec<Vec<usize>> =
            (0..source.tasks.len()).map(|no| edges(source, &by_name, no, remarks)).collect();
        let order = sorted(&upstreams);
        if order.len() < upstreams.len() {
            cycles(source, &upstreams, &order, remarks);
        }
        let ancestors = ancestors(source, &upstreams, &order);
        Self { by_cel_name, upstreams, ancestors }
    }

    /// The task that expressions call `cel_name`.
    pub(super) fn task(&self, cel_name: &str) -> Option<usize> {
        self.by_cel_name.get(cel_name).copied()
    }

    /// All names in CEL.
    pub(super) fn cel_names(&self) -> impl Iterator<Item = &str> {
        self.by_cel_name.keys().map(String::as_str)
    }

    /// Whether `before` comes before `no`; None when a finding left that open.
    pub(super) fn is_ancestor(&self, before: usize, no: usize) -> Option<bool> {
        let bits = self.ancestors.get(no)?.as_ref()?;
        bits.get(before / 64).map(|word| word >> (before % 64) & 1 == 1)
    }
}

fn names<'a>(source: &Source<'a>, remarks: &mut Remarks) -> BTreeMap<&'a str, usize> {
    let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
    let mut by_cel: BTreeMap<String, usize> = BTreeMap::new();
    for (no, task) in source.tasks.iter().enumerate() {
        let at = task.at.field("name");
        let name = task.spec.name.as_str();
        let cel = cel_name(name);
        if CEL_RESERVED.contains(&cel.as_str()) {
            let reason = format!("{} is a word that CEL keeps for itself", quoted(name));
            remarks.at(&at, reason, Some(format!("for example {:?}", format!("{name}-task"))));
        }
        if let Some(&first) = by_cel.get(&cel) {
            let other = &source.tasks[first];
            let there = other.at.field("name").told();
            let reason = if other.spec.name == name {
                format!("a second task called {}, the first is {there}", quoted(name))
            } else {
                format!(
                    "in expressions {} and {} ({there}) are the same name",
                    quoted(name),
                    quoted(&other.spec.name)
                )
            };
            remarks.at(&at, reason, Some("names are unique over tasks and finally: rename one".to_string()));
            continue;
        }
        by_name.insert(name, no);
        by_cel.insert(cel, no);
    }
    if source.tasks.len() > limits::TASKS {
        let reason = format!("{} tasks with finally, and {} are allowed", source.tasks.len(), limits::TASKS);
        remarks.at(&source.spec_at.field("tasks"), reason, Some("use forEach for what repeats".to_string()));
    }
    by_name
}

/// The upstreams of one task, each once.
fn edges(
    source: &Source<'_>,
    by_name: &BTreeMap<&str, usize>,
    no: usize,
    remarks: &mut Remarks,
) -> Vec<usize> {
    let task = &source.tasks[no];
    let list = task.at.field("dependsOn");
    let mut upstreams: Vec<usize> = Vec::new();
    let mut named = vec![false; source.tasks.len()];
    for (place, name) in task.spec.depends_on.iter().enumerate() {
        let (reason, fix) = match by_name.get(name.as_str()) {
            Some(&up) if up == no => {
                ("a task cannot depend on itself".to_string(), Some("remove it".to_string()))
            }
            Some(&up) if source.tasks[up].finally && !task.finally => {
                let fix = Some("finally comes after all tasks: move one of the two".to_string());
                (format!("{} is a finally task", quoted(name)), fix)
            }
            Some(&up) if !source.tasks[up].finally && task.finally => {
                let fix = "a finally task starts after all tasks anyway: remove it".to_string();
                (format!("{} is not a finally task", quoted(name)), Some(fix))
            }
            Some(&up) if named[up] => {
                (format!("{} is named twice", quoted(name)), Some("remove one".to_string()))
            }
            Some(&up) => {
                named[up] = true;
                upstreams.push(up);
                continue;
            }
            // Who the stranger is may be in a task that was taken out for another finding.
            None if source.lost_task(name) => continue,
            None => {
                let fix = remarks.affords_advice().then(|| near::did_you_mean(name, by_name.keys().copied()));
                (format!("unknown task {}", quoted(name)), fix.flatten())
            }
        };
        remarks.at(&list.item(place), reason, fix);
    }
    upstreams
}

/// Numbers in an order in which each comes after its upstreams; those on or behind a cycle are missing.
fn sorted(upstreams: &[Vec<usize>]) -> Vec<usize> {
    let mut open: Vec<usize> = upstreams.iter().map(Vec::len).collect();
    let mut downstreams = vec![Vec::new(); upstreams.len()];
    for (no, ups) in upstreams.iter().enumerate() {
        ups.iter().for_each(|&up| downstreams[up].push(no));
    }
    let mut ready: VecDeque<usize> = (0..open.len()).filter(|&no| open[no] == 0).collect();
    let mut order = Vec::with_capacity(open.len());
    while let Some(no) = ready.pop_front() {
        order.push(no);
        for &down in &downstreams[no] {
            open[down] -= 1;
            if open[down] == 0 {
                ready.push_back(down);
            }
        }
    }
    order
}

/// Walks upstream from each task that could not be sorted: such a walk always meets itself again.
fn cycles(source: &Source<'_>, upstreams: &[Vec<usize>], order: &[usize], remarks: &mut Remarks) {
    let mut seen = vec![false; upstreams.len()];
    order.iter().for_each(|&no| seen[no] = true);
    let sorted = seen.clone();
    let mut found = 0;
    for start in 0..upstreams.len() {
        let mut walk: Vec<usize> = Vec::new();
        let mut at = start;
        while !seen[at] && found < CYCLES_MAX {
            seen[at] = true;
            walk.push(at);
            let Some(&next) = upstreams[at].iter().find(|&&up| !sorted[up]) else { break };
            if let Some(begin) = walk.iter().position(|&no| no == next) {
                draw(source, &walk[begin..], remarks);
                found += 1;
            }
            at = next;
        }
    }
}

fn draw(source: &Source<'_>, cycle: &[usize], remarks: &mut Remarks) {
    let first = cycle.iter().enumerate().min_by_key(|(_, no)| **no).map_or(0, |(place, _)| place);
    let turned: Vec<usize> = cycle[first..].iter().chain(&cycle[..first]).copied().collect();
    let name = |no: &usize| source.tasks[*no].spec.name.as_str();
    let mut drawn: Vec<&str> = turned.iter().take(DRAWN_MAX).map(name).collect();
    if turned.len() > DRAWN_MAX {
        drawn.push("...");
    }
    drawn.push(name(&turned[0]));
    let next = name(&turned[1 % turned.len()]);
    let task = &source.tasks[turned[0]];
    let place = task.spec.depends_on.iter().position(|up| up == next).unwrap_or(0);
    let at = task.at.field("dependsOn").item(place);
    let reason = format!("a cycle, each waits for the next: {}", drawn.join(" -> "));
    let fix = Some("take out one of these dependencies".to_string());
    remarks.push(Remark { at: at.at, path: at.path, reason, fix });
}

fn ancestors(source: &Source<'_>, upstreams: &[Vec<usize>], order: &[usize]) -> Vec<Option<Vec<u64>>> {
    let words = upstreams.len().div_ceil(64);
    let mut known: Vec<Option<Vec<u64>>> = vec![None; upstreams.len()];
    for &no in order {
        let at = &source.tasks[no].at;
        // Some upstreams were taken out or are unknown: whatever is said of this task could be wrong.
        let list_lost = at.lost("dependsOn") || at.field("dependsOn").lost_any();
        if list_lost || upstreams[no].len() < source.tasks[no].spec.depends_on.len() {
            continue;
        }
        let mut bits = Some(vec![0_u64; words]);
        for &up in &upstreams[no] {
            bits = match (bits, &known[up]) {
                (Some(mut bits), Some(above)) => {
                    bits.iter_mut().zip(above).for_each(|(word, more)| *word |= more);
                    bits[up / 64] |= 1 << (up % 64);
                    Some(bits)
                }
                _ => None,
            };
        }
        known[no] = bits;
    }
    known
}
