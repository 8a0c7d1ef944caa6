//! Glance's listing of images (glance/api/v2/images.py, `ImagesController.index`), for whoever asks:
//! no token is looked at.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Glance's `limit_param_default`.
const DEFAULT_LIMIT: usize = 25;

/// An emulated Glance on a free port of 127.0.0.1. Dropping it stops it.
#[derive(Debug)]
pub struct Glance {
    url: String,
    images: Arc<Mutex<Images>>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct Images {
    /// Glance's `api_limit_max`.
    most: usize,
    /// In the order in which they were made.
    all: Vec<Image>,
    places: HashMap<Uuid, usize>,
}

#[derive(Debug)]
struct Image {
    id: Uuid,
    hidden: bool,
    encryption_key_id: Option<String>,
}

impl Glance {
    /// Starts one without images, that gives at most so many at once.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub async fn start(most: usize) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let images = Arc::new(Mutex::new(Images {
            most,
            all: Vec::new(),
            places: HashMap::new(),
        }));
        let app = Router::new()
            .route("/v2/images", get(list))
            .with_state(Arc::clone(&images));
        let serving = tokio::spawn(async move {
            // It never ends by itself.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self {
            url,
            images,
            serving,
        })
    }

    /// Its URL without a version, as in `glance_api_servers`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Adds an image, with this `cinder_encryption_key_id` if any.
    pub fn add(&self, encryption_key_id: Option<&str>, hidden: bool) -> Uuid {
        let id = Uuid::new_v4();
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        let place = images.all.len();
        images.places.insert(id, place);
        images.all.push(Image {
            id,
            hidden,
            encryption_key_id: encryption_key_id.map(str::to_owned),
        });
        id
    }
}

impl Drop for Glance {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn list(
    State(images): State<Arc<Mutex<Images>>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let images = images.lock().unwrap_or_else(PoisonError::into_inner);
    let from = match query.get("marker") {
        None => 0,
        Some(marker) => {
            let place = marker
                .parse()
                .ok()
                .and_then(|id: Uuid| images.places.get(&id));
            let Some(place) = place else {
                return StatusCode::NOT_FOUND.into_response();
            };
            place + 1
        }
    };
    let limit = query.get("limit").and_then(|limit| limit.parse().ok());
    let limit = limit.unwrap_or(DEFAULT_LIMIT).min(images.most);
    let hidden = query
        .get("os_hidden")
        .is_some_and(|hidden| hidden == "true");
    let rest = images.all.get(from..).unwrap_or_default();
    let wanted = rest.iter().filter(|image| image.hidden == hidden);
    let page: Vec<&Image> = wanted.take(limit).collect();
    let mut body = json!({
        "images": page.iter().map(|image| described(image)).collect::<Vec<_>>(),
        "first": "/v2/images",
        "schema": "/v2/schemas/images",
    });
    if let Some(last) = page.last().filter(|_| page.len() == limit) {
        body["next"] = format!("/v2/images?marker={}", last.id).into();
    }
    axum::Json(body).into_response()
}

fn described(image: &Image) -> Value {
    let mut described = json!({
        "id": image.id,
        "name": "image",
        "status": "active",
        "visibility": "private",
        "os_hidden": image.hidden,
        "disk_format": "raw",
        "container_format": "bare",
        "size": 1_073_741_824,
        "min_disk": 1,
        "min_ram": 0,
        "protected": false,
        "tags": [],
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "self": format!("/v2/images/{}", image.id),
        "file": format!("/v2/images/{}/file", image.id),
        "schema": "/v2/schemas/image",
    });
    if let Some(key) = &image.encryption_key_id {
        described["cinder_encryption_key_id"] = key.as_str().into();
        described["cinder_encryption_key_deletion_policy"] = "on_image_deletion".into();
    }
    described
}
