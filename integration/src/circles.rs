//! Circles of imports inside a crate, as something that can be checked.
//!
//! Every path that begins with `crate`, `self` or `super`, and every `use`, is followed to the module where what it names
//! stands, through re-exports too. Between the modules of one folder that makes arrows; a circle of arrows is reported
//! with the line behind each. A module may name its own children and they may name it: only siblings are compared,
//! at every depth. What is compiled for tests alone is passed over.
//!
//! A reader of words, not of Rust. Where it cannot tell, it sees too many arrows rather than too few:
//! `use super::*` names all that the parent brings in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;

use crate::layers::{code_of, module_of, sources};

/// A module's place in its crate: `store::sqlite` is `[store, sqlite]`, the root is empty.
type Place = Vec<String>;

/// How many re-exports are followed from one name.
const HOPS: usize = 8;

/// Arrows between the children of one module; each with the line that it was first seen on.
type Arrows = BTreeMap<(String, String), String>;

/// The circles in a crate's `src` folder, one text each.
pub fn circles(src: &Path) -> Vec<String> {
    let files: Vec<(String, String)> = sources(src)
        .iter()
        .map(|file| {
            let within = file.strip_prefix(src).unwrap_or(file).display().to_string();
            (within, fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display())))
        })
        .collect();
    circles_among(&files)
}

/// The circles among files, each a path below `src` with its text. `a: b -> c -> b` are children of `a`;
/// the lines behind the arrows follow.
pub fn circles_among(files: &[(String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (place, arrows) in Crate::read(files).arrows() {
        let mut told: BTreeSet<String> = BTreeSet::new();
        for (from, _) in arrows.keys() {
            if told.contains(from) {
                continue;
            }
            let Some(circle) = shortest(from, &arrows) else { continue };
            let lines: Vec<&str> = circle
                .windows(2)
                .filter_map(|pair| arrows.get(&(pair[0].clone(), pair[1].clone())).map(String::as_str))
                .collect();
            let place = if place.is_empty() { "crate".into() } else { place.join("::") };
            found.push(format!("{place}: {} ({})", circle.join(" -> "), lines.join(", ")));
            told.extend(circle);
        }
    }
    found
}

/// The shortest way along the arrows that leads back to where it began.
fn shortest(start: &str, arrows: &Arrows) -> Option<Vec<String>> {
    let mut ways = VecDeque::from([vec![start.to_string()]]);
    let mut reached = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for (_, to) in arrows.keys().filter(|(from, _)| Some(from) == way.last()) {
            let further: Vec<String> = way.iter().chain([to]).cloned().collect();
            if to == start {
                return Some(further);
            }
            if reached.insert(to.clone()) {
                ways.push_back(further);
            }
        }
    }
    None
}

/// A path that a module names.
struct Named {
    path: Vec<String>,
    /// Under which name it is known in the module from then on, for `use`; `*` brings in all.
    alias: Option<String>,
    /// File and line.
    at: String,
}

/// What stands in one module.
#[derive(Default)]
struct Module {
    names: Vec<Named>,
    defines: BTreeSet<String>,
}

#[derive(Default)]
struct Crate {
    modules: BTreeMap<Place, Module>,
}

impl Crate {
    fn read(files: &[(String, String)]) -> Self {
        let mut read = Crate::default();
        let mut test_only: Vec<Place> = Vec::new();
        for (file, text) in files {
            let place = module_of(Path::new(file));
            read.modules.entry(place.clone()).or_default();
            Reader { file, words: &words(text), at: 0 }.read(place, &mut read.modules, &mut test_only);
        }
        read.modules.retain(|place, _| !test_only.iter().any(|test| place.starts_with(test)));
        read
    }

    fn arrows(&self) -> BTreeMap<Place, Arrows> {
        let mut arrows: BTreeMap<Place, Arrows> = BTreeMap::new();
        for (from, module) in &self.modules {
            for named in &module.names {
                for to in self.targets(from, &named.path, HOPS) {
                    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
                    if let (Some(own), Some(other)) = (from.get(common), to.get(common)) {
                        let between = arrows.entry(from[..common].to_vec()).or_default();
                        between.entry((own.clone(), other.clone())).or_insert_with(|| named.at.clone());
                    }
                }
            }
        }
        arrows
    }

    /// The modules that a path leads to from a module: where it stops, and where what it names comes from.
    fn targets(&self, from: &Place, path: &[String], hops: usize) -> Vec<Place> {
        let mut place = from.clone();
        let mut rest = path;
        match path.first().map(String::as_str) {
            Some("crate") => (place, rest) = (Vec::new(), &path[1..]),
            Some("self") => rest = &path[1..],
            Some("super") => {}
            Some(first) if self.modules.contains_key(&child(from, first)) => {}
            // Another crate, or a name that the module has already: that was seen where it came in.
            _ => return Vec::new(),
        }
        while let Some((first, more)) = rest.split_first() {
            match first.as_str() {
                "super" => drop(place.pop()),
                name if self.modules.contains_key(&child(&place, name)) => place.push(name.into()),
                _ => break,
            }
            rest = more;
        }
        let mut found = vec![place.clone()];
        if let (Some(name), true) = (rest.first(), hops > 0) {
            found.extend(self.origins(&place, name, hops - 1));
        }
        found
    }

    /// Where a name comes from that a module brings in with `use`.
    fn origins(&self, place: &Place, name: &str, hops: usize) -> Vec<Place> {
        let Some(module) = self.modules.get(place).filter(|module| !module.defines.contains(name)) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for named in &module.names {
            match named.alias.as_deref() {
                Some("*") => {
                    let globs = self.targets(place, &named.path[..named.path.len() - 1], hops);
                    found.extend(globs.into_iter().filter(|glob| {
                        let defines = |module: &Module| module.defines.contains(name);
                        name == "*" || self.modules.get(glob).is_some_and(defines)
                    }));
                }
                Some(alias) if alias == name || name == "*" => {
                    found.extend(self.targets(place, &named.path, hops));
                }
                _ => {}
            }
        }
        found
    }
}

fn child(place: &[String], name: &str) -> Place {
    place.iter().cloned().chain([name.to_string()]).collect()
}

/// A word or sign of the text, with its line.
type Word = (String, usize);

fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let code = code_of(line);
        let mut rest = code.as_str();
        while let Some(first) = rest.chars().next() {
            let in_name = |c: char| c.is_alphanumeric() || c == '_';
            let length = match first {
                c if in_name(c) => rest.find(|c| !in_name(c)).unwrap_or(rest.len()),
                _ if rest.starts_with("::") => 2,
                c => c.len_utf8(),
            };
            if !first.is_whitespace() {
                words.push((rest[..length].to_string(), at + 1));
            }
            rest = &rest[length..];
        }
    }
    words
}

/// Reads one file word by word.
struct Reader<'a> {
    file: &'a str,
    words: &'a [Word],
    at: usize,
}

impl Reader<'_> {
    fn read(&mut self, place: Place, modules: &mut BTreeMap<Place, Module>, test_only: &mut Vec<Place>) {
        const KEYWORDS: [&str; 8] = ["struct", "enum", "trait", "type", "const", "static", "fn", "union"];
        // Inline modules, each with how many braces were open around it.
        let (mut inside, mut braces): (Vec<usize>, usize) = (Vec::new(), 0);
        let mut here = place;
        while self.at < self.words.len() {
            let line = self.words[self.at].1;
            let word = self.word(0).to_string();
            if word == "#" && self.is_test_only() {
                self.skip_item(&here, test_only);
                continue;
            }
            let before = self.at.checked_sub(1).map(|at| self.words[at].0.as_str());
            let mut named = Vec::new();
            match word.as_str() {
                "{" => braces += 1,
                "}" => {
                    braces = braces.saturating_sub(1);
                    if inside.last() == Some(&braces) {
                        inside.pop();
                        here.pop();
                    }
                }
                "mod" if self.word(2) == "{" => {
                    here.push(self.word(1).into());
                    inside.push(braces);
                    modules.entry(here.clone()).or_default();
                    self.at += 1;
                }
                "use" if before != Some(".") => {
                    self.at += 1;
                    self.tree(Vec::new(), &mut named);
                    self.at = self.at.saturating_sub(1);
                }
                "crate" | "self" | "super" if self.word(1) == "::" && before != Some("::") => {
                    let path = self.path();
                    named.push((path, None));
                }
                word if KEYWORDS.contains(&word) || (word == "!" && before == Some("macro_rules")) => {
                    let name = self.word(1).to_string();
                    modules.entry(here.clone()).or_default().defines.insert(name);
                }
                _ => {}
            }
            let at = format!("{}:{line}", self.file);
            let module = modules.entry(here.clone()).or_default();
            module.names.extend(named.into_iter().map(|(path, alias)| Named { path, alias, at: at.clone() }));
            self.at += 1;
        }
    }

    fn word(&self, ahead: usize) -> &str {
        self.words.get(self.at + ahead).map_or("", |(word, _)| word)
    }

    /// `a::b::c`; ends on its last word.
    fn path(&mut self) -> Vec<String> {
        let mut path = vec![self.word(0).to_string()];
        let is_name = |word: &str| word.starts_with(|c: char| c.is_alphabetic() || c == '_');
        while self.word(1) == "::" && is_name(self.word(2)) {
            self.at += 2;
            path.push(self.word(0).into());
        }
        path
    }

    /// What a `use` says from here on: each path, and the name that it has then. Ends behind it.
    fn tree(&mut self, prefix: Vec<String>, found: &mut Vec<(Vec<String>, Option<String>)>) {
        let mut path = prefix;
        loop {
            match self.word(0) {
                "{" => {
                    self.at += 1;
                    while !matches!(self.word(0), "}" | ";" | "") {
                        self.tree(path.clone(), found);
                        if self.word(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "::" => self.at += 1,
                "" | ";" | "," | "}" => break,
                "as" => {
                    let alias = self.word(1).to_string();
                    self.at += 2;
                    found.push((path, Some(alias)));
                    return;
                }
                "self" if !path.is_empty() => self.at += 1,
                name => {
                    path.push(name.into());
                    self.at += 1;
                }
            }
        }
        let alias = path.last().cloned();
        found.push((path, alias));
    }

    /// Whether `#[cfg(test)]` stands here.
    fn is_test_only(&self) -> bool {
        let attribute: String = (0..7).map(|ahead| self.word(ahead)).collect();
        attribute == "#[cfg(test)]"
    }

    /// Passes over an item, its attributes too. One that is a module in a file of its own is noted.
    fn skip_item(&mut self, here: &Place, test_only: &mut Vec<Place>) {
        self.at += 7;
        if self.word(0) == "mod" && self.word(2) == ";" {
            test_only.push(child(here, self.word(1)));
        }
        let mut open = 0usize;
        while self.at < self.words.len() {
            match self.word(0) {
                "{" | "(" | "[" => open += 1,
                ")" | "]" => open = open.saturating_sub(1),
                "}" => {
                    open = open.saturating_sub(1);
                    if open == 0 {
                        self.at += 1;
                        return;
                    }
                }
                ";" if open == 0 => {
                    self.at += 1;
                    return;
                }
                _ => {}
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests;
