//! Encodes the tables of [`guard`](crate::guard) as one nf_tables transaction; no I/O.

use netlink_bindings::nftables::{
    CmpOps, CtKeys, MetaKeys, Nfgenmsg, PayloadBase, PushExprListAttrs, Registers, Request,
};
use netlink_bindings::traits::Pusher;

use crate::bridge::ACCEPT;
use crate::guard::{Chain, Match, Rule, Table, Verdict};
use crate::wire::{self, Batch, Message};

/// `NF_DROP` in linux/netfilter.h.
const DROP: u32 = 0;

/// Just before priority `filter`, which Docker and most firewalls use.
const PRIORITY: i32 = -1;

/// `IP_CT_DIR_REPLY` in linux/netfilter/nf_conntrack_tuple_common.h.
const REPLY: u8 = 1;

/// Offsets of the destination address in the IPv4 header and of the destination port in the TCP and
/// UDP headers.
const IPV4_DESTINATION: u32 = 16;
const DESTINATION_PORT: u32 = 2;

/// Replaces the tables of this name by `tables` atomically, whether or not they exist.
pub(crate) fn replace(name: &str, tables: &[Table], first: u32) -> Message {
    let mut batch = Batch::new(first, None);
    for table in tables {
        let header = wire::header(table.family);
        // Deleting a table that does not exist fails, so create it first.
        batch.request(|request| create_table(request, &header, name));
        batch.request(|request| delete_table(request, &header, name));
        batch.request(|request| create_table(request, &header, name));
        for chain in &table.chains {
            batch.request(|request| push_chain(request, &header, name, chain));
            for rule in &chain.rules {
                batch.request(|request| push_rule(request, &header, name, chain, rule));
            }
        }
    }
    batch.finish()
}

fn create_table(request: Request<'_>, header: &Nfgenmsg, name: &str) {
    let mut request = request.set_create().op_newtable_do(header);
    request.encode().push_name_bytes(name.as_bytes());
}

fn delete_table(request: Request<'_>, header: &Nfgenmsg, name: &str) {
    let mut request = request.op_deltable_do(header);
    request.encode().push_name_bytes(name.as_bytes());
}

fn push_chain(request: Request<'_>, header: &Nfgenmsg, table: &str, chain: &Chain) {
    let mut request = request.set_create().op_newchain_do(header);
    request
        .encode()
        .push_table_bytes(table.as_bytes())
        .push_name_bytes(chain.name.as_bytes())
        .nested_hook()
        .push_num(chain.hook)
        .push_priority(PRIORITY)
        .end_nested()
        .push_policy(ACCEPT)
        .push_type_bytes(b"filter");
}

fn push_rule(request: Request<'_>, header: &Nfgenmsg, table: &str, chain: &Chain, rule: &Rule) {
    let mut request = request.set_create().set_append().op_newrule_do(header);
    let attributes = request
        .encode()
        .push_table_bytes(table.as_bytes())
        .push_chain_bytes(chain.name.as_bytes());
    let mut list = attributes.nested_expressions();
    for condition in &rule.matches {
        list = push_match(list, condition);
    }
    match rule.verdict {
        Verdict::Accept => wire::push_verdict(list, ACCEPT),
        Verdict::Drop => wire::push_verdict(wire::push_counter(list), DROP),
    };
}

fn push_match<P: Pusher>(list: PushExprListAttrs<P>, condition: &Match) -> PushExprListAttrs<P> {
    use wire::{push_compare, push_meta};
    match condition {
        Match::In(name) => {
            let list = push_meta(list, MetaKeys::Iifname);
            push_compare(list, CmpOps::Eq, &name.terminated())
        }
        Match::Out(name) => {
            let list = push_meta(list, MetaKeys::Oifname);
            push_compare(list, CmpOps::Eq, &name.terminated())
        }
        Match::NotOut(name) => {
            let list = push_meta(list, MetaKeys::Oifname);
            push_compare(list, CmpOps::Neq, &name.terminated())
        }
        Match::Family(family) => {
            let list = push_meta(list, MetaKeys::Nfproto);
            push_compare(list, CmpOps::Eq, &[*family])
        }
        Match::To(network, length) => {
            let mut list = push_payload(list, PayloadBase::NetworkHeader, IPV4_DESTINATION, 4);
            if *length < 32 {
                let mask = !(u32::MAX >> length);
                list = push_mask(list, &mask.to_be_bytes());
            }
            push_compare(list, CmpOps::Eq, &network.octets())
        }
        Match::Port(protocol, port) => {
            let list = push_meta(list, MetaKeys::L4Proto);
            let list = push_compare(list, CmpOps::Eq, &[*protocol]);
            let list = push_payload(list, PayloadBase::TransportHeader, DESTINATION_PORT, 2);
            push_compare(list, CmpOps::Eq, &port.to_be_bytes())
        }
        Match::Reply => {
            let load = list.nested_elem().nested_data_ct();
            let list = load
                .push_key(CtKeys::Direction as u32)
                .push_dreg(Registers::Reg1 as u32)
                .end_nested()
                .end_nested();
            push_compare(list, CmpOps::Eq, &[REPLY])
        }
    }
}

/// Loads bytes of a header.
fn push_payload<P: Pusher>(
    list: PushExprListAttrs<P>,
    base: PayloadBase,
    offset: u32,
    length: u32,
) -> PushExprListAttrs<P> {
    let load = list.nested_elem().nested_data_payload();
    load.push_dreg(Registers::Reg1 as u32)
        .push_base(base as u32)
        .push_offset(offset)
        .push_len(length)
        .end_nested()
        .end_nested()
}

/// Keeps the bits of the mask.
fn push_mask<P: Pusher>(list: PushExprListAttrs<P>, mask: &[u8; 4]) -> PushExprListAttrs<P> {
    let bitwise = list.nested_elem().nested_data_bitwise();
    bitwise
        .push_sreg(Registers::Reg1 as u32)
        .push_dreg(Registers::Reg1 as u32)
        .push_len(4)
        .nested_mask()
        .push_value(mask)
        .end_nested()
        .nested_xor()
        .push_value(&[0; 4])
        .end_nested()
        .end_nested()
        .end_nested()
}
