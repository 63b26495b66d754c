//! A check-in whose answer never came: whose is the version that is there then?

use sss_common::framing::{data_header, end_frame};
use sss_common::wire::fs::{CheckinEnd, SetGrantRequest};
use sss_common::{Code, FileTime, Right, When};

use super::*;
use crate::remote::CheckinBody;

#[test]
fn a_version_of_somebody_else_is_never_taken_for_a_check_in_without_an_answer() {
    let world = World::new(1 << 30);
    world.runtime.block_on(async {
        let bob: Arc<dyn Remote> = world.server.login("bob", "client2");
        let alice: Arc<dyn Remote> = world.shared.remote.clone();
        // Each differs from what was sent, "mine" at its nanosecond, in one thing alone.
        let others = [
            ("author", &bob, 4, 0, 1),
            ("size", &alice, 5, 0, 1),
            ("time", &alice, 4, 1, 1),
            ("number", &alice, 4, 0, 2),
        ];
        for (name, who, size, later, versions) in others {
            let document = world.document(name).await;
            let node = document.attr().node;
            let grant = SetGrantRequest {
                node,
                grantee: "bob".parse().unwrap(),
                right: Right::Both,
                when: Some(When::Seconds(60)),
            };
            alice.grant(grant).await.unwrap();
            document.write(0, &Bytes::from_static(b"mine")).unwrap();
            world.fault.plan(|call| (call == "checkin").then(|| Fault::Before(unreachable())));
            document.checkin().await.unwrap_err();
            world.fault.plug();

            let mtime_ns = FileTime(document.attr().mtime_ns.0 + later);
            for base in 0..versions {
                let body = complete(&vec![b'x'; size], mtime_ns);
                who.checkin(node, Version(base), body).await.unwrap();
            }
            let refused = document.checkin().await.unwrap_err();
            let moved = |error: &Error| {
                matches!(error, Error::Remote(RemoteError::Refused { code, .. }) if *code == Code::VersionMoved)
            };
            assert!(moved(&refused), "{name}: {refused:?}");
            assert!(document.is_dirty(), "{name}: the draft is still there");
        }
    });
}

/// A whole content with its time, as a mount sends it.
fn complete(content: &[u8], mtime_ns: FileTime) -> CheckinBody {
    let end = CheckinEnd { size: content.len() as u64, mtime_ns: Some(mtime_ns), ..Default::default() };
    let parts: [&[u8]; 3] =
        [&data_header(0, content.len()).unwrap(), content, &end_frame(&serde_json::to_vec(&end).unwrap())];
    CheckinBody::Whole(parts.map(Bytes::copy_from_slice).into())
}
