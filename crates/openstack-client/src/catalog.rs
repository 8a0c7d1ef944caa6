//! Where a service is: the catalogue that comes with a token.

use serde::Deserialize;
use url::Url;

use crate::config::Interface;

/// The services and their endpoints, as Keystone lists them in a token.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Catalog(Vec<Service>);

#[derive(Debug, Deserialize)]
struct Service {
    #[serde(rename = "type")]
    service_type: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    interface: String,
    region: Option<String>,
    url: String,
}

/// The catalogue has no such endpoint; says what it has instead.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoEndpoint(String);

impl Catalog {
    /// The first endpoint of this type and interface, in this region if one is wanted.
    pub(crate) fn endpoint(
        &self,
        service_type: &str,
        interface: Interface,
        region_name: Option<&str>,
    ) -> Result<Url, NoEndpoint> {
        let endpoints: Vec<&Endpoint> = self
            .0
            .iter()
            .filter(|service| service.service_type == service_type)
            .flat_map(|service| &service.endpoints)
            .collect();
        let found = endpoints.iter().find(|endpoint| {
            endpoint.interface == interface.as_str()
                && region_name.is_none_or(|wanted| endpoint.region.as_deref() == Some(wanted))
        });
        let Some(endpoint) = found else {
            return Err(missing(service_type, interface, region_name, &endpoints));
        };
        endpoint.url.trim().parse().map_err(|_| {
            NoEndpoint(format!(
                "the {interface} endpoint of service type {service_type} in Keystone's catalogue \
                 is not a URL"
            ))
        })
    }
}

fn missing(
    service_type: &str,
    interface: Interface,
    region_name: Option<&str>,
    endpoints: &[&Endpoint],
) -> NoEndpoint {
    let region = region_name.map_or_else(|| "any region".into(), |name| format!("region {name}"));
    let mut there: Vec<String> = endpoints
        .iter()
        .map(|endpoint| {
            let region = endpoint.region.as_deref().unwrap_or("no region");
            format!("{} in {region}", endpoint.interface)
        })
        .collect();
    there.dedup();
    let there = if there.is_empty() {
        "none of that type".into()
    } else {
        there.join(", ")
    };
    NoEndpoint(format!(
        "Keystone's catalogue has no {interface} endpoint of service type {service_type} in \
         {region}; it has {there}"
    ))
}

/// The URL of version 1 of Barbican's API, from an endpoint with or without `/v1` and slashes.
pub(crate) fn barbican_v1(endpoint: &Url) -> Url {
    with_version(endpoint, &["v1"], "v1")
}

/// The URL of version 3 of Keystone's API, from `auth_url` with or without a version.
pub(crate) fn keystone_v3(auth_url: &Url) -> Url {
    with_version(auth_url, &["v3", "v2.0"], "v3")
}

fn with_version(endpoint: &Url, known: &[&str], version: &str) -> Url {
    let mut url = endpoint.clone();
    let path = url.path().trim_end_matches('/').to_owned();
    let root = known
        .iter()
        .find_map(|known| path.strip_suffix(known)?.strip_suffix('/'))
        .unwrap_or(&path);
    url.set_path(&format!("{root}/{version}"));
    url
}

/// A URL below another one.
pub(crate) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        serde_json::from_str(
            r#"[{"type": "identity", "endpoints": []},
                {"type": "key-manager", "name": "barbican", "endpoints": [
                  {"id": "1", "interface": "public", "region": "RegionOne", "region_id": "RegionOne",
                   "url": "http://public.one:9311"},
                  {"id": "2", "interface": "internal", "region": "RegionOne",
                   "url": "http://internal.one:9311/v1/"},
                  {"id": "3", "interface": "public", "region": "RegionTwo",
                   "url": "http://public.two/key-manager/"}]}]"#,
        )
        .expect("a catalogue")
    }

    #[test]
    fn an_endpoint_is_found_by_interface_and_region() {
        for (interface, region, url) in [
            (Interface::Public, None, "http://public.one:9311/"),
            (
                Interface::Public,
                Some("RegionTwo"),
                "http://public.two/key-manager/",
            ),
            (Interface::Internal, None, "http://internal.one:9311/v1/"),
        ] {
            let found = catalog().endpoint("key-manager", interface, region);
            assert_eq!(found.expect("an endpoint").as_str(), url);
        }
    }

    #[test]
    fn a_missing_endpoint_names_what_was_wanted_and_what_is_there() {
        let error = catalog()
            .endpoint("key-manager", Interface::Internal, Some("RegionTwo"))
            .expect_err("there is none");
        assert_eq!(
            error.to_string(),
            "Keystone's catalogue has no internal endpoint of service type key-manager in region \
             RegionTwo; it has public in RegionOne, internal in RegionOne, public in RegionTwo"
        );
        let error = Catalog::default()
            .endpoint("key-manager", Interface::Public, None)
            .expect_err("there is none");
        assert!(error.to_string().ends_with("it has none of that type"));
    }

    #[test]
    fn versions_and_slashes_may_be_there_or_not() {
        let v1 = |url: &str| barbican_v1(&url.parse().expect("URL")).to_string();
        for url in [
            "http://b:9311",
            "http://b:9311/",
            "http://b:9311/v1",
            "http://b:9311/v1//",
        ] {
            assert_eq!(v1(url), "http://b:9311/v1", "{url}");
        }
        assert_eq!(v1("https://b/key-manager/v1/"), "https://b/key-manager/v1");
        assert_eq!(v1("https://b/srv1"), "https://b/srv1/v1");
        let v3 = |url: &str| keystone_v3(&url.parse().expect("URL")).to_string();
        for url in [
            "http://k/identity",
            "http://k/identity/v3/",
            "http://k/identity/v2.0",
        ] {
            assert_eq!(v3(url), "http://k/identity/v3", "{url}");
        }
    }
}
