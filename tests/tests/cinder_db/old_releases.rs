//! The contract of the database adapter on the tables of old releases, as their own migrations made
//! them: Queens (the first whose backups have a key), Train and Wallaby.

use anyhow::Result;
use key_migrator_tests::{CinderDatabase, Dialect, Services};

macro_rules! release {
    ($name:ident, $release:literal, $dialect:ident) => {
        mod $name {
            use super::*;

            async fn fresh() -> Result<CinderDatabase> {
                let services = Services::from_env();
                CinderDatabase::of_release(&services, Dialect::$dialect, $release).await
            }

            contract!(fresh);
        }
    };
}

release!(queens_on_mariadb, "12.0.10", MariaDb);
release!(queens_on_postgresql, "12.0.10", Postgres);
release!(queens_on_sqlite, "12.0.10", Sqlite);
release!(train_on_mariadb, "15.6.0", MariaDb);
release!(wallaby_on_postgresql, "18.2.1", Postgres);
