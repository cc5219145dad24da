//! TLS over a non-blocking socket, by rustls.

use super::{Progress, connected};
use mio::net::TcpStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Error};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use switchboard::{CertificateError, Trust};

/// What clients agree to. The server's certificate is checked against those in a file, authorities' or its own, or not at all:
/// no system's own certificates are read, and servers under test have one that nobody else knows.
///
/// # Errors
/// The file has no certificates.
pub(crate) fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, CertificateError> {
    Ok(ca.map_or_else(|| Ok(Trust::anybody()), Trust::file)?.config())
}

#[derive(Debug)]
pub(crate) struct Tls {
    socket: TcpStream,
    session: ClientConnection,
    connected: bool,
}

impl Tls {
    /// `host` includes its port, as in a URL.
    pub(super) fn new(socket: TcpStream, config: Arc<ClientConfig>, host: &str) -> io::Result<Self> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        Ok(Self { socket, session, connected: false })
    }

    pub(super) fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    pub(super) fn progress(&mut self) -> io::Result<Progress> {
        if !self.connected {
            if connected(&self.socket)? == Progress::Pending {
                return Ok(Progress::Pending);
            }
            self.connected = true;
        }
        self.flush()?;
        while self.session.is_handshaking() {
            match self.take_records() {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => self.flush()?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Pending),
                Err(error) => return Err(error),
            }
        }
        Ok(Progress::Open)
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // A server that ends without saying so in TLS has ended nevertheless.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            self.take_records()?;
            self.flush()?;
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        if self.session.wants_write() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = self.session.writer().write(bytes)?;
        self.flush()?;
        Ok(taken)
    }

    /// Sends records until the socket takes no more; the rest waits for the next call.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take_records(&mut self) -> io::Result<usize> {
        let read = self.session.read_tls(&mut self.socket)?;
        if let Err(error) = self.session.process_new_packets() {
            // The peer is told why, if it still listens.
            let _ = self.session.write_tls(&mut self.socket);
            return Err(match error {
                Error::InvalidMessage(_) if self.session.is_handshaking() => {
                    io::Error::other("the server does not speak TLS")
                }
                error => io::Error::other(error),
            });
        }
        Ok(read)
    }
}
