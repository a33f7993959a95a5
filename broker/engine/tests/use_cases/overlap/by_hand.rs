//! Interleavings chosen by hand.

use protocol::GrantStatus;

use super::cloud::{Call, CallOutcome};
use super::fixture::Overlap;
use super::runtime;

async fn overlap(foreign: bool) -> Overlap {
    let overlap = Overlap::build().await;
    overlap.begin(foreign, false);
    overlap
}

#[test]
fn two_simultaneous_revokes_leave_nothing() {
    runtime().block_on(async {
        let overlap = overlap(false).await;
        overlap.elevate(0, 0);
        overlap.elevate(1, 1);
        overlap.run_out().await.unwrap();
        assert!(overlap.cloud.is_there());
        overlap.revoke(0, 0);
        overlap.revoke(1, 1);
        overlap.run_out().await.unwrap();
        assert!(!overlap.cloud.is_there());
        overlap.end(2).await.unwrap();
    });
}

#[test]
fn grant_requested_during_the_last_detach_waits_and_attaches() {
    runtime().block_on(async {
        let overlap = overlap(false).await;
        overlap.elevate(0, 0);
        overlap.run_out().await.unwrap();
        overlap.revoke(0, 0);
        overlap.until_sent(Call::Detach).await.unwrap();
        overlap.elevate(1, 1);
        overlap.without_the_cloud(20).await.unwrap();
        assert_eq!((overlap.cloud.sent(), overlap.status(1).await), (1, Some(GrantStatus::Applying)));
        overlap.resolves(0, CallOutcome::Answered);
        assert!(!overlap.cloud.is_there());
        overlap.run_out().await.unwrap();
        assert!(overlap.cloud.is_there());
        assert_eq!(overlap.status(1).await, Some(GrantStatus::Active));
        overlap.end(2).await.unwrap();
    });
}

#[test]
fn driver_that_slept_past_its_lock_changes_nothing() {
    runtime().block_on(async {
        let overlap = overlap(false).await;
        overlap.elevate(0, 0);
        overlap.until_sent(Call::Look).await.unwrap();
        overlap.resolves(0, CallOutcome::Answered);
        // The driver is paused before it writes the observed ownership.
        overlap.pass(31_000).await.unwrap();
        overlap.elevate(1, 1);
        overlap.run_out().await.unwrap();
        assert_eq!(overlap.status(1).await, Some(GrantStatus::Active));
        assert_ne!(overlap.status(0).await, Some(GrantStatus::Active));
        assert!(
            overlap.timelines(1).await.contains("was locked for too long"),
            "{}",
            overlap.timelines(1).await
        );
        overlap.end(2).await.unwrap();
    });
}

#[test]
fn removed_foreign_object_becomes_managed_at_the_next_grant() {
    runtime().block_on(async {
        let overlap = overlap(true).await;
        overlap.elevate(0, 0);
        overlap.run_out().await.unwrap();
        overlap.revoke(0, 0);
        overlap.run_out().await.unwrap();
        assert!(overlap.cloud.is_there(), "the foreign object stays");
        overlap.owner_takes_it_away();
        overlap.elevate(1, 1);
        overlap.run_out().await.unwrap();
        assert!(overlap.cloud.is_there());
        overlap.end(2).await.unwrap();
    });
}

#[test]
fn crash_between_writing_ownership_and_attaching_leaves_nothing() {
    for calls in [CallOutcome::Lost, CallOutcome::Unheard, CallOutcome::Late(9_000)] {
        runtime().block_on(async {
            let overlap = overlap(false).await;
            overlap.elevate(0, 0);
            overlap.until_sent(Call::Attach).await.unwrap();
            overlap.crash(0, calls);
            overlap.end(1).await.unwrap();
            assert_eq!(overlap.status(0).await, Some(GrantStatus::Failed), "{calls:?}");
        });
    }
}

#[test]
fn session_deny_is_removed_even_if_object_is_shared_again() {
    runtime().block_on(async {
        let overlap = Overlap::build().await;
        overlap.begin(false, true);
        overlap.elevate(0, 0);
        overlap.run_out().await.unwrap();
        overlap.revoke(0, 0);
        overlap.run_out().await.unwrap();
        assert_eq!(overlap.status(0).await, Some(GrantStatus::Verifying));
        assert_eq!(overlap.cloud.refused().len(), 1);
        overlap.elevate(1, 1);
        overlap.run_out().await.unwrap();
        overlap.pass(10_000).await.unwrap();
        overlap.sweep(0);
        overlap.run_out().await.unwrap();
        assert_eq!(overlap.status(0).await, Some(GrantStatus::Revoked), "{}", overlap.timelines(2).await);
        assert!(overlap.timelines(2).await.contains("it stays for them"), "{}", overlap.timelines(2).await);
        overlap.end(2).await.unwrap();
    });
}

/// The end of the late delete, as the n-th refusal states it.
fn may_go(timelines: &str, n: usize) -> String {
    let refusal = timelines.split("RollBack target failed").nth(n + 1).unwrap();
    refusal.split("may be applied until ").nth(1).unwrap().lines().next().unwrap().to_owned()
}

#[test]
fn unanswered_detach_blocks_attach_until_it_cannot_land_but_no_detach() {
    runtime().block_on(async {
        let overlap = overlap(false).await;
        overlap.elevate(0, 0);
        overlap.run_out().await.unwrap();
        overlap.revoke(0, 0);
        overlap.until_sent(Call::Detach).await.unwrap();
        // The detach is on its way for longer than any lock lasts, and its driver is dead.
        overlap.crash(0, CallOutcome::Late(44_000));
        overlap.pass(31_000).await.unwrap();
        assert!(overlap.cloud.is_there());
        overlap.elevate(1, 1);
        overlap.run_out().await.unwrap();
        assert!(!overlap.cloud.is_there(), "the refused grant detaches the object");
        overlap.elevate(1, 2);
        overlap.run_out().await.unwrap();
        assert!(!overlap.cloud.is_there(), "the first detach may still be applied");
        let timelines = overlap.timelines(3).await;
        assert_eq!(timelines.matches("RollBack target failed").count(), 2, "{timelines}");
        let (first, second) = (may_go(&timelines, 0), may_go(&timelines, 1));
        assert_eq!(first, second, "a refused grant extends no late delete: {timelines}");
        overlap.pass(60_000).await.unwrap();
        overlap.elevate(1, 3);
        overlap.run_out().await.unwrap();
        assert_eq!(overlap.status(3).await, Some(GrantStatus::Active));
        overlap.end(4).await.unwrap();
    });
}

#[test]
fn late_attach_is_managed_for_the_next_grant() {
    runtime().block_on(async {
        let overlap = overlap(false).await;
        overlap.elevate(0, 0);
        overlap.until_sent(Call::Attach).await.unwrap();
        overlap.resolves(0, CallOutcome::Late(40_000));
        overlap.run_out().await.unwrap();
        assert_eq!(overlap.status(0).await, Some(GrantStatus::Active), "the retry succeeds");
        overlap.revoke(0, 0);
        overlap.run_out().await.unwrap();
        assert!(!overlap.cloud.is_there());
        overlap.pass(41_000).await.unwrap();
        assert!(overlap.cloud.is_there(), "the late attach was applied");
        overlap.elevate(1, 1);
        overlap.run_out().await.unwrap();
        overlap.revoke(1, 1);
        overlap.run_out().await.unwrap();
        assert!(!overlap.cloud.is_there());
        overlap.end(2).await.unwrap();
    });
}

#[test]
fn failed_try_does_not_end_a_grant_that_another_try_continues() {
    runtime().block_on(async {
        let overlap = overlap(false).await;
        overlap.elevate(0, 0);
        overlap.until_sent(Call::Look).await.unwrap();
        overlap.resolves(0, CallOutcome::Answered);
        overlap.pass(31_000).await.unwrap();
        overlap.elevate(1, 0);
        // The retry finds the grant and claims it.
        for _ in 0..4 {
            overlap.observe().await.unwrap();
            overlap.advance(1);
        }
        overlap.run_out().await.unwrap();
        assert_eq!(overlap.status(0).await, Some(GrantStatus::Active), "{}", overlap.timelines(1).await);
        assert!(overlap.cloud.is_there());
        overlap.end(1).await.unwrap();
    });
}

#[test]
fn driver_that_slept_during_revoke_cuts_no_newer_grant() {
    for boundary in 0..14 {
        runtime().block_on(async {
            let overlap = overlap(false).await;
            overlap.elevate(0, 0);
            overlap.run_out().await.unwrap();
            overlap.revoke(0, 0);
            for _ in 0..boundary {
                overlap.observe().await.unwrap();
                overlap.advance(0);
            }
            // Past its lock, and past the late delete that it wrote.
            overlap.pass(120_000).await.unwrap();
            overlap.elevate(1, 1);
            overlap.without_the_first(400).await.unwrap();
            overlap.end(2).await.unwrap_or_else(|what| panic!("paused at boundary {boundary}: {what}"));
        });
    }
}

#[test]
fn late_write_between_revert_and_commit_is_reverted_again() {
    runtime().block_on(async {
        let overlap = overlap(false).await;
        overlap.elevate(0, 0);
        overlap.until_sent(Call::Attach).await.unwrap();
        overlap.resolves(0, CallOutcome::Late(40_000));
        overlap.run_out().await.unwrap();
        overlap.revoke(0, 0);
        overlap.until_sent(Call::Detach).await.unwrap();
        overlap.resolves(0, CallOutcome::Answered);
        // The driver is paused before it writes that the object is gone, until no late write is possible.
        overlap.pass(60_000).await.unwrap();
        assert!(overlap.cloud.is_there(), "the late attach was applied");
        overlap.end(1).await.unwrap();
    });
}

#[test]
fn retry_after_the_end_does_not_mistake_its_own_object_for_foreign() {
    runtime().block_on(async {
        let overlap = overlap(false).await;
        overlap.elevate(0, 0);
        overlap.until_sent(Call::Attach).await.unwrap();
        overlap.resolves(0, CallOutcome::Late(40_000));
        // The driver writes the reason of its retry, and is paused before it locks the object again.
        for _ in 0..4 {
            overlap.observe().await.unwrap();
            overlap.advance(0);
        }
        overlap.observe().await.unwrap();
        overlap.pass(1_000).await.unwrap();
        overlap.revoke(1, 0);
        overlap.without_the_first(400).await.unwrap();
        assert_eq!(overlap.status(0).await, Some(GrantStatus::RollingBack));
        overlap.pass(80_000).await.unwrap();
        assert!(overlap.cloud.is_there(), "the late attach was applied");
        overlap.run_out().await.unwrap();
        overlap.end(1).await.unwrap();
    });
}
