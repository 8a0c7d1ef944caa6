#![doc = include_str!("../README.md")]

pub mod editing;
pub mod ephemeral_disks;
pub mod evidence;
pub mod images;
pub mod old_backups;
pub mod stores;
pub mod trees;
pub mod verify;
pub mod volume_image_metadata;

mod told;
