//! Other `user.*` attributes: kept with the document, whatever becomes of its name and content.

use sss_common::limits::{XATTR_TOTAL_MAX, XATTR_VALUE_MAX};
use sss_common::{Kind, XattrMode};

use super::policy::Want;
use super::{Id, Model, Refused};
use crate::answer::{Answer, attribute_line};
use crate::step::{Path, Seat};

impl Model {
    /// A link can have no `user.*` attributes, on any Linux file system.
    pub(super) fn walk_to_attributes(&mut self, seat: Seat, path: &Path) -> Refused<Id> {
        let id = self.walk(seat, path)?;
        if self.nodes[&id].kind == Kind::Symlink { Err(libc::EPERM) } else { Ok(id) }
    }

    pub(super) fn set_attribute(
        &mut self,
        seat: Seat,
        path: &Path,
        name: &'static str,
        value: Vec<u8>,
        how: XattrMode,
    ) -> Refused<Answer> {
        let id = self.walk_to_attributes(seat, path)?;
        if value.len() > XATTR_VALUE_MAX {
            return Err(libc::E2BIG);
        }
        self.decide(id, seat.user(), Want::Write)?;
        let Some(node) = self.nodes.get_mut(&id) else { return Err(libc::ENOENT) };
        match (how, node.attributes.contains_key(name)) {
            (XattrMode::Create, true) => return Err(libc::EEXIST),
            (XattrMode::Replace, false) => return Err(libc::ENODATA),
            _ => {}
        }
        let others = node.attributes.iter().filter(|(other, _)| **other != name);
        let others: usize = others.map(|(other, value)| other.len() + value.len()).sum();
        if others + name.len() + value.len() > XATTR_TOTAL_MAX {
            return Err(libc::ENOSPC);
        }
        node.attributes.insert(name, value);
        Ok(Answer::Done)
    }

    /// Who may neither read nor write sees none.
    fn may_see_attributes(&self, seat: Seat, id: Id) -> bool {
        self.decide(id, seat.user(), Want::Read).or(self.decide(id, seat.user(), Want::Write)).is_ok()
    }

    pub(super) fn attribute(&mut self, seat: Seat, path: &Path, name: &str) -> Refused<Answer> {
        let id = self.walk(seat, path)?;
        let value = self.nodes[&id].attributes.get(name).filter(|_| self.may_see_attributes(seat, id));
        value.cloned().map(Answer::Bytes).ok_or(libc::ENODATA)
    }

    pub(super) fn remove_attribute(&mut self, seat: Seat, path: &Path, name: &str) -> Refused<Answer> {
        let id = self.walk_to_attributes(seat, path)?;
        self.decide(id, seat.user(), Want::Write)?;
        let removed = self.nodes.get_mut(&id).and_then(|node| node.attributes.remove(name));
        removed.map(|_| Answer::Done).ok_or(libc::ENODATA)
    }

    pub(super) fn attributes(&mut self, seat: Seat, path: &Path) -> Refused<Answer> {
        let id = self.walk(seat, path)?;
        let node = &self.nodes[&id];
        let mut lines = Vec::new();
        if self.may_see_attributes(seat, id) {
            lines.extend(node.attributes.iter().map(|(name, value)| attribute_line(name, value)));
        }
        let flag = node.integrity.filter(|_| node.kind != Kind::Symlink && self.owns(id, seat.user()));
        let flag = flag.map(|integrity| if integrity { "integrity" } else { "confidentiality" });
        lines.extend(flag.map(|flag| attribute_line("user.3s.flag", flag.as_bytes())));
        lines.sort();
        Ok(Answer::Lines(lines))
    }

    /// Whether what stands at a path has such attributes.
    pub fn has_attributes(&self, path: &Path) -> bool {
        self.at(path).is_some_and(|id| !self.nodes[&id].attributes.is_empty())
    }
}
