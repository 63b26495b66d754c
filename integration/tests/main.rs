//! The end-to-end tests, one program for all of them: each would link everything anew.
//!
//! `cargo test -p sss-integration --test main sharing::` runs one family. `layering` is a program of its own, see `Cargo.toml`.

#![allow(missing_docs, clippy::disallowed_methods)]

mod admin;
mod audit;
mod backup;
mod basic;
mod clock;
mod correlate;
mod crashes;
mod docs;
mod drill;
mod ends;
mod full_disk;
mod grants;
mod harness;
mod identity;
mod integrity;
mod links;
mod logins;
mod man;
mod owners;
mod powercuts;
mod receipts;
mod recover;
mod renewal;
mod rotate;
mod scrub;
mod sessions;
mod sharing;
mod users;
mod versions;
mod wire;

#[test]
fn every_file_here_is_a_module() {
    let folder = sss_integration::binaries::workspace().join("integration/tests");
    let text = include_str!("main.rs");
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let name = entry.expect("it can be listed").file_name().into_string().expect("names are text");
        let Some(module) = name.strip_suffix(".rs").filter(|module| !["main", "layering"].contains(module))
        else {
            continue;
        };
        assert!(
            text.contains(&format!("\nmod {module};\n")),
            "{name} is in no test program: add `mod {module};`"
        );
    }
}
