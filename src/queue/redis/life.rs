//! Which life of Redis' content this is: the words to its one key.

use std::sync::Arc;

use redis::{Pipeline, cmd};

use crate::link::{EntryId, LinkError, Reply, keys, text};
use crate::queue::redis::{scripts, server::Server};

impl Server {
    /// The incarnation of now, made if need be: above this one, or else the one that was known by the former name; and whether
    /// it was made here.
    pub(super) async fn incarnate(
        &self,
        server: &str,
        above: &str,
        former: &str,
    ) -> Result<(Arc<str>, bool), LinkError> {
        let prefix = self.prefix();
        let mut command = scripts::INCARNATE.on(&[&keys::incarnation(prefix), &keys::announcing(prefix)]);
        // Two that are made in the same microsecond differ by this.
        let word = &uuid::Uuid::now_v7().simple().to_string()[20..];
        command.arg(server).arg(self.settings.announce.as_millis() as u64).arg(word).arg(above).arg(former);
        let mut reply = Reply::list(self.link.ask(&command).await?)?;
        Ok((reply.text()?.into(), reply.number()? == 1))
    }

    /// The incarnation under the name of before, when it is of this life of the server; or else an empty text. So an
    /// operator that replaces an older one goes on with the same books.
    ///
    /// That older one looks for its key by its own name. While it leads, nobody else does, for the pools that it leads; from
    /// then on it asks for no incarnation. If it led other pools still, and found its key gone (`forget_former`), it would
    /// begin a new incarnation for those: their books are cleared, and their workers tell what they hold. The same happens
    /// when an older version comes back. While workers are telling a new incarnation what they hold, the former one is
    /// not taken over: then a new one begins, and they tell it once more.
    pub(super) async fn former(&self, server: &str) -> Result<String, LinkError> {
        let [incarnation, announcing] = keys::former_incarnation(self.prefix());
        let mut asked = Pipeline::with_capacity(3);
        asked.cmd("HGET").arg(&incarnation).arg("id");
        asked.cmd("HGET").arg(&incarnation).arg("server");
        asked.cmd("EXISTS").arg(announcing);
        // A key of a wrong type, or none, has no text.
        let told = self
            .link
            .ask_all(&asked)
            .await?
            .into_iter()
            .map(|answer| answer.and_then(text).unwrap_or_default());
        Ok(match told.collect::<Vec<_>>().as_slice() {
            [id, of, announcing] if of == server && announcing == "0" => id.clone(),
            _ => String::new(),
        })
    }

    /// Is Redis' content another one than is known here? Whatever is asked next finds out which.
    pub(super) async fn is_in_another_life(&self) -> bool {
        let id = match self.link.ask(cmd("HGET").arg(keys::incarnation(self.prefix())).arg("id")).await {
            Ok(id) => text(id).ok(),
            // A key of a wrong type is none.
            Err(LinkError::Refused(_)) => None,
            // That Redis is away is heard by whoever waits for reports.
            Err(_) => return false,
        };
        let mut known = self.known();
        let another = known.incarnation.is_some() && known.incarnation.as_deref() != id.as_deref();
        if another {
            known.checked = None;
        }
        another
    }

    /// Did a life begin since the books were last looked at?
    pub(super) fn began_anew(&self) -> bool {
        let known = self.known();
        known.looked_at.is_some() && known.looked_at != known.incarnation
    }

    /// What was known under the names of before is known under those of now.
    pub(super) async fn forget_former(&self) -> Result<(), LinkError> {
        let mut commands = Pipeline::with_capacity(2);
        for key in keys::former_incarnation(self.prefix()) {
            commands.cmd("DEL").arg(key);
        }
        self.link.ask_all(&commands).await?.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
    }

    /// The newest entry in the stream of new pools.
    pub(super) async fn newest_change(&self) -> Result<EntryId, LinkError> {
        let mut command = cmd("XREVRANGE");
        command.arg(keys::pools_changed(self.prefix())).arg("+").arg("-").arg("COUNT").arg(1);
        let mut entries = Reply::list(self.link.ask(&command).await?)?;
        if entries.left() == 0 {
            return Ok(EntryId::default());
        }
        let id = entries.inner()?.text()?;
        id.parse().map_err(|()| LinkError::Unexpected("an entry's id"))
    }
}
