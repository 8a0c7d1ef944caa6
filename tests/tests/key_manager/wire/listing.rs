//! `GET /v1/secrets`.

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::Url;
use serde_json::{Value, json};

use super::Caller;
use crate::testbed::Testbed;

contract! {
    names_are_matched_as_sql_like_does_without_regard_to_case
    a_listing_is_sorted_as_asked
    a_page_says_where_it_is_and_what_is_next
    a_page_has_ten_entries_unless_asked_and_a_hundred_at_most
    an_entry_is_the_secrets_metadata
    a_listing_shows_ones_own_project_only
}

async fn names_are_matched_as_sql_like_does_without_regard_to_case(
    cloud: &impl Testbed,
) -> Result<()> {
    let cinder = cloud.create_authorised_cinder_user().await?;
    let caller = Caller::new(cloud, &cinder).await?;
    let names = [
        "k:a_c", "k:abc", "k:A%C", "k:ABC", "other", "k:abcd", "a+b c", "a b c",
    ];
    for name in names {
        caller.store(name).await?;
    }
    let all: Vec<&str> = names.into();
    for (pattern, matched) in [
        ("k:abc", vec!["k:abc", "k:ABC"]),
        ("K:aBc", vec!["k:abc", "k:ABC"]),
        ("k:a_c", vec!["k:a_c", "k:abc", "k:A%C", "k:ABC"]),
        ("k:a\\_c", vec!["k:a_c"]),
        ("k:a\\%c", vec!["k:A%C"]),
        ("k:%", vec!["k:a_c", "k:abc", "k:A%C", "k:ABC", "k:abcd"]),
        ("k:%d", vec!["k:abcd"]),
        ("%:abc%", vec!["k:abc", "k:ABC", "k:abcd"]),
        ("abc", vec![]),
        ("%", all.clone()),
        ("", all),
        // It is decoded a second time.
        ("a+b c", vec!["a b c"]),
        ("a%2Bb+c", vec!["a+b c"]),
    ] {
        let mut matched = matched;
        matched.sort_unstable();
        let page = list(&caller, &[("name", pattern)]).await?;
        let mut listed = names_of(&page)?;
        listed.sort_unstable();
        assert_eq!(listed, matched, "{pattern}");
    }
    Ok(())
}

async fn a_listing_is_sorted_as_asked(cloud: &impl Testbed) -> Result<()> {
    let cinder = cloud.create_authorised_cinder_user().await?;
    let caller = Caller::new(cloud, &cinder).await?;
    for name in ["b", "D", "a", "C"] {
        caller.store(name).await?;
    }
    for (sort, order) in [
        ("name", ["a", "b", "C", "D"]),
        ("name:asc", ["a", "b", "C", "D"]),
        ("name:desc", ["D", "C", "b", "a"]),
        ("bit_length:asc,name:desc", ["D", "C", "b", "a"]),
    ] {
        assert_eq!(
            names_of(&list(&caller, &[("sort", sort)]).await?)?,
            order,
            "{sort}"
        );
    }
    let page = list(&caller, &[("sort", "created:asc,name:asc")]).await?;
    let entries = page["secrets"].as_array().context("secrets")?;
    let order: Vec<(&str, String)> = entries
        .iter()
        .map(|entry| {
            let name = entry["name"].as_str().unwrap_or_default().to_lowercase();
            (entry["created"].as_str().unwrap_or_default(), name)
        })
        .collect();
    assert!(order.is_sorted(), "{order:?}");
    for sort in ["nonsense", "name:up", "name,name", "name:asc:desc", "id"] {
        let reply = caller.get(&path(&[("sort", sort)])).await?;
        reply.assert_refused(400, "URI provided invalid query string parameters.")?;
    }
    Ok(())
}

async fn a_page_says_where_it_is_and_what_is_next(cloud: &impl Testbed) -> Result<()> {
    let cinder = cloud.create_authorised_cinder_user().await?;
    let caller = Caller::new(cloud, &cinder).await?;
    for name in ["k:1", "k:2", "k:3", "k:4", "k:5", "other"] {
        caller.store(name).await?;
    }
    let query = |offset: &'static str| {
        [
            ("name", "k:%"),
            ("sort", "name:asc"),
            ("limit", "2"),
            ("offset", offset),
        ]
    };
    for (offset, names, previous, next) in [
        ("0", vec!["k:1", "k:2"], None, Some("2")),
        ("2", vec!["k:3", "k:4"], Some("0"), Some("4")),
        ("1", vec!["k:2", "k:3"], Some("0"), Some("3")),
        ("4", vec!["k:5"], Some("2"), None),
        ("9", vec![], None, None),
    ] {
        let page = list(&caller, &query(offset)).await?;
        assert_eq!(
            (names_of(&page)?, &page["total"]),
            (names, &json!(5)),
            "{offset}"
        );
        for (key, expected) in [("previous", previous), ("next", next)] {
            let link = page.get(key).and_then(Value::as_str);
            assert_eq!(
                link.map(sorted_link).transpose()?,
                match expected {
                    None => None,
                    Some(offset) => {
                        let path = path(&query(offset));
                        Some(sorted_link(&format!(
                            "{}{path}",
                            cloud.barbican_endpoint()
                        ))?)
                    }
                }
            );
        }
    }
    for (limit, offset, count) in [
        ("0", "0", 1),
        ("-1", "0", 1),
        ("nonsense", "0", 6),
        ("1", "nonsense", 1),
        ("9", "-1", 6),
    ] {
        let page = list(&caller, &[("limit", limit), ("offset", offset)]).await?;
        assert_eq!(names_of(&page)?.len(), count, "{limit} {offset}");
    }
    Ok(())
}

/// A link without regard to the order of its parameters.
fn sorted_link(link: &str) -> Result<(String, Vec<(String, String)>)> {
    let mut url: Url = link.parse()?;
    let mut pairs: Vec<_> = url.query_pairs().into_owned().collect();
    pairs.sort_unstable();
    url.set_query(None);
    Ok((url.to_string(), pairs))
}

async fn a_page_has_ten_entries_unless_asked_and_a_hundred_at_most(
    cloud: &impl Testbed,
) -> Result<()> {
    let cinder = cloud.create_authorised_cinder_user().await?;
    let caller = Caller::new(cloud, &cinder).await?;
    let names = (0..103).map(|number| format!("k:{number:03}"));
    let stored = stream::iter(names).map(async |name| caller.store(&name).await);
    stored
        .buffer_unordered(8)
        .try_for_each(async |_| Ok(()))
        .await?;
    for (query, count) in [
        (&[][..], 10),
        (&[("limit", "100")], 100),
        (&[("limit", "1000")], 100),
        (&[("limit", "100"), ("offset", "100")], 3),
    ] {
        let page = list(&caller, query).await?;
        assert_eq!(
            (names_of(&page)?.len(), &page["total"]),
            (count, &json!(103)),
            "{query:?}"
        );
    }
    Ok(())
}

async fn an_entry_is_the_secrets_metadata(cloud: &impl Testbed) -> Result<()> {
    let caller = Caller::anybody(cloud).await?;
    let name = uuid::Uuid::new_v4().to_string();
    let nobody = list(&caller, &[("name", &name)]).await?;
    assert_eq!(nobody, json!({ "secrets": [], "total": 0 }));
    let path = caller.store(&name).await?;
    for slash in ["", "/"] {
        let path_of_list = format!("/v1/secrets{slash}?name={name}");
        let listed = caller.get(&path_of_list).await?.json()?;
        let secrets = [caller.get(&path).await?.json()?];
        assert_eq!(listed, json!({ "secrets": secrets, "total": 1 }));
    }
    Ok(())
}

async fn a_listing_shows_ones_own_project_only(cloud: &impl Testbed) -> Result<()> {
    let cinder = cloud.create_authorised_cinder_user().await?;
    let colleague = cloud
        .create_colleague(&cinder, &[&cloud.storing_role()])
        .await?;
    let caller = Caller::new(cloud, &cinder).await?;
    let name = uuid::Uuid::new_v4().to_string();
    caller.store(&name).await?;
    let colleague = Caller::new(cloud, &colleague).await?;
    colleague.store("z").await?;
    let query = [("sort", "name")];
    for caller in [&caller, &colleague] {
        assert_eq!(names_of(&list(caller, &query).await?)?, [&*name, "z"]);
    }
    let stranger = Caller::anybody(cloud).await?;
    stranger.store("c").await?;
    let query = [("name", name.as_str()), ("sort", "name")];
    assert_eq!(list(&stranger, &query).await?["total"], 0);
    Ok(())
}

async fn list(caller: &Caller, query: &[(&str, &str)]) -> Result<Value> {
    let reply = caller.get(&path(query)).await?;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

fn path(query: &[(&str, &str)]) -> String {
    let mut url = Url::parse("http://barbican/v1/secrets").expect("a URL");
    url.query_pairs_mut().extend_pairs(query);
    format!("{}?{}", url.path(), url.query().unwrap_or_default())
}

fn names_of(page: &Value) -> Result<Vec<&str>> {
    let entries = page["secrets"].as_array().context("secrets")?;
    entries
        .iter()
        .map(|entry| entry["name"].as_str().context("a name"))
        .collect()
}
