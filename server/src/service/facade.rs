//! The calls (bodies to come).
#![allow(unused_variables, clippy::unused_async)]

use sss_common::wire::documents::{CheckedIn, GrantInfo, GrantList, GrantRequest};
use sss_common::wire::fs::*;
use sss_common::wire::session::{ChallengeRequest, ChallengeResponse, LoginRequest, LoginResponse};
use sss_common::{DocPath, Flag, Grantee, NodeId, Version};

use super::*;

impl Service {
    pub async fn challenge(&self, peer: &Peer, request: ChallengeRequest) -> Outcome<ChallengeResponse> { unimplemented!() }
    pub async fn login(&self, peer: &Peer, request: LoginRequest) -> Outcome<LoginResponse> { unimplemented!() }
    /// `token` is the text behind `Bearer `. Checks session, certificate binding and user.
    pub async fn authenticate(&self, peer: &Peer, token: &str) -> Outcome<Caller> { unimplemented!() }
    pub async fn logout(&self, caller: &Caller) -> Outcome<()> { unimplemented!() }

    // By path.
    /// True when the document was created by this call.
    pub async fn put_document(&self, caller: &Caller, path: &DocPath, flag: Option<Flag>, only_if: Precondition, body: ByteStream) -> Outcome<(CheckedIn, bool)> { unimplemented!() }
    pub async fn get_document(&self, caller: &Caller, path: &DocPath, range: RangeRequest) -> Outcome<Checkout> { unimplemented!() }
    /// For HEAD: authorised like a check-out.
    pub async fn head_document(&self, caller: &Caller, path: &DocPath) -> Outcome<Attr> { unimplemented!() }
    pub async fn delete_document(&self, caller: &Caller, path: &DocPath, only_if: Precondition) -> Outcome<()> { unimplemented!() }
    pub async fn put_grant(&self, caller: &Caller, path: &DocPath, request: GrantRequest) -> Outcome<GrantInfo> { unimplemented!() }
    pub async fn get_grants(&self, caller: &Caller, path: &DocPath) -> Outcome<GrantList> { unimplemented!() }
    pub async fn delete_grant(&self, caller: &Caller, path: &DocPath, grantee: &Grantee) -> Outcome<()> { unimplemented!() }

    // For the mount.
    pub async fn fs_home(&self, caller: &Caller, request: HomeRequest) -> Outcome<Attr> { unimplemented!() }
    pub async fn fs_homes(&self, caller: &Caller) -> Outcome<HomesResponse> { unimplemented!() }
    pub async fn fs_lookup(&self, caller: &Caller, request: LookupRequest) -> Outcome<Attr> { unimplemented!() }
    pub async fn fs_attr(&self, caller: &Caller, request: NodeRequest) -> Outcome<Attr> { unimplemented!() }
    pub async fn fs_list(&self, caller: &Caller, request: ListRequest) -> Outcome<ListResponse> { unimplemented!() }
    pub async fn fs_create(&self, caller: &Caller, request: CreateRequest) -> Outcome<CreateResponse> { unimplemented!() }
    pub async fn fs_open(&self, caller: &Caller, request: OpenRequest) -> Outcome<Attr> { unimplemented!() }
    pub async fn fs_close(&self, caller: &Caller, request: CloseRequest) -> Outcome<()> { unimplemented!() }
    /// Streams `offset..offset+length` of a pinned or current version, cut at its end.
    pub async fn fs_read(&self, caller: &Caller, node: NodeId, version: Version, offset: u64, length: u64) -> Outcome<(u64, ByteStream)> { unimplemented!() }
    pub async fn fs_checkin(&self, caller: &Caller, node: NodeId, base: Version, body: ByteStream) -> Outcome<Attr> { unimplemented!() }
    pub async fn fs_setattr(&self, caller: &Caller, request: SetAttrRequest) -> Outcome<Attr> { unimplemented!() }
    pub async fn fs_rename(&self, caller: &Caller, request: RenameRequest) -> Outcome<RenameResponse> { unimplemented!() }
    pub async fn fs_remove(&self, caller: &Caller, request: RemoveRequest) -> Outcome<()> { unimplemented!() }
    pub async fn fs_xattrs(&self, caller: &Caller, request: NodeRequest) -> Outcome<XattrsResponse> { unimplemented!() }
    pub async fn fs_setxattr(&self, caller: &Caller, request: SetXattrRequest) -> Outcome<()> { unimplemented!() }
    pub async fn fs_removexattr(&self, caller: &Caller, request: RemoveXattrRequest) -> Outcome<()> { unimplemented!() }
    pub async fn fs_grants(&self, caller: &Caller, request: NodeRequest) -> Outcome<GrantsResponse> { unimplemented!() }
    pub async fn fs_grant(&self, caller: &Caller, request: SetGrantRequest) -> Outcome<SetGrantResponse> { unimplemented!() }
    pub async fn fs_revoke(&self, caller: &Caller, request: RevokeRequest) -> Outcome<()> { unimplemented!() }
    pub async fn fs_setflag(&self, caller: &Caller, request: SetFlagRequest) -> Outcome<Attr> { unimplemented!() }
    pub async fn fs_record(&self, caller: &Caller, request: RecordRequest) -> Outcome<RecordResponse> { unimplemented!() }
    pub async fn fs_statfs(&self, caller: &Caller) -> Outcome<StatfsResponse> { unimplemented!() }
    /// Ends with the session; the routes write each event as a JSON line.
    pub async fn fs_events(&self, caller: &Caller) -> Outcome<BoxStream<'static, Event>> { unimplemented!() }
}
