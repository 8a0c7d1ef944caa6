//! Glance images that take the fixed key: those that were made of an encrypted volume while Cinder
//! was on ConfKeyManager, whose clone of the key is all zeros again.

use jiff::Timestamp;
use key_migration::verdict::{Evidence, Finding};
use openstack_client::{Glance, ImageTally};

use crate::told::{Samples, counted};

/// Looks at all images. `progress` is told how many were looked at.
///
/// Where Glance cannot be asked, that is what is found.
pub async fn look(glance: &Glance, looked_at: Timestamp, progress: impl FnMut(u64)) -> Evidence {
    let mut at_zeros = Samples::default();
    let found = |image: &openstack_client::ZeroImage| {
        tracing::warn!("Image {} is on the fixed key", image.id);
        at_zeros.add(&image.id);
    };
    let (finding, message) = match glance.count_zero_images(found, progress).await {
        Err(fault) => (
            Finding::Unknown,
            format!("{}; {}", fault.message, fault.remedy),
        ),
        Ok(tally) => weigh(&tally, &at_zeros),
    };
    Evidence {
        finding,
        looked_at,
        message,
    }
}

fn weigh(tally: &ImageTally, at_zeros: &Samples) -> (Finding, String) {
    if tally.at_zeros > 0 {
        let message = format!(
            "of {} on the fixed key ({}) no volume can be made once it is gone: make a volume of \
             each, upload that as a new image after it was migrated, and delete the old one; or \
             delete it",
            counted(tally.at_zeros, "image", "images"),
            at_zeros
        );
        return (Finding::Blocking(tally.at_zeros), message);
    }
    let seen = counted(tally.seen, "image", "images");
    match &tally.only_of {
        None => (
            Finding::Clear,
            format!("{seen}, none of them on the fixed key"),
        ),
        Some(whose) => (
            Finding::Unknown,
            format!(
                "{seen}, none of them on the fixed key, but these are only those that {whose}, may \
                 see: add that role for the time of the audit, or answer for the others with \
                 `fixed-key audit --attest images`"
            ),
        ),
    }
}
