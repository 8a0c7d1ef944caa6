//! One page of images, as Glance lists them; everything that is not needed is passed over.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) images: Vec<Image>,
    /// Where the next page is, without the prefix that a proxy may have put before it; so only
    /// whether there is one counts.
    pub(super) next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Image {
    pub(super) id: String,
    #[serde(default)]
    pub(super) cinder_encryption_key_id: Option<String>,
}
