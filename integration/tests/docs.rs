//! What the documentation shows is what happens.

#![allow(clippy::unwrap_used)]

use std::fs;

use sss_integration::binaries::workspace;
use sss_integration::transcript::{replay, transcripts};

#[test]
fn the_transcripts_in_semantics_are_true() {
    let page = fs::read_to_string(workspace().join("docs/SEMANTICS.md")).unwrap();
    let blocks = transcripts(&page);
    assert!(blocks.len() >= 8, "only {} transcripts were found", blocks.len());
    let wrong: Vec<String> = blocks
        .iter()
        .filter_map(|block| replay(block).map(|what| format!("docs/SEMANTICS.md:{}:\n{what}", block.line)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for page in
        ["README.md", "CHANGELOG.md", "docs/SEMANTICS.md", "docs/THREAT-MODEL.md", "docs/CONTRIBUTING.md"]
    {
        let path = workspace().join(page);
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            let elsewhere = target.is_empty() || target.contains("://");
            if !elsewhere && !path.parent().unwrap().join(target).exists() {
                broken.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "links to what is not there:\n{}", broken.join("\n"));
}
