//! A server of releases on a loopback address. Tests can make it misbehave.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The answer to a request.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// A file.
    File(Vec<u8>),
    /// Announces the length of the file, and sends only its first half.
    Half(Vec<u8>),
    /// A body that never ends.
    Endless,
    /// A redirect to this URL.
    Elsewhere(String),
    /// No answer, with the connection left open.
    Nothing,
}

#[derive(Debug, Default)]
struct State {
    answers: BTreeMap<String, Answer>,
    /// The request lines so far.
    seen: Vec<String>,
}

/// A server that lives as long as its test.
#[derive(Debug)]
pub(super) struct Server {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || {
                    // The client may disconnect at any time.
                    let _gone = answer(&state, stream);
                });
            }
        });
        Self { port, state }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn set(&self, path: &str, answer: Answer) {
        lock(&self.state).answers.insert(path.to_owned(), answer);
    }

    pub(super) fn get(&self, path: &str) -> Answer {
        lock(&self.state).answers[path].clone()
    }

    /// All files, by path.
    pub(super) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let state = lock(&self.state);
        let answers = state.answers.iter();
        answers
            .filter_map(|(path, answer)| match answer {
                Answer::File(bytes) => Some((path.clone(), bytes.clone())),
                _ => None,
            })
            .collect()
    }

    pub(super) fn remove(&self, path: &str) {
        lock(&self.state).answers.remove(path).expect(path);
    }

    /// Takes the request lines so far.
    pub(super) fn seen(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state).seen)
    }

    /// Waits for the request with this number, from 0.
    pub(super) fn wait_for(&self, number: usize) {
        let end = Instant::now() + Duration::from_secs(30);
        while lock(&self.state).seen.len() <= number {
            assert!(Instant::now() < end, "no request {number}");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(state: &Mutex<State>, mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    // Through a proxy, the request line has the whole URL.
    let target = request.split(' ').nth(1).unwrap_or_default();
    let path = match target.strip_prefix("http://") {
        Some(rest) => &rest[rest.find('/').unwrap_or(rest.len())..],
        None => target,
    };
    let answer = {
        let mut state = lock(state);
        state.seen.push(request.clone());
        state.answers.get(path).cloned()
    };
    let head = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    match answer {
        None => stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?,
        Some(Answer::File(bytes)) => {
            stream.write_all(head(bytes.len()).as_bytes())?;
            stream.write_all(&bytes)?;
        }
        Some(Answer::Half(bytes)) => {
            stream.write_all(head(bytes.len()).as_bytes())?;
            stream.write_all(&bytes[..bytes.len() / 2])?;
        }
        Some(Answer::Endless) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            loop {
                stream.write_all(&[b'x'; 1 << 16])?;
            }
        }
        Some(Answer::Elsewhere(url)) => {
            let head =
                format!("HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(head.as_bytes())?;
        }
        Some(Answer::Nothing) => thread::sleep(Duration::from_secs(60)),
    }
    stream.shutdown(Shutdown::Both)
}
