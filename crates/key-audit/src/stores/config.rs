//! What the stores are made from. The program translates Cinder's `backup_*` options into these.

use std::path::{Path, PathBuf};

use md5::{Digest as _, Md5};
use openstack_client::{Interface, KeystoneConfig, ServerTrust};
use secrecy::SecretString;
use url::Url;

/// Every store that cinder.conf leads to, whichever driver is in use now: old backups may be in
/// another one's.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// `backup_posix_path`
    pub posix: PathBuf,
    /// Where the share in `backup_share` is mounted.
    pub nfs: Option<PathBuf>,
    /// Where the share in `glusterfs_backup_share` is mounted.
    pub glusterfs: Option<PathBuf>,
    /// `backup_swift_*`
    pub swift: SwiftConfig,
    /// `backup_s3_*`; `None` without an endpoint or keys.
    pub s3: Option<S3Config>,
    /// `backup_gcs_*`; `None` without a file of credentials.
    pub gcs: Option<GcsConfig>,
}

/// Whose certificates of a store are believed.
#[derive(Clone, Debug, Default)]
pub struct Tls(pub ServerTrust);

/// Where Swift is.
#[derive(Clone, Debug)]
pub struct SwiftConfig {
    /// Whose account backups are in (`backup_swift_auth`).
    pub account: SwiftAccount,
    /// The type and interface in `swift_catalog_info`.
    pub service_type: String,
    /// See `service_type`.
    pub interface: Interface,
    /// `backup_swift_region_name`
    pub region_name: Option<String>,
    /// `backup_swift_ca_cert_file`, `backup_swift_auth_insecure`
    pub tls: Tls,
}

/// `backup_swift_auth`
#[derive(Clone, Debug)]
pub enum SwiftAccount {
    /// `per_user`: in that of the project that owns the backup.
    PerProject {
        /// `backup_swift_url`, before the project's ID.
        url: Option<String>,
    },
    /// `single_user`: all in one.
    One(SwiftUser),
}

/// Who signs in where all backups are in one account.
#[derive(Clone, Debug)]
pub enum SwiftUser {
    /// `backup_swift_auth_version` 3.
    Keystone(Box<KeystoneConfig>),
    /// `backup_swift_auth_version` 1, Swift's own (TempAuth).
    V1 {
        /// `backup_swift_auth_url`
        auth_url: Url,
        /// `backup_swift_user`
        user: String,
        /// `backup_swift_key`
        key: SecretString,
    },
    /// Something is missing, or it is of a kind that is not spoken here.
    Unusable(&'static str),
}

/// Where S3 is.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// `backup_s3_endpoint_url`
    pub endpoint: String,
    /// `backup_s3_store_access_key`
    pub access_key: SecretString,
    /// `backup_s3_store_secret_key`
    pub secret_key: SecretString,
    /// `backup_s3_sse_customer_algorithm` and `backup_s3_sse_customer_key`, if both are set.
    pub customer_key: Option<(String, SecretString)>,
    /// `backup_s3_verify_ssl`, `backup_s3_ca_cert_file`
    pub tls: Tls,
}

/// Who signs in at GCS.
#[derive(Clone, Debug)]
pub struct GcsConfig {
    /// `backup_gcs_credential_file`
    pub credential_file: PathBuf,
}

/// Where os-brick mounts a share (os_brick/remotefs/remotefs.py): below the base, in a directory
/// that is named by the MD5 of the share as it stands in the option.
#[must_use]
pub fn share_mount_point(base: &Path, share: &str) -> PathBuf {
    base.join(hex::encode(Md5::digest(share.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_mounted_where_os_brick_mounts_it() {
        let place = share_mount_point(
            Path::new("/var/lib/cinder/backup_mount"),
            "1.2.3.4:/backups",
        );
        // python3 -c "import hashlib; print(hashlib.md5(b'1.2.3.4:/backups').hexdigest())"
        let expected = "/var/lib/cinder/backup_mount/6988cb191f130bb9c9963d5056804366";
        assert_eq!(place, Path::new(expected));
    }
}
