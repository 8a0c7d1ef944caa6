//! A cloud with a service user, and a plain HTTP client for it.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use reqwest::{Client, Method, RequestBuilder, Response};
use sandbox_cloud::{Builder, Cloud, Project, User};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

pub(crate) const PAYLOAD: &str = "AAECAwQFBgcICQoLDA0ODw==";
pub(crate) const PAYLOAD_BYTES: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

pub(crate) struct World {
    pub(crate) cloud: Cloud,
    pub(crate) service: Project,
    pub(crate) cinder: User,
    pub(crate) client: Client,
}

impl World {
    pub(crate) async fn start(builder: Builder, roles: &[&str]) -> Self {
        let cloud = builder.start().await.unwrap();
        let service = cloud.create_project("service");
        let cinder = cloud.create_user("cinder", "cinder's password");
        for role in roles {
            cloud.grant_role(&cinder.id, &service.id, role);
        }
        #[expect(clippy::disallowed_methods, reason = "a test's own client")]
        let client = Client::builder().no_proxy().build().unwrap();
        Self {
            cloud,
            service,
            cinder,
            client,
        }
    }

    pub(crate) async fn login(&self, user: &User, project: &Project) -> Response {
        let body = login_body(user, user.password.expose_secret(), project);
        let url = format!("{}/auth/tokens", self.cloud.keystone_url());
        self.client.post(url).json(&body).send().await.unwrap()
    }

    pub(crate) async fn token_of(&self, user: &User, project: &Project) -> String {
        let response = self.login(user, project).await;
        assert_eq!(response.status(), 201);
        response.headers()["x-subject-token"]
            .to_str()
            .unwrap()
            .to_owned()
    }

    pub(crate) async fn token(&self) -> String {
        self.token_of(&self.cinder, &self.service).await
    }

    pub(crate) fn barbican(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.cloud.barbican_url());
        self.client
            .request(method, url)
            .header("x-auth-token", token)
    }

    pub(crate) async fn post(&self, token: &str, body: &Value) -> Response {
        self.barbican(Method::POST, "/v1/secrets", token)
            .json(body)
            .send()
            .await
            .unwrap()
    }

    pub(crate) async fn store(&self, token: &str, name: &str) -> String {
        let response = self.post(token, &secret(name)).await;
        assert_eq!(response.status(), 201);
        let body: Value = response.json().await.unwrap();
        body["secret_ref"]
            .as_str()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap()
            .to_owned()
    }

    pub(crate) async fn fetch(&self, method: Method, path: &str, token: &str) -> (u16, Value) {
        let response = self.barbican(method, path, token).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or(Value::Null))
    }
}

pub(crate) fn login_body(user: &User, password: &str, project: &Project) -> Value {
    let domain = json!({"name": "Default"});
    json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": {
            "name": user.name, "domain": domain, "password": password,
        }}},
        "scope": {"project": {"name": project.name, "domain": domain}},
    }})
}

pub(crate) fn secret(name: &str) -> Value {
    json!({
        "name": name,
        "algorithm": "AES",
        "bit_length": 128,
        "secret_type": "symmetric",
        "payload": PAYLOAD,
        "payload_content_type": "application/octet-stream",
        "payload_content_encoding": "base64",
    })
}
