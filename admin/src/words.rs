//! Others' words on a terminal.

/// A name, path or other text of somebody's on one line of a terminal: what would move its cursor or turn its writing round is escaped, as is `\`.
pub fn shown(path: &str) -> String {
    let mut shown = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            '\\' => shown.push_str("\\\\"),
            c if is_plain(c) => shown.push(c),
            c => shown.extend(c.escape_default()),
        }
    }
    shown
}

/// Whether a character may go to a terminal as it is: no control, and none that turns writing round or begins a line.
pub fn is_plain(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
