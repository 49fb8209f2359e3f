//! Many live Runs that wait for approvals, their objects watched: what they cost while nothing happens, and how soon an
//! operator that was restarted in order has all of them again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use relay::crd::schema::Kind;
use relay::model::time::later;
use relay::operator::api;
use relay::store::postgres::yardstick;
use serde_json::json;

use super::figures::Figures;
use super::stage::{CREATORS, Stage};
use super::watched::Watched;

/// Runs, unless `RELAY_BENCH_OBJECTS` says otherwise.
const RUNS: usize = 10_000;
/// How long nothing happens, before it is looked at and while it is.
const REST: Duration = Duration::from_secs(60);
/// What was written is told by each connection within ten seconds after it became idle.
const COUNTED: Duration = Duration::from_secs(11);
/// What leadership writes, second by second.
const OF_LEADERSHIP: &str = "shards";

/// What may be: megabytes, per cent of a core, rows a minute (one of the worker that is there), API writes, seconds.
const MEMORY: f64 = 120.0;
const WORKED: f64 = 2.0;
const ROWS: f64 = 1.0;
const WRITES: f64 = 0.0;
const AWAY: f64 = 3.0;

/// The first of ten tasks asks, then four beside each other, four behind these, and one.
const ASKING: &str = "
apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: asking}
spec:
  pool: pool
  params: [{name: version}, {name: region, default: eu-central-1}]
  tasks:
    - {name: build, approval: {message: 'Publish $(params.version) in $(params.region)?'}, command: ['true']}
    - {name: test-1, dependsOn: [build], command: ['true', $(params.version)]}
    - {name: test-2, dependsOn: [build], command: ['true', $(params.version)]}
    - {name: test-3, dependsOn: [build], command: ['true', $(params.version)]}
    - {name: test-4, dependsOn: [build], command: ['true', $(params.version)]}
    - {name: ship-1, dependsOn: [test-1], command: ['true', $(params.region)]}
    - {name: ship-2, dependsOn: [test-2], command: ['true', $(params.region)]}
    - {name: ship-3, dependsOn: [test-3], command: ['true', $(params.region)]}
    - {name: ship-4, dependsOn: [test-4], command: ['true', $(params.region)]}
    - {name: report, dependsOn: [ship-1, ship-2, ship-3, ship-4], command: ['true']}
";

/// What the operator did while nothing was to be done.
struct Idle {
    /// Megabytes, before that.
    resident: f64,
    /// The most that it ever was.
    peak: f64,
    /// Of one core, per cent.
    worked: f64,
    /// Rows a minute, but leadership's.
    rows: f64,
    /// Leadership's.
    leading: f64,
    /// Calls that change anything.
    writes: u64,
    /// In words.
    said: String,
}

/// How long after the word to end ...
struct Back {
    /// ... the process was gone.
    gone: f64,
    /// ... the next one said that it is ready.
    ready: f64,
    /// ... everything went on that had been asked for meanwhile.
    live: f64,
}

/// The figures. Nothing else should run on the machine.
pub fn measure(program: PathBuf, figures: &mut Figures) {
    let runs = std::env::var("RELAY_BENCH_OBJECTS").ok().filter(|text| !text.is_empty());
    let runs: usize = runs.map_or(RUNS, |text| text.parse().expect("RELAY_BENCH_OBJECTS is a number"));
    if runs == 0 {
        return;
    }
    let mut stage = Stage::start(Some(program));
    stage.define("asking", ASKING);
    let without = stage.idle();
    let bare = stage.restart("bare", None);
    let loaded = stage.load(runs);
    let idle = stage.idle();
    let back = stage.restart("back", Some(&name_of(runs - 1)));
    let again = stage.idle();

    figures
        .say(&format!("{runs} Runs of 10 tasks were created, and their statuses told, within {loaded:.0?}"));
    let mut tell = |what: &str, unit: &str, value: f64, bound: (f64, f64)| {
        figures.bounded(&format!("{runs} live Runs: {what}"), unit, value, bound);
    };
    tell("resident, 60 s later", "MB", idle.resident, (without.resident, MEMORY));
    tell("resident at most, while they came", "MB", idle.peak, (without.peak, MEMORY));
    tell("idle, of a core", "%", idle.worked, (without.worked, WORKED));
    tell("idle, rows a minute but leadership's", "rows", idle.rows, (without.rows, ROWS));
    tell("idle, API writes within 60 s", "calls", idle.writes as f64, (without.writes as f64, WRITES));
    tell("an orderly end", "s", back.gone, (bare.gone, AWAY));
    tell("ready after it", "s", back.ready, (bare.ready, AWAY));
    tell("live after it", "s", back.live, (bare.live, AWAY));
    tell("resident after it, 60 s later", "MB", again.resident, (without.resident, MEMORY));
    tell("resident at most after it", "MB", again.peak, (without.peak, MEMORY));
    tell("idle after it, of a core", "%", again.worked, (without.worked, WORKED));
    tell("idle after it, API writes", "calls", again.writes as f64, (without.writes as f64, WRITES));
    for (when, idle) in [("without runs", &without), ("idle", &idle), ("after the restart", &again)] {
        figures.say(&format!("{when}: leadership wrote {:.0} rows a minute; {}", idle.leading, idle.said));
    }
}

/// The last one in the order of names is the last that a list tells of.
fn name_of(number: usize) -> String {
    format!("many-{number:06}")
}

impl Stage {
    /// Creates them; comes back when each is told to wait for its approval, and nothing is written any longer.
    fn load(&self, runs: usize) -> Duration {
        let began = Instant::now();
        self.runtime.block_on(async {
            let watched = Watched::open(self.runs.clone()).await;
            let all = stream::iter(0..runs).map(|number| self.create_asking(number));
            all.buffer_unordered(CREATORS).collect::<Vec<()>>().await;
            watched.until("many-", runs, |seen| seen.asks).await;
        });
        let took = began.elapsed();
        self.calls();
        took
    }

    async fn create_asking(&self, number: usize) {
        let mut object =
            DynamicObject::new(&name_of(number), &api::resource(Kind::Run)).data(json!({"spec": {
                "workflowRef": {"name": "asking"},
                "params": {"version": format!("1.{number}.0"), "region": "eu-west-1"},
            }}));
        let labels =
            [("app.kubernetes.io/name", "shop".to_owned()), ("team", format!("team-{}", number % 40))];
        object.metadata.labels = Some(labels.map(|(key, value)| (key.to_owned(), value)).into());
        self.runs.create(&PostParams::default(), &object).await.expect("created");
    }

    fn idle(&self) -> Idle {
        self.rest(REST);
        let (resident, peak) = self.operator.memory();
        let before = (Instant::now(), self.operator.worked(), self.written(), self.asked());
        self.rest(REST);
        let worked = self.operator.worked() - before.1;
        let passed = before.0.elapsed();
        let writes = self.asked().since(&before.3).changes();
        self.rest(COUNTED);
        let minutes = (passed + COUNTED).as_secs_f64() / 60.0;
        let grown = |(table, now): (String, i64)| {
            let grown = now - before.2.get(&table).copied().unwrap_or_default();
            (grown > 0).then_some((table, grown as f64 / minutes))
        };
        let mut rows: BTreeMap<String, f64> = self.written().into_iter().filter_map(grown).collect();
        let leading = rows.remove(OF_LEADERSHIP).unwrap_or_default();
        let tables: Vec<String> = rows.iter().map(|(table, rows)| format!("{rows:.1} {table}")).collect();
        Idle {
            resident,
            peak,
            worked: worked.as_secs_f64() / passed.as_secs_f64() * 100.0,
            rows: rows.values().fold(0.0, |all, rows| all + rows),
            leading,
            writes: writes.count(),
            said: format!("other rows: [{}]; API writes: [{writes}]", tables.join(", ")),
        }
    }

    /// Rows written so far, by table.
    fn written(&self) -> BTreeMap<String, i64> {
        let tables = self.runtime.block_on(yardstick::tables(&self.postgres_url())).expect("tables");
        tables.into_iter().map(|table| (table.name, table.written)).collect()
    }

    fn rest(&self, time: Duration) {
        self.runtime.block_on(self.clock.sleep_until(later(self.clock.now(), time)));
    }

    /// Ends the operator in order and starts it again. While it is away a Run is created, and another one approved.
    fn restart(&mut self, new: &str, asking: Option<&str>) -> Back {
        let watched = self.runtime.block_on(Watched::open(self.runs.clone()));
        let began = Instant::now();
        self.operator.end();
        let gone = began.elapsed();
        self.operator.start_again();
        let (ready, live) = self.runtime.block_on(async {
            let wishes = async {
                self.create(new, "one").await;
                if let Some(run) = asking {
                    let word =
                        json!({"metadata": {"annotations": {"approval.relay.works/build": "approved"}}});
                    let patch = Patch::Merge(&word);
                    self.runs.patch(run, &PatchParams::default(), &patch).await.expect("approved");
                    watched.until(run, 1, |seen| seen.finished.is_some()).await;
                }
                watched.until(new, 1, |seen| seen.finished.is_some()).await;
                began.elapsed()
            };
            let ready = async {
                self.operator.ready().await;
                began.elapsed()
            };
            tokio::join!(ready, wishes)
        });
        let [gone, ready, live] = [gone, ready, live].map(|time| time.as_secs_f64());
        Back { gone, ready, live }
    }
}
