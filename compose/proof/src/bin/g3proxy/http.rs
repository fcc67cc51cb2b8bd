//! HTTP/1.1 between a client and a server, with every body inspected before it is forwarded.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::IpAddr;

use super::icap::{Pool, Verdict};
use super::message::{Message, broken, read_body, read_head};

/// The services that inspect requests and responses.
pub(crate) struct Inspection {
    pub(crate) request: Pool,
    pub(crate) response: Pool,
}

/// Forwards requests and responses until one side closes the connection.
pub(crate) fn relay<C: Read + Write, S: Read + Write>(
    inspection: &Inspection,
    from: IpAddr,
    host: &str,
    client: &mut C,
    server: &mut S,
) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let mut server = BufReader::new(server);
    while let Some(mut request) = read_head(&mut client)? {
        if request.header("expect").is_some() {
            client
                .get_mut()
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            client.get_mut().flush()?;
        }
        read_body(&mut client, &mut request, false)?;
        let last = request.closes();
        match inspection.request.inspect(from, &request, None) {
            Ok(Verdict::Unchanged) => {}
            Ok(Verdict::Request(changed)) => {
                request = Message {
                    has_body: request.has_body,
                    ..changed
                }
            }
            Ok(Verdict::Response(mut refusal)) => {
                println!("stand-in: {from} -> {host}: {}", refusal.start);
                refusal.has_body = true;
                refusal.write(client.get_mut())?;
                continue;
            }
            Err(error) => {
                println!("stand-in: {from} -> {host}: reqmod: {error}");
                return Message::refusal("no inspection").write(client.get_mut());
            }
        }
        request.write(server.get_mut())?;
        let (mut response, ended) = read_response(&mut server, &request)?;
        let last = last || ended || response.closes();
        match inspection.response.inspect(from, &request, Some(&response)) {
            Ok(Verdict::Unchanged) => {}
            Ok(Verdict::Request(_)) => {
                return Err(broken("a RESPMOD service answered with a request"));
            }
            Ok(Verdict::Response(changed)) => {
                response = Message {
                    has_body: response.has_body,
                    ..changed
                };
            }
            Err(error) => {
                println!("stand-in: {from} -> {host}: respmod: {error}");
                return Message::refusal("no inspection").write(client.get_mut());
            }
        }
        response.write(client.get_mut())?;
        if last {
            break;
        }
    }
    Ok(())
}

fn read_response(server: &mut impl BufRead, request: &Message) -> io::Result<(Message, bool)> {
    let mut response = loop {
        let head =
            read_head(server)?.ok_or_else(|| broken("the server ended without an answer"))?;
        if head.start.split(' ').nth(1) != Some("100") {
            break head;
        }
    };
    let status = response.start.split(' ').nth(1).unwrap_or_default();
    let bodiless = request.start.starts_with("HEAD ")
        || ["204", "304"].contains(&status)
        || status.starts_with('1');
    let ended = !bodiless && read_body(server, &mut response, true)?;
    Ok((response, ended))
}
