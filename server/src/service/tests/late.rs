//! Rights that end between the decision and the transaction: the refusal is written down, whatever was to be done.

use super::faults::faulty_world;
use super::*;
use crate::store::faulty::{Moment, Often};
use crate::store::{AuditSeq, StoreError};
use sss_common::Flag;
use sss_policy::Refusal;

#[tokio::test]
async fn a_refusal_in_the_transaction_is_written_down() {
    let (world, faulty) = faulty_world(true).await;
    world.put(&alice(), "@alice/f", b"x").await.unwrap();
    world.grant(&alice(), "@alice/f", "bob", Right::Both, 3600).await;
    let folder = world.mkdir(&alice(), "@alice/d").await;
    let path: DocPath = "@alice/f".parse().unwrap();
    let refused_once = |call| {
        faulty.fail(Some(call), Often::Next, Moment::Before, || StoreError::Refused(Refusal::NoRight));
    };
    let mut expected = Vec::new();
    let mut came = |call, outcome: Option<Code>, action: AuditAction| {
        assert_eq!(outcome, Some(Code::NoRight), "{call}");
        expected.push(action.word().to_owned());
    };

    refused_once("remove");
    came("remove", world.delete(&alice(), "@alice/f").await.err().map(|e| e.code), AuditAction::Delete);
    refused_once("rename");
    came(
        "rename",
        world.rename(&alice(), "@alice/f", "@alice/g").await.err().map(|e| e.code),
        AuditAction::Rename,
    );
    refused_once("create");
    came(
        "create",
        world.create(&alice(), "@alice/n", Kind::File).await.err().map(|e| e.code),
        AuditAction::Create,
    );
    refused_once("set_grant");
    came(
        "set_grant",
        world.share(&alice(), "@alice/f", "carol").await.err().map(|e| e.code),
        AuditAction::Grant,
    );
    refused_once("revoke_grant");
    let revoked = world.service.sharing.delete_grant(&alice(), &path, &"bob".parse().unwrap()).await;
    came("revoke_grant", revoked.err().map(|e| e.code), AuditAction::Revoke);
    refused_once("set_flag");
    let flag = SetFlagRequest { node: folder, flag: Flag::Integrity };
    came("set_flag", world.service.fs_setflag(&alice(), flag).await.err().map(|e| e.code), AuditAction::Flag);
    refused_once("commit");
    came("commit", world.put(&alice(), "@alice/f", b"y").await.err().map(|e| e.code), AuditAction::Checkin);
    world.rename(&alice(), "@alice/f", "@alice/f~").await.unwrap();
    refused_once("swap");
    came(
        "swap",
        world.create(&alice(), "@alice/f", Kind::File).await.err().map(|e| e.code),
        AuditAction::RestoreName,
    );

    world.stores.meta.flush().await.unwrap();
    let rows = world.stores.meta.audit_after(AuditSeq::NONE, usize::MAX).await.unwrap();
    let refused = rows.into_iter().filter(|row| row.outcome == "refused");
    assert_eq!(refused.map(|row| row.action).collect::<Vec<_>>(), expected);
}
