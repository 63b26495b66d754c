//! The one table of `/v1/fs`: every call with its request, its answer, how long it lives on the server, and
//! whether the client may send it again.
//!
//! [`fs_calls!`](crate::fs_calls) hands the table to a macro of the caller's. From it come the typed
//! [`call`]s here, the client's trait `Calls` with its HTTPS implementation and its fault twin, and the
//! server's routes and handlers; the test of `openapi.json` walks [`URLS`]. What is not in the table does not
//! exist, and what one end lacks does not compile.
//!
//! A plain call is a `POST` of a JSON request to `/v1/fs/NAME`, answered with JSON, in one round trip. A new
//! one is a line here, its types in [`crate::wire::fs`], a method `fs_NAME` of the server's `Service`, a
//! method of the client's memory twin, and its description in `openapi.json`. The calls under `streamed` are
//! no plain JSON; the table has their URL, and both ends write them by hand.

use std::marker::PhantomData;

pub use super::Empty;
pub use super::fs::*;
pub use super::text::Base64;
pub use crate::receipt::SignedReceipt;

/// Calls a macro with the table. Its names are in scope with `use sss_common::wire::calls::*`.
#[macro_export]
macro_rules! fs_calls {
    ($make:ident) => {
        $make! {
            // name(request) -> answer, lifetime on the server, whether the client repeats it
            plain {
                /// The root of a user's home, as far as it is shared with the asking user.
                home(HomeRequest) -> Attr, Ask, Once;
                /// The other users with something in their home that is shared with the asking user.
                homes(Empty) -> HomesResponse, Ask, Once;
                /// One name in a folder.
                lookup(LookupRequest) -> Attr, Ask, Once;
                /// One node.
                attr(NodeRequest) -> Attr, Ask, Once;
                /// A part of a folder.
                list(ListRequest) -> ListResponse, Ask, Once;
                /// A new document, folder or link. Not repeated: the second one would be `exists`.
                create(CreateRequest) -> CreateResponse, Act, Never;
                /// Checks out and pins. A repetition may leave a pin behind, which ends with the session.
                open(OpenRequest) -> Attr, Act, Once;
                /// Gives pins back. Not repeated: a pin given back twice might be that of another handle.
                close(CloseRequest) -> Empty, Act, Never;
                /// Mode and time.
                setattr(SetAttrRequest) -> Attr, Act, Once;
                /// Moves, or checks in onto what stands there. Not repeated: the name would be gone.
                rename(RenameRequest) -> RenameResponse, Act, Never;
                /// Deletes. Not repeated: the name may be another document's by then.
                remove(RemoveRequest) -> Empty, Act, Never;
                /// A node's other `user.*` attributes.
                xattrs(NodeRequest) -> XattrsResponse, Ask, Once;
                /// Sets one of them.
                setxattr(SetXattrRequest) -> Empty, Act, SetXattrRequest::repeat;
                /// Removes one of them. Not repeated: it would be `not_found`.
                removexattr(RemoveXattrRequest) -> Empty, Act, Never;
                /// The grants on a node.
                grants(NodeRequest) -> GrantsResponse, Ask, Once;
                /// Sets a grant.
                grant(SetGrantRequest) -> SetGrantResponse, Act, Once;
                /// Takes a grant back. Not repeated: it would be `not_found`.
                revoke(RevokeRequest) -> Empty, Act, Never;
                /// Sets the protection.
                setflag(SetFlagRequest) -> Attr, Act, Once;
                /// A version's record and signature.
                record(RecordRequest) -> RecordResponse, Ask, Once;
                /// What the server signs about a document that is deleted. Waits until its keys are erased.
                receipt(ReceiptRequest) -> SignedReceipt, Act, Once;
                /// The revocation lists that the server goes by. Signed by their authorities: who gets them need not trust the server.
                revocations(Empty) -> RevocationsResponse, Ask, Once;
                /// The room on the server.
                statfs(Empty) -> StatfsResponse, Ask, Once;
            }
            // name: method, path, lifetime on the server, whether the client repeats it
            streamed {
                /// Bytes of a version: a ranged `GET`.
                read: GET "/v1/fs/read/{node}/{version}", Ask, Once;
                /// A new version from a framed body (see `sss_common::framing`). A whole body is repeated:
                /// the server answers its id with the first one's outcome.
                checkin: POST "/v1/fs/checkin/{node}", Load, Once;
                /// What happens to the asking user's rights, a JSON line each, until the connection breaks.
                events: GET "/v1/fs/events", Ask, Once;
            }
        }
    };
}

/// How long a call's handler lives on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It changes nothing: it stops when its peer leaves.
    Ask,
    /// It changes something: it runs to its end, whether or not its peer still waits.
    Act,
    /// An upload: it runs to its end too, and its limit is on silence.
    Load,
}

/// Whether the client may send a call again when the connection broke with it. (A call that the server
/// refused because the session ran out was not carried out; it is sent again whatever this says.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Once more: doing it twice is as good as once.
    Once,
    /// It may have been done, and doing it twice would not be the same.
    Never,
}

/// A URL of the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Url {
    /// `GET`, `PUT`…
    pub method: &'static str,
    /// With `{…}` where something is named.
    pub path: &'static str,
    /// How long its handler lives.
    pub lifetime: Lifetime,
}

impl Url {
    /// The path with each `{…}` replaced by one of `values`, in their order; as many as there are.
    pub fn path_to(&self, values: &[&dyn std::fmt::Display]) -> String {
        debug_assert_eq!(self.path.matches('{').count(), values.len(), "{}", self.path);
        let mut values = values.iter();
        let segments = self.path.split('/').map(|segment| match segment.starts_with('{') {
            true => values.next().map(ToString::to_string).unwrap_or_default(),
            false => segment.into(),
        });
        segments.collect::<Vec<String>>().join("/")
    }
}

/// A call of the table with its request's and its answer's type; `()` for those of a streamed one.
#[derive(Debug)]
pub struct Call<Request = (), Answer = ()> {
    /// Its name on the wire.
    pub name: &'static str,
    /// Where it goes.
    pub url: Url,
    /// Whether this request may be sent again.
    pub repeat: fn(&Request) -> Repeat,
    answer: PhantomData<fn() -> Answer>,
}

macro_rules! define {
    (
        plain { $(
            $(#[$doc:meta])*
            $name:ident($request:ty) -> $answer:ty, $lifetime:ident, $($repeat:ident)::+;
        )* }
        streamed { $(
            $(#[$s_doc:meta])*
            $s_name:ident: $s_method:ident $s_path:literal, $s_lifetime:ident, $($s_repeat:ident)::+;
        )* }
    ) => {
        /// The calls, each under its name on the wire.
        #[allow(non_upper_case_globals)]
        pub mod call {
            use super::*;

            $(
                $(#[$doc])*
                pub const $name: Call<$request, $answer> = Call {
                    name: stringify!($name),
                    url: Url {
                        method: "POST",
                        path: concat!("/v1/fs/", stringify!($name)),
                        lifetime: Lifetime::$lifetime,
                    },
                    repeat: repeat!($($repeat)::+),
                    answer: PhantomData,
                };
            )*
            $(
                $(#[$s_doc])*
                pub const $s_name: Call = Call {
                    name: stringify!($s_name),
                    url: Url {
                        method: stringify!($s_method),
                        path: $s_path,
                        lifetime: Lifetime::$s_lifetime,
                    },
                    repeat: repeat!($($s_repeat)::+),
                    answer: PhantomData,
                };
            )*
        }

        /// The URL of every call.
        pub const URLS: &[Url] = &[$(call::$name.url,)* $(call::$s_name.url,)*];
    };
}

/// A word of the table's last column as a rule on the request.
macro_rules! repeat {
    (Once) => {
        |_| Repeat::Once
    };
    (Never) => {
        |_| Repeat::Never
    };
    ($($rule:ident)::+) => {
        $($rule)::+
    };
}

fs_calls!(define);

impl SetXattrRequest {
    /// One that must not be there yet would be refused the second time.
    pub fn repeat(&self) -> Repeat {
        if self.mode == crate::XattrMode::Create { Repeat::Never } else { Repeat::Once }
    }
}

/// The answer of a call that says nothing.
impl From<()> for Empty {
    fn from((): ()) -> Self {
        Empty {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NodeId, Version, XattrMode};

    #[test]
    fn paths_are_filled_in_order() {
        let node = NodeId([0xab; 16]);
        let path = call::read.url.path_to(&[&node, &Version(7)]);
        assert_eq!(path, format!("/v1/fs/read/{node}/7"));
        assert_eq!(call::lookup.url.path_to(&[]), "/v1/fs/lookup");
    }

    #[test]
    fn what_asks_may_be_repeated_and_creating_never() {
        let xattr = || Xattr { name: "user.a".into(), value: Base64::default() };
        let repeat =
            |mode| (call::setxattr.repeat)(&SetXattrRequest { node: NodeId([0; 16]), xattr: xattr(), mode });
        assert_eq!(repeat(XattrMode::Create), Repeat::Never);
        assert_eq!([repeat(XattrMode::Any), repeat(XattrMode::Replace)], [Repeat::Once; 2]);

        macro_rules! asking_is_repeated {
            (
                plain { $($(#[$doc:meta])* $name:ident($q:ty) -> $a:ty, $lifetime:ident, $($r:ident)::+;)* }
                streamed { $($rest:tt)* }
            ) => {
                $(assert!(
                    Lifetime::$lifetime != Lifetime::Ask || stringify!($($r)::+) == "Once",
                    "{} changes nothing and is not repeated", stringify!($name)
                );)*
            };
        }
        fs_calls!(asking_is_repeated);
    }

    #[test]
    fn every_url_stands_in_the_table_once() {
        let mut paths: Vec<_> = URLS.iter().map(|url| url.path).collect();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), URLS.len());
    }
}
