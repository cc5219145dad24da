//! A minimal TLS echo server on tokio-rustls: a task and a buffer for each connection, and one write for all lines of a read.
//! One thread; no limits and no deadlines.
//!
//!     tls_echo ADDRESS CERT KEY

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::error::Error;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What switchboard reads at most at once.
const READ_BYTES: usize = 64 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, cert, key] = &words[..] else {
        return Err("tls_echo ADDRESS CERT KEY".into());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(address, cert, key))
}

async fn serve(address: &str, cert: &str, key: &str) -> Result<(), Box<dyn Error>> {
    let (chain, key) = (vec![CertificateDer::from_pem_file(cert)?], PrivateKeyDer::from_pem_file(key)?);
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
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
        let Some(last) = buffer.iter().rposition(|byte| *byte == b'\n') else {
            continue;
        };
        stream.write_all(&buffer[..=last]).await?;
        stream.flush().await?;
        buffer.drain(..=last);
    }
    stream.shutdown().await
}
