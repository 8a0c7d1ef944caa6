//! One operator for each store, made when it is first asked for.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use opendal::services::{Fs, Gcs, S3};
use opendal::{HttpTransporter, OperationContext, Operator};
use opendal_http_transport_reqwest::ReqwestTransport;
use openstack_client::{ConfigError, Timeouts, http_client};
use secrecy::ExposeSecret as _;

use super::{Driver, GcsConfig, S3Config, StoreConfig, Tls, Unreadable};

/// Buckets are few, unless a user names a container of its own for each backup.
const KEPT: usize = 64;

/// An object, and what reads it.
pub(super) struct Place {
    pub(super) operator: Operator,
    pub(super) path: String,
}

pub(super) struct Operators {
    config: StoreConfig,
    swift: HttpTransporter,
    s3: HttpTransporter,
    gcs: HttpTransporter,
    made: Mutex<HashMap<(Driver, String), Operator>>,
}

impl Operators {
    pub(super) fn new(config: StoreConfig) -> Result<Self, ConfigError> {
        let s3 = config.s3.as_ref().map(|s3| s3.tls.clone());
        Ok(Self {
            swift: transport(&config.swift.tls)?,
            s3: transport(&s3.unwrap_or_default())?,
            gcs: transport(&Tls::default())?,
            config,
            made: Mutex::default(),
        })
    }

    pub(super) fn swift_transport(&self) -> &HttpTransporter {
        &self.swift
    }

    /// Where an object of this container is; not for Swift, whose tokens do not last.
    pub(super) fn place(
        &self,
        driver: Driver,
        container: &str,
        object: &str,
    ) -> Result<Place, Unreadable> {
        let directory = match driver {
            Driver::Posix => Some(&self.config.posix),
            Driver::Nfs => Some(configured(driver, &self.config.nfs, "backup_share")?),
            Driver::Glusterfs => Some(configured(
                driver,
                &self.config.glusterfs,
                "glusterfs_backup_share",
            )?),
            Driver::Swift | Driver::S3 | Driver::Gcs => None,
        };
        if let Some(directory) = directory {
            let file = directory.join(container).join(object);
            return Ok(Place {
                operator: self.bucket(driver, "")?,
                path: file.to_string_lossy().into_owned(),
            });
        }
        Ok(Place {
            operator: self.bucket(driver, container)?,
            path: object.to_owned(),
        })
    }

    fn bucket(&self, driver: Driver, bucket: &str) -> Result<Operator, Unreadable> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (driver, bucket.to_owned());
        if let Some(operator) = made.get(&name) {
            return Ok(operator.clone());
        }
        let operator = match driver {
            // From the root on, as opendal would make a directory that is not there.
            Driver::Posix | Driver::Nfs | Driver::Glusterfs => {
                Operator::new(Fs::default().root("/"))
            }
            Driver::S3 => {
                let config = configured(driver, &self.config.s3, "backup_s3_endpoint_url")?;
                s3(config, bucket, &self.s3)
            }
            Driver::Gcs => {
                let config = configured(driver, &self.config.gcs, "backup_gcs_credential_file")?;
                gcs(config, bucket, &self.gcs)
            }
            Driver::Swift => return Err(Unreadable::Unanswered(driver)),
        };
        let operator = operator.map_err(|_| Unreadable::Unanswered(driver))?;
        if made.len() >= KEPT {
            made.clear();
        }
        made.insert(name, operator.clone());
        Ok(operator)
    }
}

fn configured<'c, T>(
    driver: Driver,
    config: &'c Option<T>,
    option: &'static str,
) -> Result<&'c T, Unreadable> {
    config
        .as_ref()
        .ok_or(Unreadable::NotConfigured(driver, option))
}

/// boto3 takes `us-east-1` where nothing else is configured, and puts the bucket into the path
/// where the endpoint is not Amazon's.
fn s3(config: &S3Config, bucket: &str, http: &HttpTransporter) -> opendal::Result<Operator> {
    let mut builder = S3::default()
        .bucket(bucket)
        .endpoint(&config.endpoint)
        .region("us-east-1")
        .access_key_id(config.access_key.expose_secret())
        .secret_access_key(config.secret_key.expose_secret())
        .disable_config_load()
        .disable_ec2_metadata();
    if let Some((algorithm, key)) = &config.customer_key {
        let key = key.expose_secret().as_bytes();
        builder = builder.server_side_encryption_with_customer_key(algorithm, key);
    }
    Ok(Operator::new(builder)?.with_context(over(http)))
}

fn gcs(config: &GcsConfig, bucket: &str, http: &HttpTransporter) -> opendal::Result<Operator> {
    let file: &Path = &config.credential_file;
    let builder = Gcs::default()
        .bucket(bucket)
        .credential_path(&file.to_string_lossy())
        .scope("https://www.googleapis.com/auth/devstorage.read_only")
        .disable_config_load()
        .disable_vm_metadata();
    Ok(Operator::new(builder)?.with_context(over(http)))
}

/// Requests go out through this client.
pub(super) fn over(http: &HttpTransporter) -> OperationContext {
    OperationContext::default().with_http_transport(http.clone())
}

fn transport(tls: &Tls) -> Result<HttpTransporter, ConfigError> {
    let client = http_client(&tls.0, None, Timeouts::default())?;
    Ok(HttpTransporter::new(ReqwestTransport::new(client)))
}
