//! Unix domain stream sockets.

use super::adopted::{Adopted, ListenerKind};
use super::configured::OwnSettings;
use super::tcp::{BACKLOG, SocketSink, WriteHalf};
use super::{Stream, StreamListener, StreamTransport};
use crate::Timeouts;
use crate::link::{PeerAddr, Sink, Source, UnixUser};
use nix::sys::socket::{MsgFlags, recv};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::fs::Permissions;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

/// Until it is tried again to connect to a server whose queue is full.
const QUEUE_FULL: Duration = Duration::from_millis(10);

/// A path to listen on. The socket file is removed at the end; an abandoned one is replaced.
#[derive(Debug, Clone)]
pub struct Unix {
    address: UnixAddress,
    mode: Option<u32>,
    group: Option<u32>,
    timeouts: Option<Timeouts>,
}

#[derive(Debug, Clone)]
enum UnixAddress {
    Path(PathBuf),
    /// A socket that is open already.
    Adopted(Adopted),
}

impl Unix {
    /// Listens on a socket at `path`.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { address: UnixAddress::Path(path.as_ref().to_owned()), mode: None, group: None, timeouts: None }
    }

    /// Listens on a socket that is already listening: a [`UnixListener`](std::os::unix::net::UnixListener), or anything
    /// that owns the descriptor of one. It need not be non-blocking, and its backlog is not changed. Its file is not
    /// removed: that is up to whoever made it, and others may have the socket too.
    ///
    /// A socket that is not listening, or is of another kind, is an error of [`Server::bind`](crate::Server::bind).
    pub fn from_std(listener: impl Into<OwnedFd>) -> Self {
        Self { address: UnixAddress::Adopted(Adopted::new(listener)), mode: None, group: None, timeouts: None }
    }

    /// Gives the file of the socket this mode, such as `0o600`, whatever the process's umask is: on Linux whoever may write to
    /// the file may connect. It has that mode before anybody can. Not for a socket that is open already.
    pub fn mode(self, mode: u32) -> Self {
        Self { mode: Some(mode), ..self }
    }

    /// Gives the file of the socket to the group with this number, as [`mode`](Self::mode).
    pub fn group(self, group: u32) -> Self {
        Self { group: Some(group), ..self }
    }

    /// Deadlines for this listener's connections, in place of the server's.
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts: Some(timeouts), ..self }
    }
}

impl StreamTransport for Unix {
    type Listener = Listener;

    fn url(&self) -> String {
        match &self.address {
            UnixAddress::Path(path) => format!("unix://{}", path.display()),
            UnixAddress::Adopted(adopted) => format!("unix://{}", adopted.place()),
        }
    }

    fn own(&self) -> OwnSettings {
        OwnSettings { timeouts: self.timeouts, ..OwnSettings::default() }
    }

    async fn bind(self) -> io::Result<Listener> {
        let url = self.url();
        let (socket, file) = match self.address {
            UnixAddress::Path(path) => {
                let socket = bind(&path)?;
                let inode = std::fs::symlink_metadata(&path)?.ino();
                let file = SocketFile { path, inode };
                // Nobody can connect before it listens. The file goes again if this fails.
                if let Some(group) = self.group {
                    std::os::unix::fs::chown(&file.path, None, Some(group))?;
                }
                if let Some(mode) = self.mode {
                    std::fs::set_permissions(&file.path, Permissions::from_mode(mode))?;
                }
                (socket, Some(file))
            }
            UnixAddress::Adopted(adopted) => (adopted.take(ListenerKind::Unix)?, None),
        };
        Ok(Listener { url, file, socket: Some(socket), accepting: None })
    }
}

fn bind(path: &Path) -> io::Result<Socket> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    if let Err(error) = socket.bind(&address) {
        if error.kind() != io::ErrorKind::AddrInUse || !is_abandoned(path, &address)? {
            return Err(error);
        }
        std::fs::remove_file(path)?;
        socket.bind(&address)?;
    }
    Ok(socket)
}

/// Connects to the socket at `path`. Where its server has not accepted those before, that waits, as over TCP.
pub(crate) async fn connect(path: &Path) -> io::Result<(UnixStream, PeerAddr)> {
    let stream = loop {
        match UnixStream::connect(path).await {
            // The kernel says so where its queue is full (unix(7)), and nothing when that is over.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(QUEUE_FULL).await,
            connected => break connected?,
        }
    };
    Ok((stream, PeerAddr::Unix(Some(path.to_owned()))))
}

/// Whether a socket was left behind by a process that ended without removing it.
fn is_abandoned(path: &Path, address: &SockAddr) -> io::Result<bool> {
    if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "a file is already there, and it is not a socket"));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?.connect(address);
    Ok(probe.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused))
}

pub(crate) struct Listener {
    url: String,
    /// The socket file that is ours to remove, and its identity. A socket that was already open has none.
    file: Option<SocketFile>,
    /// Until it is attached.
    socket: Option<Socket>,
    accepting: Option<UnixListener>,
}

/// The file of a socket, and which it is.
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A successor may have replaced the file.
        if std::fs::symlink_metadata(&self.path).is_ok_and(|now| now.ino() == self.inode) {
            // Best effort: a socket left behind is replaced by the next server.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl StreamListener for Listener {
    type Stream = UnixStream;

    const TRANSPORT: &'static str = "unix";

    fn url(&self) -> String {
        self.url.clone()
    }

    fn is_local(&self) -> bool {
        true
    }

    fn listen(&mut self) -> io::Result<()> {
        match (&self.socket, &self.file) {
            (Some(socket), Some(_)) => socket.listen(BACKLOG),
            // It listens.
            _ => Ok(()),
        }
    }

    fn attach(&mut self) -> io::Result<()> {
        if let Some(socket) = self.socket.take() {
            self.accepting = Some(UnixListener::from_std(socket.into())?);
        }
        Ok(())
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, PeerAddr)>> {
        let Some(listener) = &self.accepting else { unreachable!("attached before the first accept") };
        let (stream, address) = ready!(listener.poll_accept(cx))?;
        Poll::Ready(Ok((stream, PeerAddr::Unix(address.as_pathname().map(Path::to_owned)))))
    }

    fn accept_now(&mut self) -> io::Result<(UnixStream, PeerAddr)> {
        let Some(listener) = &self.accepting else { unreachable!("attached before the first accept") };
        let (socket, address) = SockRef::from(listener).accept()?;
        socket.set_nonblocking(true)?;
        let address = address.as_pathname().map(Path::to_owned);
        Ok((UnixStream::from_std(socket.into())?, PeerAddr::Unix(address)))
    }
}

impl Stream for UnixStream {
    type Detached = std::os::unix::net::UnixStream;

    fn detach(self) -> io::Result<std::os::unix::net::UnixStream> {
        self.into_std()
    }

    fn attach(detached: std::os::unix::net::UnixStream) -> io::Result<Self> {
        Self::from_std(detached)
    }

    fn split(self) -> (Box<dyn Source>, Box<dyn Sink>) {
        let (read, write) = self.into_split();
        (Box::new(read), Box::new(SocketSink::new(write)))
    }
}

impl Source for OwnedReadHalf {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(ended(ready!(AsyncRead::poll_read(Pin::new(self), cx, buffer))))
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        ended(recv(self.as_ref().as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT).map_err(io::Error::from))
    }
}

/// A peer that leaves without having read everything is reported as a reset, after all that it sent: nothing gets lost within
/// a machine, so it is an end like any other.
fn ended<T: Default>(read: io::Result<T>) -> io::Result<T> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(T::default()),
        read => read,
    }
}

impl WriteHalf for OwnedWriteHalf {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_write_vectored(slices)
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self.as_ref())
    }

    fn unix_user(&self) -> Option<UnixUser> {
        let peer = self.as_ref().peer_cred().ok()?;
        Some(UnixUser::new(peer.uid(), peer.gid()))
    }

    fn forget(self) {
        self.forget();
    }
}
