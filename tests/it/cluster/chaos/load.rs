//! What runs while things die: diamonds with a wide forEach in the middle, of short tasks that write down what they do, and
//! beside them tasks that are made at most once.

use std::time::Duration;

use super::house::House;

/// Items of a run.
const ITEMS: usize = 250;
/// Tasks of a run that are made at most once.
const AT_MOST_ONCE: usize = 10;
/// Tasks of a run that a worker runs: the items, four around them, and those made at most once.
const TASKS: usize = ITEMS + 4 + AT_MOST_ONCE;
/// The task that is made at most once, for each of its items.
pub const ONCE: &str = "once";
/// So many tasks are open at least when things die.
const OPEN: usize = 2_500;
/// So many tasks may end in a second meanwhile.
const A_SECOND: usize = 80;
/// With fewer open tasks somebody may have none.
const FEW: usize = 500;

/// Each task writes a line when it starts and one when it ends, each in one call.
const WORKFLOW: &str = r#"
apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: flight}
spec:
  pool: pool
  params: [{name: items, type: array}]
  tasks:
    - {name: first, env: &env [{name: HOUSE, value: 'PATH'}, {name: LD_PRELOAD, value: ''}], script: &script 'SCRIPT'}
    - {name: left, dependsOn: [first], env: *env, script: *script}
    - name: right
      dependsOn: [first]
      env: *env
      retry: {limit: 2, delay: 50ms}
      # Its first try fails, and tells no end.
      script: 'FAILS'
    - name: each
      dependsOn: [left, right]
      forEach: {from: params.items, as: item}
      env: *env
      script: *script
    - {name: last, dependsOn: [each], env: *env, script: 'LAST'}
    - name: once
      dependsOn: [first]
      forEach: {from: '[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]', as: item}
      onWorkerLost: Fail
      onError: Continue
      env: *env
      script: *script
"#;
const SAY: &str = r#"W=${RELAY_DIR#$HOUSE/}; say() { read -r up _ < /proc/uptime; echo "$RELAY_RUN $RELAY_TASK ${RELAY_INDEX:--} $RELAY_ATTEMPT ${W%%/*} $1 $up" >> "$HOUSE/ledger"; }; say start; "#;

/// The runs that were made in this round.
pub struct Load {
    pub names: Vec<String>,
    round: usize,
}

impl Load {
    /// Its Workflow is there, and no run.
    pub fn new(house: &mut House) -> Load {
        let script = format!("{SAY}sleep 0.2; say end");
        let fails = format!("{SAY}[ $RELAY_ATTEMPT -gt 1 ] || exit 3; say end");
        let path = house.folder.path().display().to_string();
        let quoted = |text: &str| text.replace('\'', "''");
        let workflow = WORKFLOW.replace("PATH", &path).replace("SCRIPT", &quoted(&script));
        let last = format!("echo a line of a log; {script}");
        house.apply("chaos", &workflow.replace("FAILS", &quoted(&fails)).replace("LAST", &quoted(&last)));
        std::fs::write(house.ledger(), "").expect("a ledger");
        Load { names: Vec::new(), round: 0 }
    }

    /// A new round: what was before is over, and its objects go.
    pub fn next_round(&mut self, house: &mut House) {
        house.insist(&["-n", "chaos", "delete", "runs", "--all", "--wait=false"], "");
        std::fs::write(house.ledger(), "").expect("a ledger");
        self.names.clear();
        self.round += 1;
    }

    /// How many tasks they have.
    pub fn tasks(&self) -> usize {
        self.names.len() * TASKS
    }

    /// Which runs are of this round, as a condition on the table of runs.
    pub fn own(&self) -> String {
        format!("r.namespace = 'chaos' and r.name like 'flight-{}-%'", self.round)
    }

    /// Makes runs until enough is open for something that lasts so long.
    pub fn fill(&mut self, house: &mut House, lasts: Duration) {
        self.top_up(house, OPEN + A_SECOND * lasts.as_secs() as usize);
    }

    /// Makes more runs if hardly anything is open.
    pub fn refill(&mut self, house: &mut House) {
        if self.open(house) < FEW {
            self.fill(house, Duration::ZERO);
        }
    }

    fn open(&self, house: &House) -> usize {
        let done = house.number(&format!(
            "select count(*) from task_runs t join runs r on r.id = t.run_id where t.status in ('SUCCESS', 'FAILED') and {}", self.own()
        )).unwrap_or(0);
        self.tasks().saturating_sub(usize::try_from(done).unwrap_or(0))
    }

    fn top_up(&mut self, house: &mut House, wanted: usize) {
        let missing = wanted.saturating_sub(self.open(house)).div_ceil(TASKS);
        let mut manifests = String::new();
        for _ in 0..missing {
            let name = format!("flight-{}-{}", self.round, self.names.len());
            manifests.push_str(&run(&name));
            self.names.push(name);
        }
        if !manifests.is_empty() {
            house.apply("chaos", &manifests);
        }
    }
}

/// A run of the load.
pub fn run(name: &str) -> String {
    let items: Vec<String> = (0..ITEMS).map(|n| n.to_string()).collect();
    format!(
        "apiVersion: relay.works/v1alpha1\nkind: Run\nmetadata: {{name: {name}}}\n\
         spec: {{workflowRef: {{name: flight}}, params: {{items: [{}]}}}}\n---\n",
        items.join(",")
    )
}
