//! A look at a pool: what is there is compared with what should be, and the difference is made up.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::crd::schema::Kind;
use crate::crd::status::WorkerPoolStatus;
use crate::crd::{self, PoolObject};
use crate::model::time::later;
use crate::operator::Trouble;
use crate::operator::api::{ApiError, Object, ObjectName};
use crate::operator::merge_patch;
use crate::operator::workers::{
    Kit, acts,
    deployments::Live,
    desired::{Login, Subject, deployment, deployment_name},
    leaving::{self, Leaving},
    password::Users,
    pods::Problem,
    scale::Peak,
    secrets,
    size::{self, Plan},
    status::{self, Numbers, Verdict},
};
use crate::queue::QueueError;

/// Between two statuses of a pool at least.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// What was refused is tried again after so long, or when the pool changes.
const REFUSED_AGAIN: Duration = Duration::from_secs(60);
/// An object in the way that is about to go, or one that somebody else is to make, is looked for again after so long.
const TAKEN_AGAIN: Duration = Duration::from_secs(2);
/// Workers of another Relay are looked at again after so long, or when their pool's demand changes.
const HELD_AGAIN: Duration = Duration::from_secs(10);
/// Said of them.
const HELD: &str = "once they are idle, workers with the relay of the operator replace them";
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
    /// The Deployment as it was applied, if nothing of it was written since.
    pub(super) applied: Option<Json>,
    /// The Deployment as our own last writing left it.
    pub(super) own: Option<Live>,
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
    /// The pool is no more, and its workers may still be there.
    pub(super) leaving: Option<Leaving>,
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
    if kit.cluster.is_stopped(&name.namespace) {
        // Its workers go on with what they have, and tell it once the shard goes on.
        return Ok(());
    }
    let Some(object) = kit.mirror.get(&name) else { return leaving::gone(&kit, &name).await };
    if object.deleting {
        return Ok(());
    }
    kit.begin(&name, &object.uid);
    let found = match object.read(crd::pool_of) {
        Err(findings) => {
            Found::only(Verdict::stalled("Invalid", findings.to_string()), kit.deployments.get(&name), None)
        }
        Ok(pool) => bring(&kit, &name, &object, &pool).await?,
    };
    let said = say(&kit, &object, &found).await?;
    kit.alarms.set(&name, [found.again, said].into_iter().flatten().min());
    Ok(())
}

async fn bring(kit: &Kit, name: &ObjectName, object: &Object, pool: &PoolObject) -> Result<Found, Trouble> {
    let of = Subject { pool, uid: &object.uid };
    let live = match kit.live(name) {
        // It may be there without our labels, and so be told of to nobody.
        None => acts::find(kit, name).await?,
        known => known,
    };
    let password = kit.access.password(of);
    let url = match kit.url(of, &password) {
        Ok(url) => url,
        Err(why) => return Ok(Found::only(Verdict::stalled("RedisUrlInvalid", why), live, None)),
    };
    let login = Login { url: url.as_deref(), ca: kit.access.ca.as_deref() };
    let admitted = acts::admit(kit, name, of, &password).await;
    if let Some(live) = live.as_ref().filter(|live| live.owner.as_deref() != Some(of.uid)) {
        let what = format!("Deployment {}", deployment_name(&pool.name));
        let verdict = Verdict::name_taken(&what, live.owner.as_deref());
        return Ok(Found::only(verdict, None, Some(later(kit.clock.now(), REFUSED_AGAIN))));
    }
    let mut refusal = kit.refusal(name, object.generation);
    if refusal.is_none() {
        refusal = keep_secret(kit, object, of, login).await?;
    }
    let plan = size::plan(kit, name, of, live.as_ref()).await?;
    let slots = plan.replicas.saturating_mul(pool.spec.slots_per_worker);
    kit.outlook.keep_slots(&of.key(), usize::try_from(slots).unwrap_or(usize::MAX));
    let Applied { live, held } = match refusal {
        Some(_) => resized(kit, name, live, plan.replicas).await?,
        None => match apply(kit, object, of, (login, live.as_ref()), &plan).await? {
            Ok(applied) => applied,
            Err(refused) => {
                refusal = Some(refused);
                resized(kit, name, live, plan.replicas).await?
            }
        },
    };
    let Some(live) = live else {
        let none = || Verdict::waits("WorkersStarting", "there is no Deployment yet".to_owned());
        let (until, verdict) = refusal.map_or_else(|| (None, none()), |(until, why)| (Some(until), why));
        return Ok(Found { verdict, live: None, numbers: Some(plan.numbers), again: until });
    };
    let again = size::afterwards(kit, name, &of.key(), &plan).await;
    let verdict = match &admitted {
        Err(why) if live.ready == 0 => not_admitted(why),
        _ => status::verdict(
            &live,
            (plan.replicas, pool.spec.replicas),
            plan.numbers.wanted,
            plan.problem.as_ref(),
        ),
    };
    let verdict = if held { verdict.and(HELD) } else { verdict };
    let (until, verdict) = match refusal {
        Some((until, why)) => (Some(until), why.beside(&verdict)),
        None => (held.then(|| later(kit.clock.now(), HELD_AGAIN)), verdict),
    };
    let queue = admitted.is_err().then(|| later(kit.clock.now(), QUEUE_AGAIN));
    let again = [again, until, queue].into_iter().flatten().min();
    Ok(Found { verdict, live: Some(live), numbers: Some(plan.numbers), again })
}

/// What is said of a pool that has no worker, and whose workers would not be let in.
fn not_admitted(why: &QueueError) -> Verdict {
    match why {
        QueueError::UsersRefused(why) => Verdict::stalled("RedisUsersRefused", why.clone()),
        why => Verdict::waits("RedisUnavailable", format!("workers cannot be let into Redis yet: {why}")),
    }
}

/// Until when something is not asked for again, and what is said meanwhile.
type Refusal = (Timestamp, Verdict);

/// The Secret; why not, if it is refused.
async fn keep_secret(
    kit: &Kit,
    object: &Object,
    of: Subject<'_>,
    login: Login<'_>,
) -> Result<Option<Refusal>, Trouble> {
    let kept = match login.url {
        Some(url) => secrets::keep(kit, &object.name, of, url).await,
        None => secrets::expect(kit, &object.name, of).await,
    };
    match kept {
        Ok(None) => Ok(None),
        Ok(Some(why)) => {
            let wait = if why.stalled && login.url.is_some() { REFUSED_AGAIN } else { TAKEN_AGAIN };
            Ok(Some(kit.refuse(object, why, wait)))
        }
        Err(error) => refused(kit, object, ("SecretRefused", error)).map(Some),
    }
}

/// A Deployment as it is now.
struct Applied {
    live: Option<Live>,
    /// Its template stays one of another Relay for now.
    held: bool,
}

/// The Deployment as planned; why not, if it is refused.
async fn apply(
    kit: &Kit,
    object: &Object,
    of: Subject<'_>,
    (login, live): (Login<'_>, Option<&Live>),
    plan: &Plan,
) -> Result<Result<Applied, Refusal>, Trouble> {
    let wanted = deployment(of, &kit.settings, login, plan.replicas);
    // An upgrade of Relay alone ends no worker that holds a job, nor makes one drain.
    let other = live.filter(|live| live.pods > 0 && live.made.differs_by_relay_alone(&wanted));
    if let Some(live) = other
        && size::is_busy(kit, &of.key()).await
    {
        let live = acts::resize(kit, &object.name, live.clone(), plan.replicas).await?;
        return Ok(Ok(Applied { live: Some(live), held: true }));
    }
    match acts::deployment(kit, &object.name, wanted).await {
        Ok(live) => Ok(Ok(Applied { live: Some(live), held: false })),
        Err(error) => refused(kit, object, ("TemplateRefused", error)).map(Err),
    }
}

/// What is refused stops no scaling: the workers are those of the template that was accepted last.
async fn resized(
    kit: &Kit,
    name: &ObjectName,
    live: Option<Live>,
    replicas: u32,
) -> Result<Applied, Trouble> {
    let live = match live {
        Some(live) => Some(acts::resize(kit, name, live, replicas).await?),
        None => None,
    };
    Ok(Applied { live, held: false })
}

/// What the API server will refuse again is said to the user; anything else is trouble that may pass.
fn refused(
    kit: &Kit,
    object: &Object,
    (reason, error): (&'static str, ApiError),
) -> Result<Refusal, Trouble> {
    let ApiError::Refused(said) = error else { return Err(error.into()) };
    Ok(kit.refuse(object, Verdict::stalled(reason, said), REFUSED_AGAIN))
}

/// Writes the status if it is another; gives when to look again if it is too early for that.
async fn say(kit: &Kit, object: &Object, found: &Found) -> Result<Option<Timestamp>, Trouble> {
    let written = kit.memories().get(&object.name).and_then(|memory| memory.written.clone());
    let newest = match &written {
        Some((own, _)) if own.uid == object.uid && own.is_newer_than(object) => own,
        _ => object,
    };
    let now = kit.clock.now();
    let before: WorkerPoolStatus = newest.told();
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
        "status": merge_patch(&newest.status(), &new),
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
    /// The URL for the pool's Secret; none where somebody else makes that.
    fn url(&self, of: Subject<'_>, password: &str) -> Result<Option<String>, String> {
        match self.access.users {
            Users::External => Ok(None),
            Users::Managed | Users::Off => {
                (self.access.url_for)(&self.roster.user(&of.key()), password).map(Some)
            }
        }
    }

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
        let own = self.memories().get(name).and_then(|memory| memory.own.clone());
        match (told, own) {
            (Some(told), Some(own)) if own.generation > told.generation && own.uid == told.uid => Some(own),
            (told, own) => told.or(own),
        }
    }

    /// Remembers that something of this generation was refused.
    fn refuse(&self, object: &Object, verdict: Verdict, wait: Duration) -> Refusal {
        let until = later(self.clock.now(), wait);
        if let Some(memory) = self.memories().get_mut(&object.name) {
            memory.refused = Some((object.generation, until, verdict.clone()));
        }
        (until, verdict)
    }

    /// What was refused of this generation, while it is not asked again.
    fn refusal(&self, name: &ObjectName, generation: i64) -> Option<Refusal> {
        let now = self.clock.now();
        let memories = self.memories();
        let (of, until, verdict) = memories.get(name)?.refused.as_ref()?;
        (*of == generation && *until > now).then(|| (*until, verdict.clone()))
    }
}
