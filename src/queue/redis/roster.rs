//! The keeper of pools: users, and who is told to claim nothing more.

use std::sync::Arc;

use async_trait::async_trait;

use crate::link::keys;
use crate::queue::{
    Member, QueueError, Roster,
    redis::{
        access,
        conductor::RedisQueue,
        scripts::{LEAD, MEMBERS, RETIRE},
        server::Call,
    },
};

#[async_trait]
impl Roster for RedisQueue {
    async fn admit(&self, pool: &str, password: &str) -> Result<(), QueueError> {
        let pool: Arc<str> = pool.into();
        let one = [(pool.clone(), password.to_owned())].into();
        self.server.call_one(Call::new(&pool, &LEAD)).await?;
        if self.server.makes_users {
            access::admit(&self.server.link, self.server.prefix(), &one).await?;
        }
        self.server.known().admitted.extend(one);
        Ok(())
    }

    fn user(&self, pool: &str) -> String {
        keys::user(self.server.prefix(), pool)
    }

    async fn admitted(&self) -> Result<Vec<String>, QueueError> {
        match self.server.makes_users {
            true => access::admitted(&self.server.link, self.server.prefix()).await,
            false => Ok(Vec::new()),
        }
    }

    async fn dismiss(&self, pool: &str) -> Result<(), QueueError> {
        self.server.call_one(Call::new(&pool.into(), &LEAD)).await?;
        self.server.known().admitted.remove(pool);
        match self.server.makes_users {
            true => access::dismiss(&self.server.link, self.server.prefix(), pool).await,
            false => Ok(()),
        }
    }

    async fn members(&self, pool: &str) -> Result<Vec<Member>, QueueError> {
        let mut told = self.server.call_one(Call::new(&pool.into(), &MEMBERS)).await?.rest;
        let mut members = Vec::new();
        while told.left() > 0 {
            let (worker, held, retired) = (told.text()?, told.number()?, told.number()? == 1);
            members.push(Member { worker, held: usize::try_from(held).unwrap_or(0), retired });
        }
        members.sort_by(|a, b| a.worker.cmp(&b.worker));
        Ok(members)
    }

    async fn retire(&self, pool: &str, most: usize) -> Result<usize, QueueError> {
        let call = Call::new(&pool.into(), &RETIRE).arg(most.to_string());
        let retired = self.server.call_one(call).await?.rest.number()?;
        Ok(usize::try_from(retired).unwrap_or(0))
    }

    async fn recall(&self, pool: &str) -> Result<(), QueueError> {
        self.server.call_one(Call::new(&pool.into(), &RETIRE).arg("-1")).await.map(drop)
    }
}
