//! Encodes plans as nf_tables messages, and decodes the kernel's answers into rules; no I/O.
//!
//! Sequence numbers: a message that is answered separately has the given number; a transaction of three or more messages has
//! consecutive numbers starting there.

use std::fmt;

use netlink_bindings::nftables::{
    Chained, CmpOps, ExprOps, IterableExprAttrs, MetaKeys, Nfgenmsg, OpGetgenDo, OpGetruleDump,
    PushExprListAttrs, Registers, Request,
};
use netlink_bindings::traits::{NetlinkRequest as _, Pusher};

use crate::bridge::{ACCEPT, BridgeName, CHAIN, Comparison, Expression, Interface, Rule, TABLE};

/// `AF_INET`: the `ip` family of tables.
const FAMILY_IP: u8 = 2;

/// `NFNL_SUBSYS_NFTABLES` in linux/netfilter/nfnetlink.h: the target of a transaction.
const SUBSYSTEM_NFTABLES: u16 = 10;

/// Expressions that never decide about a packet: they load, compute, match, count or log.
const HARMLESS: [&[u8]; 10] = [
    b"bitwise",
    b"byteorder",
    b"ct",
    b"fib",
    b"limit",
    b"log",
    b"match",
    b"payload",
    b"range",
    b"socket",
];

/// An answer of the kernel that lacks a field guaranteed by its specification.
#[derive(Debug)]
pub(crate) struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the kernel's answer has no {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// One or more messages that the kernel receives in one piece.
pub(crate) struct Message {
    /// The encoded bytes, headers included.
    pub(crate) bytes: Vec<u8>,
    /// Its sequence numbers; an error for any of them fails it.
    pub(crate) sequence: std::ops::RangeInclusive<u32>,
    /// The sequence number whose acknowledgement (or end of dump) completes it.
    pub(crate) concluded_by: u32,
}

impl Message {
    fn single(chained: Chained<'static>, sequence: u32) -> Self {
        let bytes = chained.finalize().buf().clone();
        Self {
            bytes,
            sequence: sequence..=sequence,
            concluded_by: sequence,
        }
    }
}

/// A transaction under construction: the kernel applies all of its requests or none.
pub(crate) struct Batch {
    chained: Chained<'static>,
    first: u32,
    requests: u32,
}

impl Batch {
    /// Opens a transaction whose first sequence number is `first`. If `generation` is given and the rule set has changed since, the
    /// kernel refuses the transaction with ERESTART.
    pub(crate) fn new(first: u32, generation: Option<u32>) -> Self {
        let mut chained = Chained::new(first);
        let mut begin = chained.request().op_batch_begin_do(&batch_header());
        if let Some(generation) = generation {
            begin.encode().push_genid(generation);
        }
        drop(begin);
        Self {
            chained,
            first,
            requests: 0,
        }
    }

    /// Adds the request that `push` makes.
    pub(crate) fn request(&mut self, push: impl FnOnce(Request<'_>)) {
        push(self.chained.request());
        self.requests += 1;
    }

    /// Closes the transaction.
    pub(crate) fn finish(mut self) -> Message {
        self.chained.request().op_batch_end_do(&batch_header());
        // Before Linux 6.10 the kernel does not acknowledge the begin and the end of a batch, so the last request completes it.
        let last = self.first + self.requests;
        Message {
            bytes: self.chained.finalize().buf().clone(),
            sequence: self.first..=last + 1,
            concluded_by: last,
        }
    }
}

/// The header of a request about a table of this family (`NFPROTO_*`).
pub(crate) fn header(family: u8) -> Nfgenmsg {
    let mut header = Nfgenmsg::new();
    header.nfgen_family = family;
    header
}

fn ip_header() -> Nfgenmsg {
    header(FAMILY_IP)
}

/// The header of the messages that open and close a transaction.
fn batch_header() -> Nfgenmsg {
    let mut header = Nfgenmsg::new();
    header.set_res_id(SUBSYSTEM_NFTABLES);
    header
}

/// Requests the generation of the whole rule set; [`generation`] parses the answer.
pub(crate) fn get_generation(sequence: u32) -> Message {
    let mut chained = Chained::new(sequence);
    chained.request().op_getgen_do(&Nfgenmsg::new());
    Message::single(chained, sequence)
}

/// Requests only the chain; the kernel answers with an error if it is missing.
pub(crate) fn get_chain(sequence: u32) -> Message {
    let mut chained = Chained::new(sequence);
    let mut request = chained.request().op_getchain_do(&ip_header());
    request
        .encode()
        .push_table_bytes(TABLE.as_bytes())
        .push_name_bytes(CHAIN.as_bytes());
    drop(request);
    Message::single(chained, sequence)
}

/// Requests a table of the `ip` family; the kernel answers with an error if it is missing.
pub(crate) fn get_table(name: &str, sequence: u32) -> Message {
    let mut chained = Chained::new(sequence);
    let mut request = chained.request().op_gettable_do(&ip_header());
    request.encode().push_name_bytes(name.as_bytes());
    drop(request);
    Message::single(chained, sequence)
}

/// Requests the chain's rules, in order; [`rule`] parses each answer.
pub(crate) fn get_rules(sequence: u32) -> Message {
    let mut chained = Chained::new(sequence);
    let mut request = chained.request().op_getrule_dump(&ip_header());
    request
        .encode()
        .push_table_bytes(TABLE.as_bytes())
        .push_chain_bytes(CHAIN.as_bytes());
    drop(request);
    Message::single(chained, sequence)
}

/// Inserts the rule at the chain's head and deletes the rules with these handles, atomically, and only if the rule set still has
/// this `generation`; otherwise the kernel refuses with ERESTART.
pub(crate) fn insert(bridge: &BridgeName, delete: &[u64], generation: u32, first: u32) -> Message {
    let mut batch = Batch::new(first, Some(generation));
    for handle in delete {
        batch.request(|request| {
            let mut request = request.op_delrule_do(&ip_header());
            let rule = request
                .encode()
                .push_table_bytes(TABLE.as_bytes())
                .push_chain_bytes(CHAIN.as_bytes());
            rule.push_handle(*handle);
        });
    }
    batch.request(|request| {
        // Created without "append", a rule goes to the head.
        let mut request = request.set_create().op_newrule_do(&ip_header());
        let rule = request
            .encode()
            .push_table_bytes(TABLE.as_bytes())
            .push_chain_bytes(CHAIN.as_bytes());
        push_expressions(rule.nested_expressions(), bridge);
    });
    batch.finish()
}

/// `-i BRIDGE -o BRIDGE -j ACCEPT`, with exactly the expressions that iptables-nft writes, so that it recognises the rule.
fn push_expressions<P: Pusher>(mut list: PushExprListAttrs<P>, bridge: &BridgeName) {
    for key in [MetaKeys::Iifname, MetaKeys::Oifname] {
        list = push_compare(push_meta(list, key), CmpOps::Eq, &bridge.terminated());
    }
    push_verdict(push_counter(list), ACCEPT);
}

/// Loads a property of the packet into the first register.
pub(crate) fn push_meta<P: Pusher>(
    list: PushExprListAttrs<P>,
    key: MetaKeys,
) -> PushExprListAttrs<P> {
    let load = list.nested_elem().nested_data_meta();
    load.push_key(key as u32)
        .push_dreg(Registers::Reg1 as u32)
        .end_nested()
        .end_nested()
}

/// Compares the first register; if the comparison fails, the rule ends here.
pub(crate) fn push_compare<P: Pusher>(
    list: PushExprListAttrs<P>,
    operator: CmpOps,
    value: &[u8],
) -> PushExprListAttrs<P> {
    let compare = list.nested_elem().nested_data_cmp();
    let compare = compare
        .push_sreg(Registers::Reg1 as u32)
        .push_op(operator as u32);
    compare
        .nested_data()
        .push_value(value)
        .end_nested()
        .end_nested()
        .end_nested()
}

/// Counts packets, from zero.
pub(crate) fn push_counter<P: Pusher>(list: PushExprListAttrs<P>) -> PushExprListAttrs<P> {
    let counter = list.nested_elem().nested_data_counter();
    counter
        .push_bytes(0)
        .push_packets(0)
        .end_nested()
        .end_nested()
}

/// Ends the rule with a verdict.
pub(crate) fn push_verdict<P: Pusher>(list: PushExprListAttrs<P>, code: u32) {
    let immediate = list
        .nested_elem()
        .nested_data_immediate()
        .push_dreg(Registers::RegVerdict as u32);
    let verdict = immediate
        .nested_data()
        .nested_verdict()
        .push_code(code)
        .end_nested();
    verdict.end_nested().end_nested().end_nested();
}

/// Parses the answer to [`get_generation`].
pub(crate) fn generation(answer: &[u8]) -> Result<u32, Malformed> {
    let (_, attributes) = OpGetgenDo::decode_reply(answer);
    attributes.get_id().map_err(|_| Malformed("generation"))
}

/// Parses one answer to [`get_rules`].
pub(crate) fn rule(answer: &[u8]) -> Result<Rule, Malformed> {
    let (_, attributes) = OpGetruleDump::decode_reply(answer);
    let handle = attributes
        .get_handle()
        .map_err(|_| Malformed("rule handle"))?;
    // A rule without expressions matches everything and decides nothing; the kernel omits the attribute or leaves it empty.
    let Ok(list) = attributes.get_expressions() else {
        return Ok(Rule {
            handle,
            expressions: Vec::new(),
        });
    };
    Ok(Rule {
        handle,
        expressions: list
            .get_elem()
            .map(|element| expression(&element))
            .collect(),
    })
}

/// Parses one expression; an unknown one counts as able to decide.
fn expression(element: &IterableExprAttrs<'_>) -> Expression {
    let known = match element.get_data() {
        Ok(ExprOps::Meta(meta)) => {
            let interface = match meta.get_key() {
                Ok(key) if key == MetaKeys::Iifname as u32 => Some(Interface::In),
                Ok(key) if key == MetaKeys::Oifname as u32 => Some(Interface::Out),
                _ => None,
            };
            match (interface, meta.get_dreg()) {
                (Some(interface), Ok(register)) => Some(Expression::Load(interface, register)),
                _ => Some(Expression::Condition),
            }
        }
        Ok(ExprOps::Cmp(cmp)) => {
            let comparison = match cmp.get_op() {
                Ok(op) if op == CmpOps::Eq as u32 => Comparison::Equal,
                Ok(op) if op == CmpOps::Neq as u32 => Comparison::Differs,
                _ => Comparison::Other,
            };
            match (
                cmp.get_sreg(),
                cmp.get_data().and_then(|data| data.get_value()),
            ) {
                (Ok(register), Ok(value)) => {
                    Some(Expression::Compare(register, comparison, value.to_vec()))
                }
                _ => None,
            }
        }
        Ok(ExprOps::Counter(_)) => Some(Expression::Counter),
        Ok(ExprOps::Immediate(immediate)) => match immediate.get_dreg() {
            Ok(register) if register == Registers::RegVerdict as u32 => {
                let verdict = immediate.get_data().and_then(|data| data.get_verdict());
                verdict
                    .and_then(|verdict| verdict.get_code())
                    .ok()
                    .map(Expression::Verdict)
            }
            Ok(_) => Some(Expression::Condition),
            Err(_) => None,
        },
        _ => None,
    };
    let harmless = || {
        element
            .get_name()
            .is_ok_and(|name| HARMLESS.contains(&name.to_bytes()))
    };
    known.unwrap_or_else(|| {
        if harmless() {
            Expression::Condition
        } else {
            Expression::Unknown
        }
    })
}
