//! A database that the program reaches through something in between.

use std::ops::Deref;

use super::CinderDatabase;

/// The database, with what stands before it.
#[derive(Debug)]
pub struct Through<B> {
    database: CinderDatabase,
    _between: B,
}

impl<B> Through<B> {
    /// The same database, for a program that connects to the port of what stands before it.
    #[must_use]
    pub fn new(mut database: CinderDatabase, port: u16, instead: u16, between: B) -> Self {
        let (port, instead) = (format!(":{port}/"), format!(":{instead}/"));
        database.connection_url = database.connection_url.replace(&port, &instead);
        Self {
            database,
            _between: between,
        }
    }
}

impl<B> Deref for Through<B> {
    type Target = CinderDatabase;

    fn deref(&self) -> &CinderDatabase {
        &self.database
    }
}
