//! Plans, without touching the kernel, the change that allows traffic inside one bridge network to pass `DOCKER-USER`.
//!
//! The rule has to be *effective*, not merely present: after a `RETURN`, it would never be reached. So the plan evaluates the chain
//! for a packet that enters and leaves by the bridge, up to the first rule that could decide about it.

use std::fmt;

/// The nftables table that iptables-nft calls `filter`.
pub(crate) const TABLE: &str = "filter";

/// The chain that Docker reserves for its users, and runs before its own rules.
pub(crate) const CHAIN: &str = "DOCKER-USER";

/// `NF_ACCEPT` in linux/netfilter.h.
pub(crate) const ACCEPT: u32 = 1;

/// `NFT_CONTINUE` in linux/netfilter/nf_tables.h: continue with the next rule.
const CONTINUE: u32 = u32::MAX;

/// A network interface's name, limited to characters that every tool interprets the same way.
///
/// The kernel allows more, but a `+` at the end is a wildcard for iptables, and quotes or control
/// characters would make messages misleading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BridgeName(String);

impl BridgeName {
    /// Accepts 1 to 15 bytes (IFNAMSIZ less the terminator) of letters, digits, `.`, `_` and `-`, not starting with a dash.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let length = (1..=15).contains(&text.len());
        let characters = text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        let special = text.starts_with('-') || text == "." || text == "..";
        (length && characters && !special).then(|| Self(text.to_owned()))
    }

    /// The name's bytes, without the terminator.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The name with its terminator, for an exact comparison; without the terminator, it would match a prefix.
    pub(crate) fn terminated(&self) -> Vec<u8> {
        [self.as_bytes(), b"\0"].concat()
    }
}

impl fmt::Display for BridgeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The two packet properties that our rule compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interface {
    /// The name of the incoming interface.
    In,
    /// The name of the outgoing interface.
    Out,
}

/// The operator of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// Equal.
    Equal,
    /// Not equal.
    Differs,
    /// Anything else.
    Other,
}

/// One expression of a rule, reduced to what the decision needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expression {
    /// Loads an interface name into a register.
    Load(Interface, u32),
    /// Compares a register with fixed bytes; if they differ, the rule ends here.
    Compare(u32, Comparison, Vec<u8>),
    /// Counts packets.
    Counter,
    /// A verdict by its code.
    Verdict(u32),
    /// An expression that can only narrow the rule or observe the packet; it may overwrite any register.
    Condition,
    /// An expression that might decide about the packet: a reject, a jump by map, an xtables target.
    Unknown,
}

/// One rule of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The kernel's handle for it, unique in the table.
    pub(crate) handle: u64,
    /// Its expressions, in order.
    pub(crate) expressions: Vec<Expression>,
}

/// The change to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// The rule is effective; there is nothing to write.
    Keep,
    /// Insert the rule at the head, and in the same transaction delete its ineffective copies,
    /// named by handle.
    Insert {
        /// Handles of the copies.
        delete: Vec<u64>,
    },
}

/// The effect of a rule on a packet that enters and leaves by the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// It is our rule.
    Ours,
    /// It leaves the decision to the next rule.
    Passes,
    /// It may decide.
    MayDecide,
}

/// Plans the change, given the chain's rules in order.
pub(crate) fn plan(rules: &[Rule], bridge: &BridgeName) -> Plan {
    let effects: Vec<Effect> = rules.iter().map(|rule| effect(rule, bridge)).collect();
    let first = effects.iter().find(|effect| **effect != Effect::Passes);
    if first == Some(&Effect::Ours) {
        return Plan::Keep;
    }
    let copies = rules
        .iter()
        .zip(&effects)
        .filter(|(_, effect)| **effect == Effect::Ours);
    Plan::Insert {
        delete: copies.map(|(rule, _)| rule.handle).collect(),
    }
}

fn effect(rule: &Rule, bridge: &BridgeName) -> Effect {
    // Only the newest load counts: registers overlap, so any load may have overwritten an older
    // one.
    let mut loaded: Option<(u32, Interface)> = None;
    let (mut by_in, mut by_out, mut narrowed) = (false, false, false);
    for expression in &rule.expressions {
        match expression {
            Expression::Counter => {}
            Expression::Load(interface, register) => loaded = Some((*register, *interface)),
            Expression::Compare(register, comparison, data) => {
                let interface = loaded
                    .filter(|(known, _)| known == register)
                    .map(|(_, interface)| interface);
                let holds = same_name(data, bridge);
                match (interface, comparison) {
                    (Some(_), Comparison::Equal) if !holds => return Effect::Passes,
                    (Some(_), Comparison::Differs) if holds => return Effect::Passes,
                    (Some(Interface::In), Comparison::Equal) if data.contains(&0) => by_in = true,
                    (Some(Interface::Out), Comparison::Equal) if data.contains(&0) => by_out = true,
                    _ => narrowed = true,
                }
            }
            Expression::Condition => {
                loaded = None;
                narrowed = true;
            }
            Expression::Verdict(CONTINUE) => return Effect::Passes,
            Expression::Verdict(ACCEPT) if by_in && by_out && !narrowed => return Effect::Ours,
            Expression::Verdict(_) | Expression::Unknown => return Effect::MayDecide,
        }
    }
    Effect::Passes
}

/// Whether the bytes of a comparison match the bridge: with a terminator the whole name, otherwise a prefix.
fn same_name(data: &[u8], bridge: &BridgeName) -> bool {
    match data.split(|byte| *byte == 0).next() {
        Some(name) if name.len() < data.len() => name == bridge.as_bytes(),
        _ => bridge.as_bytes().starts_with(data),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Comparison::{Differs, Equal};
    use Expression::{Compare, Condition, Counter, Load, Unknown, Verdict};

    const RETURN: u32 = -5_i32 as u32;

    fn bridge() -> BridgeName {
        BridgeName::parse("br-polis").expect("a valid name")
    }

    fn rule(handle: u64, expressions: Vec<Expression>) -> Rule {
        Rule {
            handle,
            expressions,
        }
    }

    fn accept(handle: u64, name_in: &[u8], name_out: &[u8]) -> Rule {
        let compare =
            |interface, name: &[u8]| [Load(interface, 1), Compare(1, Equal, name.to_vec())];
        let mut expressions = Vec::new();
        expressions.extend(compare(Interface::In, name_in));
        expressions.extend(compare(Interface::Out, name_out));
        expressions.extend([Counter, Verdict(ACCEPT)]);
        rule(handle, expressions)
    }

    fn ours(handle: u64) -> Rule {
        accept(handle, b"br-polis\0", b"br-polis\0")
    }

    fn returns(handle: u64) -> Rule {
        rule(handle, vec![Counter, Verdict(RETURN)])
    }

    #[test]
    fn interface_names_are_short_and_plain() {
        for name in ["b", "br-polis", "br_0.1", "fifteen-letters"] {
            assert!(BridgeName::parse(name).is_some(), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "-i",
            "br+",
            "br/0",
            "br:0",
            "br 0",
            "br\n",
            "sixteen-letters!",
            "sixteen--letters",
            "bré",
        ] {
            assert!(BridgeName::parse(name).is_none(), "{name}");
        }
    }

    #[test]
    fn the_rule_is_added_to_an_empty_chain_or_one_that_returns() {
        assert_eq!(plan(&[], &bridge()), Plan::Insert { delete: vec![] });
        assert_eq!(
            plan(&[returns(2)], &bridge()),
            Plan::Insert { delete: vec![] }
        );
    }

    #[test]
    fn a_rule_at_the_head_is_kept_even_if_duplicated() {
        assert_eq!(plan(&[ours(3), returns(2)], &bridge()), Plan::Keep);
        assert_eq!(plan(&[ours(4), ours(3), returns(2)], &bridge()), Plan::Keep);
    }

    #[test]
    fn a_rule_that_is_never_reached_moves_to_the_head() {
        assert_eq!(
            plan(&[returns(2), ours(3), ours(4)], &bridge()),
            Plan::Insert { delete: vec![3, 4] }
        );
        let reject = rule(1, vec![Counter, Unknown]);
        assert_eq!(
            plan(&[reject, ours(3)], &bridge()),
            Plan::Insert { delete: vec![3] }
        );
    }

    #[test]
    fn rules_about_other_interfaces_do_not_count() {
        let other = rule(
            1,
            vec![
                Load(Interface::In, 1),
                Compare(1, Equal, b"eth0\0".to_vec()),
                Verdict(0),
            ],
        );
        let not_ours = rule(
            2,
            vec![
                Load(Interface::Out, 9),
                Compare(9, Differs, b"br-polis\0".to_vec()),
                Verdict(0),
            ],
        );
        let count = rule(3, vec![Condition, Counter]);
        assert_eq!(
            plan(&[other, not_ours, count, ours(4)], &bridge()),
            Plan::Keep
        );
    }

    #[test]
    fn rules_that_may_catch_the_bridge_do_count() {
        let wildcard = rule(
            1,
            vec![
                Load(Interface::In, 1),
                Compare(1, Equal, b"br-".to_vec()),
                Verdict(0),
            ],
        );
        let overwritten = rule(
            2,
            vec![
                Load(Interface::In, 1),
                Condition,
                Compare(1, Equal, b"eth0\0".to_vec()),
                Verdict(0),
            ],
        );
        for rule in [wildcard, overwritten] {
            assert_eq!(
                plan(&[rule, ours(4)], &bridge()),
                Plan::Insert { delete: vec![4] }
            );
        }
    }

    #[test]
    fn only_the_exact_rule_is_ours() {
        let wide = accept(1, b"br-polis", b"br-polis\0");
        let one_sided = rule(
            2,
            vec![
                Load(Interface::In, 1),
                Compare(1, Equal, b"br-polis\0".to_vec()),
                Verdict(ACCEPT),
            ],
        );
        let mut narrowed = ours(3);
        narrowed.expressions.insert(0, Condition);
        let mut drops = ours(4);
        drops.expressions.pop();
        drops.expressions.push(Verdict(0));
        for rule in [wide, one_sided, narrowed, drops] {
            assert_eq!(plan(&[rule], &bridge()), Plan::Insert { delete: vec![] });
        }
        assert_eq!(
            plan(
                &[accept(5, b"br-polis\0\0\0", b"br-polis\0\0\0")],
                &bridge()
            ),
            Plan::Keep
        );
    }
}
