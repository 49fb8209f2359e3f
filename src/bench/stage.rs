//! Where it is measured: a database and a prefix of its own, the conductor in this process, workers as processes.

use crate::bench::{
    BenchError, Params,
    conducting::{Conducting, Post, Timing},
    crew::Crew,
    shapes::{Maker, POOL},
};
use crate::link::RedisSettings;
use crate::model::ids::ShardId;
use crate::queue::{Roster as _, redis::yardstick::Bare};
use crate::store::postgres::{migrate, yardstick};

/// What is made for the bench, and goes with it.
pub struct Place {
    database: String,
    admin_url: String,
    /// The database's URL.
    pub database_url: String,
    /// With the prefix.
    pub redis: RedisSettings,
}

impl Place {
    /// Makes the database.
    pub async fn make(params: &Params) -> Result<Place, BenchError> {
        let word = uuid::Uuid::now_v7().simple().to_string();
        let database = format!("relay_bench_{}", &word[20..]);
        let redis = RedisSettings::new(&params.redis_url)?.with_prefix(&format!("bench-{}", &word[20..]))?;
        // Before anything is made.
        Bare::new(&redis)?.ping().await?;
        let made = yardstick::create(&params.database_url, &database).await;
        let database_url = made.map_err(BenchError::NoDatabase)?;
        Ok(Place { database, admin_url: params.database_url.clone(), database_url, redis })
    }

    /// A further database, empty, for what must not meet the first one's rows; its URL.
    pub async fn further(&self) -> Result<String, BenchError> {
        self.drop_further().await?;
        Ok(yardstick::create(&self.admin_url, &self.further_name()).await?)
    }

    /// Drops it.
    pub async fn drop_further(&self) -> Result<(), BenchError> {
        Ok(yardstick::drop_database(&self.admin_url, &self.further_name()).await?)
    }

    fn further_name(&self) -> String {
        format!("{}_more", self.database)
    }

    /// Takes everything away again.
    pub async fn clear(&self) -> Result<(), BenchError> {
        let keys = Bare::new(&self.redis)?.forget().await;
        self.drop_further().await?;
        yardstick::drop_database(&self.admin_url, &self.database).await?;
        Ok(keys?)
    }
}

/// A conductor and its workers.
pub struct Stage {
    pub conducting: Conducting,
    crew: Crew,
}

impl Stage {
    /// Leads every shard, and waits for the workers.
    pub async fn open(params: &Params, place: &Place) -> Result<Stage, BenchError> {
        let mut stage = Stage::without_workers(params, place).await?;
        let password = password();
        let slots = usize::try_from(params.workers).unwrap_or(1) * usize::from(params.slots);
        stage.conducting.admit(POOL, &password, slots).await?;
        for _ in 0..params.workers {
            stage.crew.hire(params, &place.redis, (POOL, &password), params.slots)?;
        }
        let wanted = stage.crew.len();
        stage.conducting.books(|books| books.present.len() >= wanted).await?;
        Ok(stage)
    }

    /// Leads every shard, and what is to be done stays undone.
    pub async fn without_workers(params: &Params, place: &Place) -> Result<Stage, BenchError> {
        migrate::up(&place.database_url, None).await?;
        let post = Post {
            database_url: place.database_url.clone(),
            redis: place.redis.clone(),
            holder: "bench".to_owned(),
            shards: every_shard(),
            keeps_ends: true,
        };
        let (conducting, _) = Conducting::open(post, &params.clock, &params.compile).await?;
        Ok(Stage { conducting, crew: Crew::default() })
    }

    /// Makes so many runs at once, and waits for the end of all.
    pub async fn play(&mut self, maker: &Maker, runs: usize) -> Result<Timing, BenchError> {
        self.conducting.play(std::slice::from_ref(maker), runs).await
    }

    /// Ends everything in order.
    pub async fn close(mut self) -> Result<(), BenchError> {
        self.crew.go().await?;
        self.conducting.queue.dismiss(POOL).await?;
        self.conducting.close().await
    }
}

/// Of a pool's user, for as long as the bench lasts.
pub fn password() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// Everything is led from here.
pub fn every_shard() -> Vec<ShardId> {
    crate::conductor::every_shard().collect()
}
