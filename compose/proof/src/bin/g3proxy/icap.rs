//! The ICAP client: a pool of connections for each service, and single transactions on them.

use std::collections::VecDeque;
use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::config::Service;
use super::message::{self, Message};

/// How long c-icap may take for an answer.
const ANSWER: Duration = Duration::from_secs(60);

/// The decision of an ICAP service about a message.
pub(crate) enum Verdict {
    /// Forward it unchanged.
    Unchanged,
    /// Forward this instead.
    Request(Message),
    /// Send this to the client.
    Response(Message),
}

/// A service, and the connections to it that are not in use.
pub(crate) struct Pool {
    service: Service,
    idle: Mutex<VecDeque<(Instant, BufReader<TcpStream>)>>,
}

impl Pool {
    pub(crate) fn new(service: Service) -> Self {
        let idle = Mutex::default();
        Self { service, idle }
    }

    /// Keeps as many connections open as the configuration says, and closes old ones.
    pub(crate) fn fill(&self) {
        let missing = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|(since, _)| since.elapsed() < self.service.idle);
            self.service.min_idle.saturating_sub(idle.len())
        };
        for _ in 0..missing {
            let Ok(connection) = self.connect() else {
                return;
            };
            self.put_back(connection);
        }
    }

    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect(&self.service.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        Ok(BufReader::new(stream))
    }

    fn put_back(&self, connection: BufReader<TcpStream>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.service.max_idle {
            idle.push_back((Instant::now(), connection));
        }
    }

    fn pooled(&self) -> Option<BufReader<TcpStream>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(since, _)| since.elapsed() < self.service.idle);
        idle.pop_back().map(|(_, connection)| connection)
    }

    /// Sends a request for inspection, or a response with the head of its request. Without an answer nothing passes, unless the
    /// configuration has `bypass`.
    pub(crate) fn inspect(
        &self,
        client: std::net::IpAddr,
        request: &Message,
        response: Option<&Message>,
    ) -> io::Result<Verdict> {
        let message = encode(&self.service, client, request, response);
        // c-icap also closes idle connections: a pooled one may be gone by now.
        if let Some(connection) = self.pooled()
            && let Ok(verdict) = self.transact(connection, &message)
        {
            return Ok(verdict);
        }
        let fresh = self.connect();
        match fresh.and_then(|connection| self.transact(connection, &message)) {
            Err(_) if self.service.bypass => Ok(Verdict::Unchanged),
            result => result,
        }
    }

    fn transact(
        &self,
        mut connection: BufReader<TcpStream>,
        message: &[u8],
    ) -> io::Result<Verdict> {
        connection.get_mut().write_all(message)?;
        let answer =
            message::read_head(&mut connection)?.ok_or_else(|| message::broken("ICAP ended"))?;
        let verdict = match answer.start.split(' ').nth(1) {
            Some("204") => Verdict::Unchanged,
            Some("200") => modified(&answer, &mut connection)?,
            _ => {
                return Err(message::broken(&format!(
                    "ICAP answered `{}`",
                    answer.start
                )));
            }
        };
        if answer
            .header("connection")
            .is_none_or(|value| !value.eq_ignore_ascii_case("close"))
        {
            self.put_back(connection);
        }
        Ok(verdict)
    }
}

fn modified(answer: &Message, connection: &mut BufReader<TcpStream>) -> io::Result<Verdict> {
    let parts = answer.header("encapsulated").unwrap_or_default().to_owned();
    let mut message = message::read_head(connection)?
        .ok_or_else(|| message::broken("ICAP left out the message"))?;
    if parts.contains("-body") && !parts.contains("null-body") {
        message.body = message::read_chunked(connection)?;
    }
    if parts.contains("req-hdr") {
        return Ok(Verdict::Request(message));
    }
    Ok(Verdict::Response(message))
}

fn encode(
    service: &Service,
    client: std::net::IpAddr,
    request: &Message,
    response: Option<&Message>,
) -> Vec<u8> {
    let request_head = request.head();
    let mut parts = "req-hdr=0".to_owned();
    let mut encapsulated = request_head;
    let mut method = "REQMOD";
    let inspected = response.unwrap_or(request);
    let mut kind = "req";
    if let Some(response) = response {
        (method, kind) = ("RESPMOD", "res");
        parts += &format!(", res-hdr={}", encapsulated.len());
        encapsulated.extend(response.head());
    }
    let body = inspected.has_body.then_some(inspected.body.as_slice());
    let kind = if body.is_some() { kind } else { "null" };
    parts += &format!(", {kind}-body={}", encapsulated.len());
    let mut message = format!(
        "{method} {} ICAP/1.0\r\nHost: {}\r\nAllow: 204\r\nX-Client-IP: {client}\r\nEncapsulated: {parts}\r\n\r\n",
        service.url, service.address
    )
    .into_bytes();
    message.extend(encapsulated);
    if let Some(body) = body {
        if !body.is_empty() {
            message.extend(format!("{:x}\r\n", body.len()).into_bytes());
            message.extend(body);
            message.extend(b"\r\n");
        }
        message.extend(b"0\r\n\r\n");
    }
    message
}
