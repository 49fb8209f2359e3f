//! A forEach with many items: their starts and successes are not told one by one, but how far it is.

use crate::model::status::TaskStatus;

/// With more items than this a forEach is wide.
const WIDE: usize = 20;
/// So many times its progress is told.
const STEPS: usize = 10;

/// What has become of the items of a forEach, as far as was told.
#[derive(Debug, Default)]
pub(super) struct Wide {
    born: usize,
    ended: usize,
    bad: usize,
    /// How many had ended when progress was last told.
    told: usize,
}

impl Wide {
    pub(super) fn is_wide(&self) -> bool {
        self.born > WIDE
    }

    /// An item took an edge.
    pub(super) fn follow(&mut self, from: Option<TaskStatus>, to: TaskStatus) {
        self.born += usize::from(from.is_none());
        self.ended += usize::from(to.is_final());
        self.bad += usize::from(to.is_final() && to != TaskStatus::Success);
    }

    /// How far it is, if that is worth a line by now. The group's own end tells the end.
    pub(super) fn progress(&mut self) -> Option<String> {
        let due = self.ended >= self.told + self.born.div_ceil(STEPS);
        if !self.is_wide() || !due || self.ended >= self.born {
            return None;
        }
        self.told = self.ended;
        let bad = if self.bad > 0 { format!(", {} without SUCCESS", self.bad) } else { String::new() };
        Some(format!("{} of {} items ended{bad}", self.ended, self.born))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_items_are_ten_lines() {
        let mut group = Wide::default();
        (0..1_000).for_each(|_| group.follow(None, TaskStatus::Ready));
        let mut told = Vec::new();
        for n in 0..1_000 {
            let end = if n == 150 { TaskStatus::Failed } else { TaskStatus::Success };
            group.follow(Some(TaskStatus::Running), end);
            told.extend(group.progress());
        }
        assert_eq!(told.len(), 9, "{told:?}");
        assert_eq!(told[0], "100 of 1000 items ended");
        assert_eq!(told[8], "900 of 1000 items ended, 1 without SUCCESS");
    }

    #[test]
    fn a_few_items_need_none() {
        let mut group = Wide::default();
        (0..20).for_each(|_| group.follow(None, TaskStatus::Ready));
        group.follow(Some(TaskStatus::Running), TaskStatus::Success);
        assert!(!group.is_wide() && group.progress().is_none());
    }
}
