//! Reads the recipes in CONTRIBUTING.md, so that tests follow them as written.

const PAGE: &str = include_str!("../../../CONTRIBUTING.md");

/// The block of CONTRIBUTING.md after the comment `recipe: NAME`, without its indentation.
pub(crate) fn block(name: &str) -> String {
    let mark = format!("<!-- recipe: {name} -->\n");
    let (_, rest) = PAGE.split_once(&mark).expect("a block of the recipe");
    let (fence, rest) = rest.split_once('\n').expect("a fence");
    let indent = &fence[..fence.len() - fence.trim_start().len()];
    let (body, _) = rest.split_once("```").expect("the end of the block");
    let lines = body.lines();
    let lines = lines.map(|line| line.strip_prefix(indent).unwrap_or(line));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The commands in the indented blocks of a section, without the descriptions beside them.
pub(crate) fn commands(section: &str) -> Vec<&'static str> {
    let heading = format!("\n## {section}\n");
    let (_, rest) = PAGE.split_once(&heading).expect("the section");
    let section = rest.split("\n## ").next().unwrap_or_default();
    let lines = section.lines().filter_map(|line| line.strip_prefix("    "));
    lines.filter_map(|line| line.split("  ").next()).collect()
}
