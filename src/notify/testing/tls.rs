//! A certificate authority, and a TLS server that does what it is told.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use super::install_crypto;

/// The files of an authority and of a server `localhost` that it vouches for.
pub(in crate::notify) struct Pki {
    pub(in crate::notify) folder: TempDir,
}

impl Pki {
    pub(in crate::notify) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        std::fs::write(folder.path().join("server.pem"), server.pem()).unwrap();
        std::fs::write(folder.path().join("server.key"), key.serialize_pem()).unwrap();
        Self { folder }
    }

    pub(in crate::notify) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Serves TLS on a free port, one connection after the other. Connections whose handshake fails are passed over.
    pub(in crate::notify) fn serve<F>(&self, serve: F) -> u16
    where
        F: Fn(&mut dyn ReadWrite) + Send + 'static,
    {
        install_crypto();
        let chain = vec![CertificateDer::from_pem_file(self.path("server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.path("server.key")).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let session = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = StreamOwned::new(session, stream.unwrap());
                if stream.conn.complete_io(&mut stream.sock).is_ok() {
                    serve(&mut stream);
                }
            }
        });
        port
    }
}

/// A connection.
pub(in crate::notify) trait ReadWrite: Read + Write {}

impl<T: Read + Write> ReadWrite for T {}
