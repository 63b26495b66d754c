//! Proofs that the policy allowed something. What was allowed is in a proof's type, so who needs one says which in a
//! signature, and a wrong one does not compile.

use std::fmt;

use sss_common::{NodeId, Timestamp, Uid};

use super::{Action, Extent};

/// What somebody wants to do, as a type: [`See`], [`Checkout`], [`Checkin`], [`Own`], [`Delete`] or [`Share`].
pub trait Act: sealed::Act + Copy + fmt::Debug + Send + Sync + 'static {
    /// The same as a value.
    const ACTION: Action;
}

/// Learn that it is there, and its attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct See;

/// Read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkout;

/// Write it; on a folder: make something in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkin;

/// Rename, flag, change the mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own;

/// Delete it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delete;

/// Grant and revoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share;

impl Act for See {
    const ACTION: Action = Action::See;
}

impl Act for Checkout {
    const ACTION: Action = Action::Checkout;
}

impl Act for Checkin {
    const ACTION: Action = Action::Checkin;
}

impl Act for Own {
    const ACTION: Action = Action::Own;
}

impl Act for Delete {
    const ACTION: Action = Action::Delete;
}

impl Act for Share {
    const ACTION: Action = Action::Share;
}

/// Proof that the policy allowed one act by one user on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed<A: Act> {
    user: Uid,
    node: NodeId,
    extent: Extent,
    act: A,
}

impl<A: Act> Allowed<A> {
    pub(super) fn new(user: Uid, node: NodeId, extent: Extent, act: A) -> Self {
        Allowed { user, node, extent, act }
    }

    /// Who may.
    pub fn user(&self) -> &Uid {
        &self.user
    }

    /// On what.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// What.
    pub fn act(&self) -> A {
        self.act
    }

    /// Until when the right lasts; `None` for the home's owner, and for `See`: who had a grant knows of the node for a day after its end.
    pub fn until(&self) -> Option<Timestamp> {
        self.extent.until
    }

    /// The right is for versions that were not replaced by then; `None`: for all.
    pub fn since(&self) -> Option<Timestamp> {
        self.extent.since
    }
}

impl Allowed<Checkin> {
    /// Who may make something in a folder owns what he makes there, as long as he may. `node` is the new node's id; a store
    /// refuses to make one that is there.
    pub fn made(&self, node: NodeId) -> Allowed<Own> {
        Allowed::new(self.user.clone(), node, Extent { since: None, ..self.extent }, Own)
    }
}

/// A proof with which content may be read: of [`Checkout`], [`Checkin`] (which reads the base of the blocks that it
/// changes in part) or [`Own`].
pub trait MayRead: sealed::Proof + fmt::Debug + Send + Sync {
    /// Who may.
    fn user(&self) -> &Uid;
    /// On what.
    fn node(&self) -> NodeId;
    /// What.
    fn action(&self) -> Action;
}

/// A proof with which content may be written: of [`Checkin`] or [`Own`].
pub trait MayWrite: MayRead {
    /// Whether it is of [`Own`]. An owner's proof of [`Checkin`] is not.
    fn proves_ownership(&self) -> bool;
}

impl<A: Act + sealed::Reads> MayRead for Allowed<A> {
    fn user(&self) -> &Uid {
        &self.user
    }

    fn node(&self) -> NodeId {
        self.node
    }

    fn action(&self) -> Action {
        A::ACTION
    }
}

impl<A: Act + sealed::Writes> MayWrite for Allowed<A> {
    fn proves_ownership(&self) -> bool {
        A::ACTION == Action::Own
    }
}

/// What only this file can say.
mod sealed {
    use super::{Allowed, Checkin, Checkout, Delete, Own, See, Share};

    pub trait Act {}
    impl Act for See {}
    impl Act for Checkout {}
    impl Act for Checkin {}
    impl Act for Own {}
    impl Act for Delete {}
    impl Act for Share {}

    pub trait Reads {}
    impl Reads for Checkout {}
    impl Reads for Checkin {}
    impl Reads for Own {}

    pub trait Writes: Reads {}
    impl Writes for Checkin {}
    impl Writes for Own {}

    pub trait Proof {}
    impl<A: super::Act> Proof for Allowed<A> {}
}
