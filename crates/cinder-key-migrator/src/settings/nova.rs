//! Another service's file: the `nova.conf` of a cell, of which only `[database] connection` counts.

use std::path::Path;

use cinder_db::audit::NovaCell;
use key_audit::ephemeral_disks::Cell;
use oslo_config::{Environment, Input, Search, Sources};

use super::default::Machine;
use super::{Faults, database, load};

/// Reads where the cell's database is. The environment is Cinder's and does not count.
pub(super) fn read(file: &Path, machine: &Machine, faults: &mut Faults) -> Option<Cell> {
    let sources = Sources {
        inputs: vec![Input::File(file.to_owned())],
        search: Search::new("nova", "nova-conductor", None),
        environment: Environment::new(std::iter::empty()),
    };
    let conf = match load(&sources, machine) {
        Ok(conf) => conf,
        Err(unread) => {
            faults.extend(unread);
            return None;
        }
    };
    let database = database::read(&conf, faults)?;
    Some(Cell {
        file: file.to_owned(),
        database: NovaCell::new(database.connection),
    })
}
