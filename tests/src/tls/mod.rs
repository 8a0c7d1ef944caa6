//! A private certificate authority, and what stands before a service to speak TLS for it.

mod front;

use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempDir;

pub use front::{TlsFront, TlsFronts};

/// An authority of one test, whose files lie in a folder of their own.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate, and its private key, as files in PEM form.
#[derive(Clone, Debug)]
pub struct Certified {
    /// The file with the certificate.
    pub certificate: PathBuf,
    /// The file with the key.
    pub key: PathBuf,
}

/// Until when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// For years to come.
    Good,
    /// It has ended.
    Expired,
}

impl Authority {
    /// A new one, which nobody trusts.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        // What has its issuer's name passes for self-signed.
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let folder = tempfile::tempdir()?;
        // A database server runs as a user of its own.
        open(folder.path())?;
        std::fs::write(folder.path().join("ca.pem"), issuer.pem())?;
        Ok(Self { issuer, folder })
    }

    /// The file with the authority's own certificate.
    #[must_use]
    pub fn bundle(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate of this authority, for a server of this name or address, or for a client.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn certify(&self, name: &str, validity: Validity) -> Result<Certified> {
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        if validity == Validity::Expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let file = |extension: &str| {
            let name = format!("{name}-{validity:?}.{extension}");
            self.folder.path().join(name)
        };
        let certified = Certified {
            certificate: file("pem"),
            key: file("key"),
        };
        std::fs::write(&certified.certificate, certificate.pem())?;
        std::fs::write(&certified.key, key.serialize_pem())?;
        Ok(certified)
    }
}

/// Lets everybody look into a folder.
fn open(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let all = std::fs::Permissions::from_mode(0o755);
    Ok(std::fs::set_permissions(folder, all)?)
}
