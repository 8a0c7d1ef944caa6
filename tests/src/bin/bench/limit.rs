//! The limit: a load generator that sends Barbican the same three requests as the program, and
//! does nothing else.
//!
//! It knows no row, keeps no record, compares nothing and starts with all its connections open.
//! What it reaches at its best concurrency is what this Barbican can serve.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use key_migrator_tests::cinder_conf::FIXED_KEY;
use key_migrator_tests::{Cloud, RealCloud, http};
use reqwest::{RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

/// What the generator sends with.
pub(crate) struct Generator {
    client: reqwest::Client,
    secrets_url: String,
    token: String,
    /// The bodies that store the secrets.
    bodies: Vec<String>,
    acl: String,
    payload: Vec<u8>,
}

impl Generator {
    /// A token of a project of its own, and the bodies for this many keys: names as long as the
    /// program's, the same payload, the same one reader.
    pub(crate) async fn new(cloud: &RealCloud, owner_id: &str, keys: usize) -> Result<Self> {
        let cinder = cloud.create_authorised_cinder_user().await?;
        let payload = hex::decode(FIXED_KEY)?;
        let body = |_| {
            let body = json!({
                "name": format!("cinder-key-migrator:v1:volume:{}", Uuid::new_v4()),
                "secret_type": "symmetric",
                "algorithm": "AES",
                "bit_length": 8 * payload.len(),
                "payload": STANDARD.encode(&payload),
                "payload_content_type": "application/octet-stream",
                "payload_content_encoding": "base64",
            });
            body.to_string()
        };
        Ok(Self {
            client: http::client(),
            secrets_url: format!("{}/v1/secrets", cloud.barbican_endpoint()),
            token: cloud.keystone().token(&cinder).await?,
            bodies: (0..keys).map(body).collect(),
            acl: json!({ "read": { "users": [owner_id] } }).to_string(),
            payload,
        })
    }

    /// Sends everything with so many keys in flight; the time from the first request to the last
    /// answer.
    pub(crate) async fn run(self, in_flight: usize) -> Result<Duration> {
        let generator = Arc::new(self);
        let next = Arc::new(AtomicUsize::new(0));
        let started = Instant::now();
        let tasks: Vec<_> = (0..in_flight)
            .map(|_| {
                let (generator, next) = (Arc::clone(&generator), Arc::clone(&next));
                tokio::spawn(async move {
                    while let Some(body) =
                        generator.bodies.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        generator.one_key(body.clone()).await?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        Ok(started.elapsed())
    }

    async fn one_key(&self, body: String) -> Result<()> {
        #[derive(Deserialize)]
        struct Stored {
            secret_ref: String,
        }
        let json = "application/json";
        let post = self
            .client
            .post(&self.secrets_url)
            .header("Accept", json)
            .header("Content-Type", json)
            .body(body);
        let stored: Stored =
            serde_json::from_slice(&self.answer(post, StatusCode::CREATED).await?)?;
        let id = stored.secret_ref.rsplit('/').next().unwrap_or_default();

        let put = self
            .client
            .put(format!("{}/{id}/acl", self.secrets_url))
            .header("Accept", json)
            .header("Content-Type", json)
            .body(self.acl.clone());
        self.answer(put, StatusCode::OK).await?;

        let get = self
            .client
            .get(format!("{}/{id}/payload", self.secrets_url))
            .header("Accept", "application/octet-stream");
        let payload = self.answer(get, StatusCode::OK).await?;
        ensure!(payload == self.payload, "Barbican gave another payload");
        Ok(())
    }

    async fn answer(&self, request: RequestBuilder, wanted: StatusCode) -> Result<Vec<u8>> {
        let response = request.header("X-Auth-Token", &self.token).send().await?;
        let status = response.status();
        let body = response.bytes().await?;
        ensure!(
            status == wanted,
            "Barbican answered {status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(body.to_vec())
    }
}

/// How many keys in flight this Barbican serves fastest, with the rate at each number tried.
pub(crate) struct Sweep {
    pub(crate) best: usize,
    pub(crate) rates: Vec<(usize, f64)>,
}

/// Tries each concurrency twice with a part of the keys, in turns.
pub(crate) async fn sweep(cloud: &RealCloud, owner_id: &str, keys: usize) -> Result<Sweep> {
    const IN_FLIGHT: [usize; 9] = [1, 2, 3, 4, 6, 8, 12, 16, 32];
    let keys = (keys / 2).max(1);
    let mut rates = IN_FLIGHT.map(|in_flight| (in_flight, 0.0));
    for _ in 0..2 {
        for (in_flight, rate) in &mut rates {
            let generator = Generator::new(cloud, owner_id, keys).await?;
            let took = generator.run(*in_flight).await?;
            *rate += per_second(keys, took) / 2.0;
        }
    }
    let best = rates.iter().max_by(|one, other| one.1.total_cmp(&other.1));
    Ok(Sweep {
        best: best.context("some were tried")?.0,
        rates: rates.to_vec(),
    })
}

/// A rate.
#[expect(clippy::cast_precision_loss, reason = "some thousands of keys")]
pub(crate) fn per_second(keys: usize, took: Duration) -> f64 {
    keys as f64 / took.as_secs_f64()
}
