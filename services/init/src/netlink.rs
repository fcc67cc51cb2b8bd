//! A netlink socket to the kernel's netfilter subsystem: sends one [`Message`] and collects its answers.
//!
//! The kernel normally answers before `send` returns. The receive timeout exists because a hanging init container would silently
//! block the whole stack.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use netlink_bindings::builtin::Nlmsghdr;
use netlink_bindings::consts::NLM_F_DUMP_INTR;
use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::wire::Message;

/// `NLMSG_ERROR` in linux/netlink.h; its code 0 is an acknowledgement.
const ERROR: u16 = 2;

/// `NLMSG_DONE` in linux/netlink.h: the end of a dump.
const DONE: u16 = 3;

/// The kernel fills at most 32 KiB at a time if the reader of a dump offers that much.
const RECEIVE_BYTES: usize = 64 * 1024;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A socket to netfilter in the network namespace of this process.
pub(crate) struct Socket {
    fd: OwnedFd,
    next_sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens the socket. This needs no privilege; requests need `CAP_NET_ADMIN`.
    pub(crate) fn open() -> io::Result<Self> {
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(NETFILTER),
        )?;
        set_socket_timeout(&fd, Timeout::Recv, Some(TIMEOUT))?;
        // Connected to the kernel (port 0), the socket refuses messages from other processes.
        rustix::net::connect(&fd, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self {
            fd,
            next_sequence: 1,
            buffer: vec![0; RECEIVE_BYTES],
        })
    }

    /// Sends the message that `build` makes from a new sequence number; returns the payloads of the answers.
    ///
    /// Fails with the kernel's error, with ERESTART if a concurrent change interrupted a dump, and with [`io::ErrorKind::TimedOut`] if
    /// there is no answer.
    pub(crate) fn call(&mut self, build: impl FnOnce(u32) -> Message) -> io::Result<Vec<Vec<u8>>> {
        let message = build(self.next_sequence);
        self.next_sequence = message.sequence.end() + 1;
        let sent = rustix::net::send(&self.fd, &message.bytes, SendFlags::empty())?;
        if sent != message.bytes.len() {
            return Err(io::Error::other(
                "the kernel accepted only part of the message",
            ));
        }
        let mut answers = Answers::default();
        loop {
            let (_, length) =
                match rustix::net::recv(&self.fd, self.buffer.as_mut_slice(), RecvFlags::TRUNC) {
                    Err(Errno::INTR) => continue,
                    Err(Errno::AGAIN) => {
                        let text =
                            format!("the kernel did not answer within {} s", TIMEOUT.as_secs());
                        return Err(io::Error::new(io::ErrorKind::TimedOut, text));
                    }
                    received => received?,
                };
            let datagram = self
                .buffer
                .get(..length)
                .ok_or_else(|| io::Error::other("the kernel's answer is too long"))?;
            if answers.read(datagram, &message)? {
                // Read even an inconsistent dump to its end: until then, the kernel refuses the next one.
                return if answers.torn {
                    Err(Errno::RESTART.into())
                } else {
                    Ok(answers.payloads)
                };
            }
        }
    }
}

/// The kernel's answers so far.
#[derive(Debug, Default)]
struct Answers {
    payloads: Vec<Vec<u8>>,
    /// The rule set changed between two datagrams of a dump, so the payloads match no single state.
    torn: bool,
}

impl Answers {
    /// Parses the messages of one datagram; returns whether this was the last one.
    fn read(&mut self, mut rest: &[u8], message: &Message) -> io::Result<bool> {
        const HEADER: usize = Nlmsghdr::len();
        while let Some(header) = rest.get(..HEADER).and_then(Nlmsghdr::new_from_slice) {
            let length = header.len as usize;
            let Some(payload) = rest.get(HEADER..length) else {
                return Err(io::Error::other("the kernel's answer is truncated"));
            };
            // Messages are aligned to four bytes; the last one may lack padding.
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            if !message.sequence.contains(&header.seq) {
                continue;
            }
            self.torn |= i32::from(header.flags) & NLM_F_DUMP_INTR != 0;
            if header.r#type != ERROR && header.r#type != DONE {
                self.payloads.push(payload.to_vec());
                continue;
            }
            match payload.first_chunk().map(|code| i32::from_ne_bytes(*code)) {
                Some(0) if header.seq == message.concluded_by => return Ok(true),
                Some(0) => {}
                Some(code) => return Err(io::Error::from_raw_os_error(code.saturating_neg())),
                None => return Err(io::Error::other("the kernel's answer has no code")),
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(kind: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let mut header = Nlmsghdr::new();
        header.len = (Nlmsghdr::len() + payload.len()) as u32;
        header.r#type = kind;
        header.seq = sequence;
        let mut bytes = [header.as_slice(), payload].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn read(parts: &[Vec<u8>]) -> (io::Result<bool>, Answers) {
        let message = Message {
            bytes: Vec::new(),
            sequence: 7..=9,
            concluded_by: 8,
        };
        let mut answers = Answers::default();
        (answers.read(&parts.concat(), &message), answers)
    }

    #[test]
    fn an_inconsistent_dump_is_read_to_its_end() {
        let mut torn = part(2566, 8, b"old!");
        torn[6..8].copy_from_slice(&(NLM_F_DUMP_INTR as u16).to_ne_bytes());
        let (over, answers) = read(&[torn, part(2566, 8, b"new!")]);
        assert!(!over.expect("no error"));
        assert!(answers.torn);
        assert!(read(&[part(DONE, 8, &[0; 4])]).0.expect("no error"));
    }

    #[test]
    fn answers_are_collected_until_the_acknowledgement() {
        let (over, answers) = read(&[
            part(2565, 8, b"odd"),
            part(ERROR, 7, &[0; 20]),
            part(ERROR, 8, &[0; 20]),
        ]);
        assert!(over.expect("no error"));
        assert_eq!(answers.payloads, [b"odd"]);
    }

    #[test]
    fn an_error_in_any_message_of_a_transaction_fails_it() {
        let (over, _) = read(&[
            part(ERROR, 7, &(-85_i32).to_ne_bytes()),
            part(ERROR, 8, &[0; 20]),
        ]);
        assert_eq!(over.expect_err("an error").raw_os_error(), Some(85));
    }

    #[test]
    fn answers_to_other_requests_are_skipped() {
        let (over, answers) = read(&[
            part(2565, 6, b"old"),
            part(ERROR, 6, &(-1_i32).to_ne_bytes()),
        ]);
        assert!(!over.expect("no error"));
        assert!(answers.payloads.is_empty());
    }

    #[test]
    fn an_invalid_length_is_an_error() {
        for length in [0_u32, 15, 4096] {
            let mut bad = part(ERROR, 8, &[0; 20]);
            bad[..4].copy_from_slice(&length.to_ne_bytes());
            assert!(read(&[bad]).0.is_err(), "{length}");
        }
    }
}
