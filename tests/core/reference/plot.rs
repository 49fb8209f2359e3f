//! Generated workflows, as data that the model reads and as text that the story tests read too.

use proptest::prelude::*;

/// What `when` comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    Absent,
    True,
    False,
    Error,
}

/// A task. Times are in seconds; 0 means none.
#[derive(Clone, Debug)]
pub struct PlotTask {
    pub ups: Vec<usize>,
    pub finally: bool,
    pub gate: bool,
    pub when: When,
    pub items: Option<usize>,
    pub item_max: u32,
    pub item_fail_fast: bool,
    pub retry: u32,
    pub delay: u64,
    /// People who must say yes.
    pub ask: u32,
    pub within: Option<u64>,
    pub else_skip: bool,
    /// `onError: Continue`.
    pub carry_on: bool,
}

/// A workflow: tasks, then finally.
#[derive(Clone, Debug)]
pub struct Plot {
    pub tasks: Vec<PlotTask>,
    pub fail_fast: bool,
    pub max_parallel: u32,
    pub timeout: Option<u64>,
    pub finally_timeout: Option<u64>,
}

impl PlotTask {
    fn text(&self, no: usize) -> String {
        let mut options: Vec<String> = Vec::new();
        let mut push = |wanted: bool, text: String| wanted.then(|| options.push(text));
        push(self.finally, "finally".to_owned());
        push(self.gate, "gate".to_owned());
        push(self.when == When::True, "when=params.n==2".to_owned());
        push(self.when == When::False, "when=params.n==3".to_owned());
        push(self.when == When::Error, "when=params.missing".to_owned());
        if let Some(items) = self.items {
            push(true, format!("for={:?}", (0..items).collect::<Vec<_>>()).replace(' ', ""));
            push(self.item_max > 0, format!("max={}", self.item_max));
            push(self.item_fail_fast, "failFast".to_owned());
        }
        push(self.retry > 0, format!("retry={}", self.retry));
        push(self.delay > 0, format!("delay={}s", self.delay));
        if self.ask > 0 {
            push(true, format!("ask={}", self.ask));
            push(self.within.is_some(), format!("within={}s", self.within.unwrap_or(0)));
            push(self.else_skip, "elseSkip".to_owned());
        }
        push(self.carry_on, "continue".to_owned());
        format!("t{no}({})", options.join(" "))
    }
}

impl Plot {
    /// The same as text for `workflow`.
    pub fn text(&self) -> String {
        let mut parts: Vec<String> = self.tasks.iter().enumerate().map(|(no, t)| t.text(no)).collect();
        for (no, task) in self.tasks.iter().enumerate() {
            parts.extend(task.ups.iter().map(|up| format!("t{up} -> t{no}")));
        }
        let mut options: Vec<String> = Vec::new();
        let mut push = |wanted: bool, text: String| wanted.then(|| options.push(text));
        push(self.fail_fast, "failFast".to_owned());
        push(self.max_parallel > 0, format!("maxParallel={}", self.max_parallel));
        push(self.timeout.is_some(), format!("timeout={}s", self.timeout.unwrap_or(0)));
        push(
            self.finally_timeout.is_some(),
            format!("finallyTimeout={}s", self.finally_timeout.unwrap_or(0)),
        );
        parts.push(format!("! {}", options.join(" ")));
        parts.join("; ")
    }
}

fn rarely<T: Clone + std::fmt::Debug + 'static>(
    often: T,
    seldom: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<T> {
    prop_oneof![4 => Just(often), 1 => seldom].boxed()
}

fn task() -> impl Strategy<Value = (PlotTask, u16)> {
    let when = prop_oneof![6 => Just(When::Absent), 2 => Just(When::True), 1 => Just(When::False), 1 => Just(When::Error)];
    let items = prop_oneof![3 => Just(None), 1 => (0usize..=6).prop_map(Some)];
    let each = (items, 0u32..=3, any::<bool>());
    let tries = (0u32..=2, prop_oneof![Just(0u64), Just(10)]);
    let ask = (rarely(0, 1u32..=2), prop_oneof![Just(None), Just(Some(60u64))], any::<bool>());
    (any::<u16>(), rarely(false, Just(true)), when, each, tries, ask, rarely(false, Just(true))).prop_map(
        |(
            ups,
            gate,
            when,
            (items, item_max, item_fail_fast),
            (retry, delay),
            (ask, within, else_skip),
            carry_on,
        )| {
            let item_fail_fast = item_fail_fast && items.is_some();
            let within = within.filter(|_| ask > 0);
            let task = PlotTask {
                ups: Vec::new(),
                finally: false,
                gate,
                when,
                items,
                item_max,
                item_fail_fast,
                retry,
                delay,
                ask,
                within,
                else_skip,
                carry_on,
            };
            (task, ups)
        },
    )
}

/// Workflows of 1 to 12 tasks.
pub fn plots() -> impl Strategy<Value = Plot> {
    let tasks = (prop::collection::vec(task(), 1..=9), prop::collection::vec(task(), 0..=3));
    let times = (rarely(None, Just(Some(300u64))), rarely(None, Just(Some(100u64))));
    (tasks, rarely(false, Just(true)), 0u32..=3, times).prop_map(
        |((main, last), fail_fast, max_parallel, (timeout, finally_timeout))| {
            let begins_finally = main.len();
            let mut tasks: Vec<PlotTask> = Vec::new();
            for (no, (mut task, ups)) in main.into_iter().chain(last).enumerate() {
                task.finally = no >= begins_finally;
                let first = if task.finally { begins_finally } else { 0 };
                // Two bits of randomness an upstream: about every fourth is one.
                task.ups = (first..no).filter(|up| (ups >> (up % 8 * 2)) & 3 == 0).collect();
                // Two failures in one event would make failFast a matter of their order.
                if fail_fast && task.when == When::Error {
                    task.when = When::True;
                }
                tasks.push(task);
            }
            Plot { tasks, fail_fast, max_parallel, timeout, finally_timeout }
        },
    )
}
