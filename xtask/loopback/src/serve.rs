//! Runs a router on a loopback port, with its own thread and runtime: the servers read and write files while they
//! answer, and must not block the client in the same process.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use futures_util::stream;
use tokio::sync::watch;
use xtask_host::say;

/// How long requests in progress may take after a stop.
const GRACE: Duration = Duration::from_secs(1);
/// How much of a file is in memory while it is sent.
const PIECE: usize = 256 * 1024;

/// A running server; dropping it stops it.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves `router` on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If no port or thread is available.
    pub(super) fn start(router: Router) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = watch::channel(false);
        let thread = thread::Builder::new()
            .name("embedded-server".to_owned())
            .spawn(move || runtime.block_on(run(listener, router, stopped)))?;
        Ok(Self {
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// `127.0.0.1:PORT`.
    pub(super) fn host(&self) -> String {
        self.address.to_string()
    }

    /// `http://127.0.0.1:PORT`.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops, after waiting at most a second for requests in progress.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // The server's thread has already printed its panic.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A handle with which a handler closes its connection without an answer.
#[derive(Clone, Debug)]
pub(super) struct Line(Arc<std::net::TcpStream>);

impl Line {
    /// Closes the connection and ends its requests.
    pub(super) fn close(&self) {
        // The client may have closed it already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Connected<IncomingStream<'_, Lines>> for Line {
    fn connect_info(stream: IncomingStream<'_, Lines>) -> Self {
        stream.remote_addr().clone()
    }
}

/// A listener whose connections come with a [`Line`].
struct Lines(tokio::net::TcpListener);

impl Lines {
    fn split(stream: tokio::net::TcpStream) -> io::Result<(tokio::net::TcpStream, Line)> {
        let stream = stream.into_std()?;
        let line = Line(Arc::new(stream.try_clone()?));
        Ok((tokio::net::TcpStream::from_std(stream)?, line))
    }
}

impl Listener for Lines {
    type Io = tokio::net::TcpStream;
    type Addr = Line;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, _) = Listener::accept(&mut self.0).await;
            match Self::split(stream) {
                Ok(pair) => return pair,
                Err(error) => say::note(&format!("embedded server: {error}")),
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Another port of a server, with a separate journal; dropping it closes the port.
#[derive(Debug)]
pub struct Door {
    server: Server,
}

impl Door {
    pub(super) fn open(router: Router) -> io::Result<Self> {
        Server::start(router).map(|server| Self { server })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// `127.0.0.1:PORT`, as image references write it.
    pub fn host(&self) -> String {
        self.server.host()
    }
}

async fn run(listener: TcpListener, router: Router, stopped: watch::Receiver<bool>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            say::note(&format!("embedded server: {error}"));
            return;
        }
    };
    let told = |mut stopped: watch::Receiver<bool>| async move {
        // An error means that the sender is gone, which also stops the server.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let service = router.into_make_service_with_connect_info::<Line>();
    let serve = axum::serve(Lines(listener), service).with_graceful_shutdown(told(stopped.clone()));
    let deadline = async {
        told(stopped).await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        _ = serve => {}
        () = deadline => {}
    }
}

/// A response body that streams `path`, and its length.
///
/// # Errors
/// If the file cannot be opened.
pub(super) fn file_body(path: &Path) -> io::Result<(Body, u64)> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let pieces = stream::unfold(file, |mut file| async move {
        let mut piece = vec![0_u8; PIECE];
        match file.read(&mut piece) {
            Ok(0) => None,
            Ok(read) => {
                piece.truncate(read);
                Some((Ok(Bytes::from(piece)), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    });
    Ok((Body::from_stream(pieces), length))
}
