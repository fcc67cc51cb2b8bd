//! Reads and writes HTTP/1.1 messages.

use std::io::{self, BufRead, Read, Write};

/// The maximum size of a head and of a body, in bytes.
const HEAD: u64 = 64 * 1024;
const BODY: u64 = 256 * 1024 * 1024;

const METHODS: [&str; 9] = [
    "GET ", "POST ", "PUT ", "HEAD ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE ",
];

/// A request or a response.
pub(crate) struct Message {
    /// Its first line.
    pub(crate) start: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether it has a body, possibly an empty one.
    pub(crate) has_body: bool,
}

/// Whether `start`, at most 8 bytes, is the start of a request.
pub(crate) fn is_request(start: &[u8]) -> bool {
    !start.is_empty()
        && METHODS.iter().any(|method| {
            let length = method.len().min(start.len());
            start.len() >= 3 && method.as_bytes()[..length] == start[..length]
        })
}

/// The error for invalid input.
pub(crate) fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl Message {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The head to forward, with the length of the body, which is known by now.
    pub(crate) fn head(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            let framing = ["content-length", "transfer-encoding", "expect", "trailer"];
            let replaced =
                self.has_body && framing.iter().any(|key| name.eq_ignore_ascii_case(key));
            if !replaced {
                text += &format!("{name}: {value}\r\n");
            }
        }
        if self.has_body {
            text += &format!("Content-Length: {}\r\n", self.body.len());
        }
        (text + "\r\n").into_bytes()
    }

    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut bytes = self.head();
        bytes.extend(&self.body);
        out.write_all(&bytes)?;
        out.flush()
    }

    pub(crate) fn closes(&self) -> bool {
        let says = |word| {
            self.header("connection")
                .is_some_and(|value| value.eq_ignore_ascii_case(word))
        };
        says("close") || (self.start.contains("HTTP/1.0") && !says("keep-alive"))
    }

    pub(crate) fn refusal(why: &str) -> Self {
        Self {
            start: "HTTP/1.1 502 Bad Gateway".to_owned(),
            headers: vec![("Connection".to_owned(), "close".to_owned())],
            body: format!("stand-in: g3proxy: {why}\n").into_bytes(),
            has_body: true,
        }
    }
}

/// Reads a head; `None` if the other side has closed the connection.
pub(crate) fn read_head(from: &mut impl BufRead) -> io::Result<Option<Message>> {
    let mut lines = Vec::new();
    let mut limited = from.take(HEAD);
    loop {
        let mut line = Vec::new();
        if limited.read_until(b'\n', &mut line)? == 0 {
            return if lines.is_empty() {
                Ok(None)
            } else {
                Err(broken("the head ends early"))
            };
        }
        let line = String::from_utf8_lossy(&line)
            .trim_end_matches(['\r', '\n'])
            .to_owned();
        if line.is_empty() && !lines.is_empty() {
            break;
        }
        if !line.is_empty() {
            lines.push(line);
        }
    }
    let start = lines.remove(0);
    let headers = lines.iter().map(|line| {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| broken("header without a colon"))?;
        Ok((name.to_owned(), value.trim().to_owned()))
    });
    let headers = headers.collect::<io::Result<Vec<_>>>()?;
    let body = Vec::new();
    Ok(Some(Message {
        start,
        headers,
        body,
        has_body: false,
    }))
}

pub(crate) fn read_chunked(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let size = line.trim_end().split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(size, 16).map_err(|_| broken("chunk without a size"))?;
        if body.len() as u64 + size > BODY {
            return Err(broken("a body that is too large"));
        }
        from.by_ref().take(size).read_to_end(&mut body)?;
        // The end of the chunk, or the trailer after the last one.
        loop {
            line.clear();
            from.read_line(&mut line)?;
            if line.trim_end().is_empty() {
                break;
            }
        }
        if size == 0 {
            return Ok(body);
        }
    }
}

/// Reads the body that the head of `message` announces. Returns whether the connection ended with it.
pub(crate) fn read_body(
    from: &mut impl BufRead,
    message: &mut Message,
    until_end: bool,
) -> io::Result<bool> {
    if message
        .header("transfer-encoding")
        .is_some_and(|value| value.to_lowercase().contains("chunked"))
    {
        message.has_body = true;
        message.body = read_chunked(from)?;
        return Ok(false);
    }
    let length = message
        .header("content-length")
        .map(|value| value.parse::<u64>());
    let length = length
        .transpose()
        .map_err(|_| broken("Content-Length is not a number"))?;
    let limit = match length {
        Some(length) if length > BODY => return Err(broken("a body that is too large")),
        Some(length) => length,
        None if until_end => BODY,
        None => return Ok(false),
    };
    message.has_body = true;
    from.take(limit).read_to_end(&mut message.body)?;
    match length {
        Some(length) if (message.body.len() as u64) < length => Err(broken("the body ends early")),
        _ => Ok(length.is_none()),
    }
}
