//! `verify-pins`: checks every pin in the files, and compares it with the servers.

use xtask_host::error::Result;
use xtask_host::report::Report;
use xtask_online::{Cosign, Count, PinState, Verifier};
use xtask_pins::inventory::table::{self, Row};
use xtask_pins::inventory::{Inventory, Pin, judge};
use xtask_pins::verify_pins::VerifyPinsArgs;
use xtask_pins::waivers;

use crate::context::Context;

/// Runs the verb: the offline findings, and the state of each pin.
pub(crate) async fn run(context: &Context, args: &VerifyPinsArgs) -> Result<Report> {
    verify(context, &context.verifier()?, "verify-pins", args).await
}

/// As [`run`], with `verifier`, as the report of `verb`.
pub(crate) async fn verify(
    context: &Context,
    verifier: &Verifier,
    verb: &'static str,
    args: &VerifyPinsArgs,
) -> Result<Report> {
    let today = waivers::today(args.today.as_deref())?;
    // Check first, because without cosign, `--signatures` must fail completely.
    let cosign = args.signatures.then(|| context.cosign()).transpose()?;
    let inventory = Inventory::read(&context.workspace.root)?;
    let findings = judge(&inventory, today);
    let report = ask(verifier, cosign.as_ref(), verb, &inventory.pins).await?;
    Ok(report.with_findings(findings))
}

/// The report of `verb` on the states of `pins`, and on their signatures if `cosign` is given.
pub(crate) async fn ask(
    verifier: &Verifier,
    cosign: Option<&Cosign>,
    verb: &'static str,
    pins: &[Pin],
) -> Result<Report> {
    let mut states = verifier.states(pins).await;
    let signatures = match cosign {
        Some(cosign) => signatures(cosign.verify(pins, &mut states).await?),
        None => String::new(),
    };
    let mut findings = Vec::new();
    let mut rows = Vec::new();
    for (pin, state) in pins.iter().zip(&states) {
        findings.extend(state.as_ref().and_then(|state| state.finding(pin)));
        let known = state.as_ref().map(PinState::to_row);
        let state = known.unwrap_or_else(|| table::PinState::offline(pin));
        rows.push(Row { pin, state });
    }
    let text = format!("{}\n{signatures}{}", table::summary(pins), lines(&rows));
    Ok(Report::new(verb, table::reported(&rows), text)
        .with_table(table::markdown(&rows))
        .with_findings(findings))
}

fn signatures(count: Count) -> String {
    let Count {
        verified,
        failed,
        left_out,
    } = count;
    format!("signatures: {verified} verified, {failed} failed, {left_out} not checked\n")
}

/// One line per pin, with its state.
fn lines(rows: &[Row<'_>]) -> String {
    let line = |row: &Row<'_>| {
        format!(
            "{:<16}  {} {}\n",
            row.state.word,
            row.pin.kind(),
            row.pin.name()
        )
    };
    rows.iter().map(line).collect()
}
