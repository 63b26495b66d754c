#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../../3s-server.example.toml");

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, "test.toml".into()).map_err(|error| error.to_string())
}

#[test]
fn the_example_is_the_default_and_has_every_key() {
    assert_eq!(parse(EXAMPLE), Ok(Config::default()));
    let keys = |table: toml::Table| -> Vec<String> {
        let inner = |(section, value): (String, toml::Value)| {
            let keys = value.as_table().unwrap().keys().cloned().collect::<Vec<_>>();
            keys.into_iter().map(move |key| format!("{section}.{key}"))
        };
        let mut keys: Vec<_> = table.into_iter().flat_map(inner).collect();
        keys.sort();
        keys
    };
    let ours = toml::Table::try_from(Config::default()).unwrap();
    assert_eq!(keys(toml::from_str(EXAMPLE).unwrap()), keys(ours));
}

#[test]
fn the_default_is_everybodys_default() {
    let config = parse("").unwrap();
    assert_eq!(format!("{:?}", config.settings()), format!("{:?}", Settings::default()));
    assert_eq!(config.request_limits(), routes::Limits::default());
    assert_eq!(config.connection_limits(), tls::Limits::default());
}

#[test]
fn measures() {
    let config = parse(
        "[grants]\nmax_ttl = \"7d\"\ndefault_ttl = 90\n[documents]\nmax_size = \"2GiB\"\nmin_free = 1048576\n\
         erase_delay = \"50ms\"",
    )
    .unwrap();
    assert_eq!(config.settings().erase_delay, Duration::from_millis(50));
    for nothing in ["\"0s\"", "0", "\"0ms\""] {
        let config = parse(&format!("[documents]\nerase_delay = {nothing}")).unwrap();
        assert_eq!(config.settings().erase_delay, Duration::ZERO, "{nothing}");
    }
    assert_eq!(Span(Duration::from_millis(1500)).to_string(), "1500ms");
    assert_eq!(config.settings().max_ttl, Duration::from_secs(604_800));
    assert_eq!(config.settings().default_ttl, Duration::from_secs(90));
    assert_eq!(config.settings().document_max, 2 << 30);
    assert_eq!(config.request_limits().document_max, 2 << 30);
    assert_eq!(config.settings().min_free, 1 << 20);
}

#[test]
fn the_audit_log_is_kept_for_ever_or_as_long_as_asked() {
    let keep = |value: &str| parse(&format!("[audit]\nkeep = {value}"));
    assert_eq!(keep("\"forever\"").unwrap().settings().audit_keep, None);
    let year = Duration::from_secs(365 * 86_400);
    assert_eq!(keep("\"365d\"").unwrap().settings().audit_keep, Some(year));
    assert_eq!(keep("31536000").unwrap().settings().audit_keep, Some(year));
    for (value, word) in
        [("\"12h\"", "audit.keep"), ("\"0s\"", "audit.keep"), ("\"ever\"", "forever"), ("true", "forever")]
    {
        let words = keep(value).unwrap_err();
        assert!(words.contains(word) && words.lines().count() >= 2, "{value}: {words}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_a_second_line() {
    for (text, word) in [
        ("[grants]\ndefault = \"1h\"", "default_ttl"),
        ("[grant]\n", "grants"),
        ("[grants]\nmax_ttl = \"soon\"", "24h"),
        ("[grants]\nmax_ttl = \"2026-11-22T15:04:05Z\"", "24h"),
        ("[grants]\nmax_ttl = -5", "24h"),
        ("[grants]\nmax_ttl = \"1h\"", "grants.default_ttl = 86400s is out of range"),
        ("[sessions]\nper_user = 0", "from 1 to 100"),
        ("[documents]\nmax_size = \"2TiB\"", "to 1TiB"),
        ("[documents]\nmin_free = \"64MB\"", "64MiB"),
        ("[documents]\nmin_free = \"99999999999TiB\"", "64MiB"),
        ("[documents]\nerase_delay = \"2m\"", "erase_delay = 120s is out of range"),
        ("[documents]\nerase_delay = \"xms\"", "200ms"),
        ("[documents]\nkeep_superseded = \"0s\"", "keep_superseded = 0s is out of range"),
        ("[connections]\nmax = 0", "connections.max = 0"),
        ("nonsense", "expected"),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.contains(word), "{text}: {error}");
        assert!(error.contains("3s-server.example.toml"), "{error}");
        assert_eq!(error.lines().count(), 2, "{error}");
    }
    let third = parse("[documents]\n\nmax_sise = 1").unwrap_err();
    assert!(third.starts_with("test.toml, line 3: unknown field `max_sise`"), "{third}");
    let missing = Config::load(Path::new("/nowhere/x.toml")).unwrap_err().to_string();
    assert!(missing.contains("/nowhere/x.toml") && missing.lines().count() == 2, "{missing}");
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,60}") {
        let _ = parse(&text);
        let _ = parse(&format!("[documents]\nmax_size = {text:?}"));
    }

    #[test]
    fn a_size_is_shown_as_it_is_read(bytes in 1u64..=DOCUMENT_MAX) {
        let config = parse(&format!("[documents]\nmax_size = \"{}\"", Size(bytes))).unwrap();
        prop_assert_eq!(config.documents.max_size, Size(bytes));
    }
}
