//! Listing secrets, though Barbican pages by OFFSET over a table that changes meanwhile.
//!
//! Where the next page is asked for, and why nothing is left out between two, is the matter of
//! [`course`]; here the pages are asked for and handed on.

mod course;
mod page;

use key_migration::ids::{NAME_PREFIX, RequestId, ResourceKind};
use key_migration::ports::StoredSecret;
use key_migration::reasons::Fault;
use tokio::sync::mpsc;

use self::course::{Course, Met};
use self::page::{Page, read_page};
use super::metadata::Listed;
use super::trouble::{Trouble, failing};
use super::{Ask, BarbicanKeyManager, JSON};
use crate::observer::Operation;

/// The most that Barbican gives at once, as shipped (`max_limit_paging`).
const PAGE: u64 = 100;

/// What is listed.
struct Query {
    operation: Operation,
    /// Barbican's `name` filter, an SQL LIKE pattern.
    pattern: String,
    request: RequestId,
}

/// Where the pages go.
enum Sink<'a> {
    /// Only secrets with exactly this name are kept.
    Named(&'a str, Vec<Listed>),
    /// Those whose name begins like this are passed on.
    Prefixed(&'a str, &'a mpsc::Sender<Vec<StoredSecret>>),
}

impl BarbicanKeyManager {
    /// Every secret with exactly this name, oldest first.
    pub(super) async fn find_exactly(
        &self,
        name: &str,
        request: RequestId,
    ) -> Result<Vec<StoredSecret>, Fault> {
        let query = Query {
            operation: Operation::Find,
            pattern: like_exactly(name),
            request,
        };
        let mut sink = Sink::Named(name, Vec::new());
        self.walk(&query, &mut sink).await?;
        let Sink::Named(_, mut found) = sink else {
            return Ok(Vec::new());
        };
        found.sort_by_key(|listed| (listed.created, listed.secret.id));
        found.dedup_by_key(|listed| listed.secret.id);
        Ok(found.into_iter().map(|listed| listed.secret).collect())
    }

    /// Every secret whose name was made for this kind of row.
    pub(super) async fn list_kind(
        &self,
        kind: ResourceKind,
        pages: &mpsc::Sender<Vec<StoredSecret>>,
        request: RequestId,
    ) -> Result<(), Fault> {
        let prefix = format!("{NAME_PREFIX}{kind}:");
        let query = Query {
            operation: Operation::List,
            pattern: format!("{}%", like_exactly(&prefix)),
            request,
        };
        self.walk(&query, &mut Sink::Prefixed(&prefix, pages)).await
    }

    /// Walks until nothing can have been left out, or nobody listens any more.
    async fn walk(&self, query: &Query, sink: &mut Sink<'_>) -> Result<(), Fault> {
        let mut course = Course::new(PAGE);
        loop {
            let page = self.page(query, course.offset()).await?;
            let met = course.meet(&page)?;
            if met == Met::Torn {
                continue;
            }
            if !sink.take(page.secrets).await || met == Met::End {
                return Ok(());
            }
        }
    }

    async fn page(&self, query: &Query, offset: u64) -> Result<Page, Fault> {
        let ask = Ask {
            query: vec![
                ("name", query.pattern.clone()),
                ("sort", "created:asc,name:asc".into()),
                ("limit", PAGE.to_string()),
                ("offset", offset.to_string()),
            ],
            ..Ask::get(query.operation, "secrets", JSON, query.request)
        };
        let heard = self.ask(ask).await.map_err(Trouble::into_fault)?;
        if !heard.answer.status.is_success() {
            return Err(self.verdict(&heard, &[]).into_fault());
        }
        read_page(&heard)
            .ok_or_else(|| failing("Barbican's listing of secrets cannot be read".into()))
    }
}

impl Sink<'_> {
    /// Takes what it wants of a page; answers whether it wants more.
    async fn take(&mut self, page: Vec<Listed>) -> bool {
        match self {
            Self::Named(name, found) => {
                found.extend(
                    page.into_iter()
                        .filter(|listed| listed.secret.name == *name),
                );
                true
            }
            Self::Prefixed(prefix, pages) => {
                let ours: Vec<StoredSecret> = page
                    .into_iter()
                    .map(|listed| listed.secret)
                    .filter(|secret| secret.name.starts_with(*prefix))
                    .collect();
                if ours.is_empty() {
                    return !pages.is_closed();
                }
                pages.send(ours).await.is_ok()
            }
        }
    }
}

/// A LIKE pattern for this text. Which character escapes depends on Barbican's database, and
/// Barbican decodes the name a second time, so whatever is not plain becomes `_`, any character;
/// names are compared again on our side.
fn like_exactly(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | ':' | '-' | '.' => c,
            _ => '_',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_text_whatever_escapes() {
        assert_eq!(
            like_exactly("cinder-key-migrator:v1:volume:a_b%c\\d+e é"),
            "cinder-key-migrator:v1:volume:a_b_c_d_e__"
        );
    }
}
