//! Certificates: an authority made for the run, and server certificates signed by it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// A certificate authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, both PEM.
pub struct Certified {
    pub certificate: String,
    pub key: String,
    pub public_key: String,
}

impl Authority {
    /// Makes one.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// Its own certificate, PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Writes its certificate to a file.
    pub fn write(&self, file: &Path) -> anyhow::Result<PathBuf> {
        fs::write(file, self.pem()).with_context(|| format!("Writing {}", file.display()))?;
        Ok(file.to_owned())
    }

    /// A server certificate for these names and addresses.
    pub fn issue(&self, names: &[&str]) -> anyhow::Result<Certified> {
        self.issue_with(names, |_| {})
    }

    /// The same, valid until 2 January of a year.
    pub fn issue_until(&self, names: &[&str], year: i32) -> anyhow::Result<Certified> {
        self.issue_with(names, |params| params.not_after = rcgen::date_time_ymd(year, 1, 2))
    }

    fn issue_with(&self, names: &[&str], edit: impl FnOnce(&mut CertificateParams)) -> anyhow::Result<Certified> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>())?;
        params.distinguished_name.push(DnType::CommonName, names[0]);
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        edit(&mut params);
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Certified { certificate: certificate.pem(), key: key.serialize_pem(), public_key: key.public_key_pem() })
    }
}
