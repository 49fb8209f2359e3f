//! What runs while things die: diamonds with a wide forEach in the middle, of short tasks that write down what they do.

use std::path::PathBuf;

use super::house::House;
use crate::cluster::kubectl::well;

/// Items of a run.
const ITEMS: usize = 250;
/// Tasks of a run that a worker runs: the items, and five around them.
const TASKS: usize = ITEMS + 5;
/// So many tasks are open at least while things die.
const OPEN: usize = 2_000;

/// Each task writes a line when it starts and one when it ends, each in one call.
const WORKFLOW: &str = r#"
apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: flight}
spec:
  pool: pool
  params: [{name: items, type: array}]
  tasks:
    - {name: first, env: &env [{name: LEDGER, value: 'PATH'}], script: &script 'SCRIPT'}
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
    - {name: last, dependsOn: [each], env: *env, script: *script}
"#;
const SAY: &str = r#"say() { echo "$RELAY_RUN $RELAY_TASK ${RELAY_INDEX:--} $RELAY_ATTEMPT $1 $(date +%s%N)" >> "$LEDGER"; }; say start; "#;

/// The runs that were made in this round.
pub struct Load {
    pub ledger: PathBuf,
    pub names: Vec<String>,
    round: usize,
}

impl Load {
    /// Its Workflow is there, and no run.
    pub fn new(house: &House) -> Load {
        let ledger = house.folder.path().join("ledger");
        let script = format!("{SAY}sleep 0.2; say end");
        let fails = format!("{SAY}[ $RELAY_ATTEMPT -gt 1 ] || exit 3; say end");
        let path = ledger.display().to_string();
        let quoted = |text: &str| text.replace('\'', "''");
        let workflow = WORKFLOW.replace("PATH", &path).replace("SCRIPT", &quoted(&script));
        house.apply(&workflow.replace("FAILS", &quoted(&fails)));
        std::fs::write(&ledger, "").expect("a ledger");
        Load { ledger, names: Vec::new(), round: 0 }
    }

    /// A new round: what was before is over, and its objects go.
    pub fn next_round(&mut self, house: &House) {
        let mut delete = house.control.kubectl();
        delete.args(["-n", &house.namespace, "delete", "runs", "--all", "--wait=false"]);
        well(delete.output().expect("kubectl starts"));
        std::fs::write(&self.ledger, "").expect("a ledger");
        self.names.clear();
        self.round += 1;
    }

    /// Which runs are of this round, as a condition on the table of runs.
    pub fn own(&self) -> String {
        format!("r.namespace = 'chaos' and r.name like 'flight-{}-%'", self.round)
    }

    /// Makes runs until enough is open.
    pub fn top_up(&mut self, house: &House) {
        let done = house.number(&format!(
            "select count(*) from task_runs t join runs r on r.id = t.run_id where t.status = 'SUCCESS' and {}", self.own()
        )).unwrap_or(0);
        let open = (self.names.len() * TASKS).saturating_sub(usize::try_from(done).unwrap_or(0));
        let missing = OPEN.saturating_sub(open).div_ceil(TASKS);
        let items: Vec<String> = (0..ITEMS).map(|n| n.to_string()).collect();
        let mut manifests = String::new();
        for _ in 0..missing {
            let name = format!("flight-{}-{}", self.round, self.names.len());
            manifests.push_str(&format!(
                "apiVersion: relay.works/v1alpha1\nkind: Run\nmetadata: {{name: {name}}}\n\
                 spec: {{workflowRef: {{name: flight}}, params: {{items: [{}]}}}}\n---\n",
                items.join(",")
            ));
            self.names.push(name);
        }
        if !manifests.is_empty() {
            house.apply(&manifests);
        }
    }
}
