//! One page of a listing, as Barbican answers it.

use serde::Deserialize;

use super::super::Heard;
use super::super::metadata::{Listed, Metadata, date};

pub(super) struct Page {
    pub(super) secrets: Vec<Listed>,
    /// How many secrets the pattern matched when this page was made.
    pub(super) total: u64,
}

/// Reads a page; `None` where it makes no sense.
pub(super) fn read_page(heard: &Heard) -> Option<Page> {
    let body: PageBody = serde_json::from_slice(&heard.answer.body).ok()?;
    let now = date(heard);
    let secrets = body
        .secrets
        .into_iter()
        .map(|secret| secret.read(now, &heard.token))
        .collect::<Option<_>>()?;
    Some(Page {
        secrets,
        total: body.total,
    })
}

#[derive(Deserialize)]
struct PageBody {
    secrets: Vec<Metadata>,
    total: u64,
}
