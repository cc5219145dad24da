//! The server: a task and a buffer for each connection, and one write for all lines of a read. No limits, no deadlines.

use crate::Result;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What switchboard reads at most at once.
const READ_BYTES: usize = 64 << 10;

pub async fn serve(address: &str, cert: &str, key: &str) -> Result {
    let chain = vec![CertificateDer::from_pem_file(cert)?];
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(echo(stream, acceptor.clone()));
    }
}

async fn echo(stream: TcpStream, acceptor: TlsAcceptor) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let mut buffer = Vec::with_capacity(READ_BYTES);
    while stream.read_buf(&mut buffer).await? > 0 {
        let Some(last) = buffer.iter().rposition(|byte| *byte == b'\n') else { continue };
        stream.write_all(&buffer[..=last]).await?;
        stream.flush().await?;
        buffer.drain(..=last);
    }
    stream.shutdown().await
}
