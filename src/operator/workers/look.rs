//! A look at a pool: what is there is compared with what should be, and the difference is made up.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::crd::schema::Kind;
use crate::crd::status::{WorkerPoolStatus, status_of};
use crate::crd::{self, PoolObject};
use crate::model::time::later;
use crate::operator::Trouble;
use crate::operator::api::{ApiError, Object, ObjectName};
use crate::operator::merge_patch;
use crate::operator::workers::{
    Kit, acts,
    deployments::Live,
    desired::Subject,
    pods::Problem,
    scale::Peak,
    size::{self, Plan},
    status::{self, Numbers, Verdict},
};

/// Between two statuses of a pool at least.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// What was refused is tried again after so long, or when the pool changes.
const REFUSED_AGAIN: Duration = Duration::from_secs(60);
/// What the queue did not take is said again after so long.
pub(super) const QUEUE_AGAIN: Duration = Duration::from_secs(2);

/// What is remembered of a pool between two looks; after a restart it is found out again.
#[derive(Debug, Default)]
pub(super) struct Memory {
    uid: String,
    /// The password that Redis knows.
    pub(super) admitted: Option<String>,
    /// The URL in the Secret.
    pub(super) secret: Option<String>,
    /// The Deployment as it was applied, and what came of it.
    pub(super) applied: Option<(Json, Live)>,
    /// How many workers were wanted of late.
    pub(super) peak: Peak,
    /// There may be workers who were told to claim nothing.
    pub(super) retired: bool,
    /// When a way down was last looked for.
    pub(super) sought: Option<Timestamp>,
    /// When the pods were looked at last, and what was wrong with one of them.
    pub(super) pods: Option<(Timestamp, Option<Problem>)>,
    /// Since when workers are awaited.
    pub(super) starting: Option<Timestamp>,
    /// What the API server refused, for which generation, and until when it is not asked again.
    refused: Option<(i64, Timestamp, Verdict)>,
    /// Our own newest writing of the object, and when it was written.
    written: Option<(Object, Timestamp)>,
}

/// What one look found.
struct Found {
    verdict: Verdict,
    live: Option<Live>,
    numbers: Option<Numbers>,
    again: Option<Timestamp>,
}

impl Found {
    fn only(verdict: Verdict, live: Option<Live>, again: Option<Timestamp>) -> Found {
        Found { verdict, live, numbers: None, again }
    }
}

/// Brings a pool up to date.
pub(super) async fn look(kit: Arc<Kit>, name: ObjectName) -> Result<(), Trouble> {
    kit.cluster.may_write(&name.namespace)?;
    let Some(object) = kit.mirror.get(&name) else { return gone(&kit, &name).await };
    if object.deleting {
        return Ok(());
    }
    kit.begin(&name, &object.uid);
    let found = match crd::pool_of(&object.json) {
        Err(findings) => {
            Found::only(Verdict::stalled("Invalid", findings.to_string()), kit.deployments.get(&name), None)
        }
        Ok(pool) => bring(&kit, &name, &object, &pool).await?,
    };
    let said = say(&kit, &object, &found).await?;
    kit.alarms.set(&name, [found.again, said].into_iter().flatten().min());
    Ok(())
}

/// A pool that is no more: its Deployment goes with it, and its workers are let in no longer.
async fn gone(kit: &Kit, name: &ObjectName) -> Result<(), Trouble> {
    kit.alarms.set(name, None);
    // Tasks may wait for a pool that was not told of yet, or never was: then nobody was let in, or is to be shut out.
    if !kit.memories().contains_key(name) {
        return Ok(());
    }
    match kit.roster.dismiss(&name.to_string()).await {
        Ok(()) => {
            kit.memories().remove(name);
        }
        Err(error) => {
            tracing::warn!(pool = %name, error.label = error.label(), "The workers of a deleted pool cannot be shut out yet: {error}");
            kit.alarms.set(name, Some(later(kit.clock.now(), QUEUE_AGAIN)));
        }
    }
    Ok(())
}

async fn bring(kit: &Kit, name: &ObjectName, object: &Object, pool: &PoolObject) -> Result<Found, Trouble> {
    let of = Subject { pool, uid: &object.uid };
    let live = match kit.live(name) {
        // It may be there without our labels, and so be told of to nobody.
        None => acts::find(kit, name).await?,
        known => known,
    };
    if let Some(verdict) = live.as_ref().and_then(|live| somebody_elses(live, of)) {
        return Ok(Found::only(verdict, None, Some(later(kit.clock.now(), REFUSED_AGAIN))));
    }
    if let Some((until, verdict)) = kit.refusal(name, object.generation) {
        return Ok(Found::only(verdict, live, Some(until)));
    }
    let password = kit.access.password(of);
    let url = match (kit.access.url_for)(&kit.roster.user(&of.key()), &password) {
        Ok(url) => url,
        Err(why) => return Ok(Found::only(Verdict::stalled("RedisUrlInvalid", why), live, None)),
    };
    if let Err(error) = acts::secret(kit, name, of, &url).await {
        return refused(kit, object, live, ("SecretRefused", error));
    }
    let admitted = acts::admit(kit, name, of, &password).await;
    let plan = size::plan(kit, name, of, live.as_ref()).await?;
    let live = match acts::deployment(kit, name, of, &url, plan.replicas).await {
        Ok(live) => live,
        Err(error) => return refused(kit, object, live, ("TemplateRefused", error)),
    };
    let verdict = match admitted {
        Err(why) if live.ready == 0 => {
            Verdict::waits("RedisUnavailable", format!("workers cannot be let into Redis yet: {why}"))
        }
        _ => status::verdict(&live, plan.replicas, plan.numbers.wanted, plan.problem.as_ref()),
    };
    let Plan { numbers, again, .. } = plan;
    let again = if admitted_later(kit, name) { Some(later(kit.clock.now(), QUEUE_AGAIN)) } else { again };
    Ok(Found { verdict, live: Some(live), numbers: Some(numbers), again })
}

fn admitted_later(kit: &Kit, name: &ObjectName) -> bool {
    kit.memories().get(name).is_some_and(|memory| memory.admitted.is_none())
}

/// A Deployment of this name that belongs to something else is left alone.
fn somebody_elses(live: &Live, of: Subject<'_>) -> Option<Verdict> {
    match &live.owner {
        Some(owner) if owner == of.uid => None,
        Some(owner) => Some(Verdict::waits(
            "NameTaken",
            format!(
                "the Deployment relay-{} belongs to another object (uid {owner}), such as a deleted pool of this name; \
                 it must go first",
                of.pool.name
            ),
        )),
        None => Some(Verdict::stalled(
            "NameTaken",
            format!(
                "there is a Deployment relay-{0} that is not of this pool; delete it, or call the pool otherwise",
                of.pool.name
            ),
        )),
    }
}

/// What the API server will refuse again is said to the user; anything else is trouble that may pass.
fn refused(
    kit: &Kit,
    object: &Object,
    live: Option<Live>,
    (reason, error): (&'static str, ApiError),
) -> Result<Found, Trouble> {
    let ApiError::Refused(said) = error else { return Err(error.into()) };
    let verdict = Verdict::stalled(reason, said);
    let until = later(kit.clock.now(), REFUSED_AGAIN);
    if let Some(memory) = kit.memories().get_mut(&object.name) {
        memory.refused = Some((object.generation, until, verdict.clone()));
    }
    Ok(Found::only(verdict, live, Some(until)))
}

/// Writes the status if it is another; gives when to look again if it is too early for that.
async fn say(kit: &Kit, object: &Object, found: &Found) -> Result<Option<Timestamp>, Trouble> {
    let written = kit.memories().get(&object.name).and_then(|memory| memory.written.clone());
    let newest = match &written {
        Some((own, _)) if own.uid == object.uid && own.is_newer_than(object) => own,
        _ => object,
    };
    let now = kit.clock.now();
    let before: WorkerPoolStatus = status_of(&newest.json);
    let Found { verdict, live, numbers, .. } = found;
    let new = status::status(
        (&object.name.name, object.generation),
        verdict,
        (live.as_ref(), *numbers),
        &before,
        now,
    );
    if new == before {
        return Ok(None);
    }
    let next = written.as_ref().map(|(_, at)| later(*at, STATUS_EVERY)).filter(|next| *next > now);
    if next.is_some() {
        return Ok(next);
    }
    let new = serde_json::to_value(&new).map_err(|error| ApiError::Refused(error.to_string()))?;
    let patch = json!({
        "metadata": {"uid": newest.uid, "resourceVersion": newest.version},
        "status": merge_patch(newest.status(), &new),
    });
    match kit.cluster.patch_status(Kind::WorkerPool, &object.name, &patch).await {
        Ok(own) => {
            if let Some(memory) = kit.memories().get_mut(&object.name) {
                memory.written = Some((own, now));
            }
        }
        // Its newest version, or its end, is about to be told.
        Err(ApiError::Conflict(_) | ApiError::Gone(_)) => return Ok(Some(later(now, STATUS_EVERY))),
        Err(error) => return Err(error.into()),
    }
    for told in status::events(&before, verdict) {
        kit.herald.tell(&object.reference(Kind::WorkerPool), told);
    }
    Ok(None)
}

impl Kit {
    /// Remembers nothing of another pool that had this name.
    fn begin(&self, name: &ObjectName, uid: &str) {
        let mut memories = self.memories();
        let memory = memories.entry(name.clone()).or_default();
        if memory.uid != uid {
            *memory = Memory { uid: uid.to_owned(), retired: true, ..Memory::default() };
        }
    }

    /// The pool's Deployment: as told, or as we changed it if that is newer.
    fn live(&self, name: &ObjectName) -> Option<Live> {
        let told = self.deployments.get(name);
        let own = self
            .memories()
            .get(name)
            .and_then(|memory| memory.applied.as_ref().map(|(_, live)| live.clone()));
        match (told, own) {
            (Some(told), Some(own)) if own.generation > told.generation && own.uid == told.uid => Some(own),
            (told, own) => told.or(own),
        }
    }

    /// What was refused of this generation, while it is not asked again.
    fn refusal(&self, name: &ObjectName, generation: i64) -> Option<(Timestamp, Verdict)> {
        let now = self.clock.now();
        let memories = self.memories();
        let (of, until, verdict) = memories.get(name)?.refused.as_ref()?;
        (*of == generation && *until > now).then(|| (*until, verdict.clone()))
    }
}
