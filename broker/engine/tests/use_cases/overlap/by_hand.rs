//! The interleavings that somebody thought of.

use protocol::GrantStatus;

use super::cloud::{Call, Fate};
use super::runtime;
use super::stage::Stage;

async fn stage(foreign: bool) -> Stage {
    let stage = Stage::build().await;
    stage.begin(foreign, false);
    stage
}

#[test]
fn two_that_give_back_at_the_same_instant_leave_nothing() {
    runtime().block_on(async {
        let stage = stage(false).await;
        stage.elevate(0, 0);
        stage.elevate(1, 1);
        stage.run_out().await.unwrap();
        assert!(stage.cloud.is_there());
        stage.revoke(0, 0);
        stage.revoke(1, 1);
        stage.run_out().await.unwrap();
        assert!(!stage.cloud.is_there());
        stage.end(2).await.unwrap();
    });
}

#[test]
fn a_grant_that_comes_while_the_last_one_is_taken_away_waits_and_gets_it() {
    runtime().block_on(async {
        let stage = stage(false).await;
        stage.elevate(0, 0);
        stage.run_out().await.unwrap();
        stage.revoke(0, 0);
        stage.until_sent(Call::Detach).await.unwrap();
        stage.elevate(1, 1);
        stage.without_the_cloud(20).await.unwrap();
        assert_eq!((stage.cloud.sent(), stage.status(1).await), (1, Some(GrantStatus::Applying)));
        stage.befalls(0, Fate::Answered);
        assert!(!stage.cloud.is_there());
        stage.run_out().await.unwrap();
        assert!(stage.cloud.is_there());
        assert_eq!(stage.status(1).await, Some(GrantStatus::Active));
        stage.end(2).await.unwrap();
    });
}

#[test]
fn a_holder_that_slept_past_its_hold_changes_nothing() {
    runtime().block_on(async {
        let stage = stage(false).await;
        stage.elevate(0, 0);
        stage.until_sent(Call::Look).await.unwrap();
        stage.befalls(0, Fate::Answered);
        // It stands before it writes down what it saw.
        stage.pass(31_000).await.unwrap();
        stage.elevate(1, 1);
        stage.run_out().await.unwrap();
        assert_eq!(stage.status(1).await, Some(GrantStatus::Active));
        assert_ne!(stage.status(0).await, Some(GrantStatus::Active));
        assert!(stage.story(1).await.contains("was held for too long"), "{}", stage.story(1).await);
        stage.end(2).await.unwrap();
    });
}

#[test]
fn a_foreign_object_that_its_owner_takes_away_is_ours_to_make_the_next_time() {
    runtime().block_on(async {
        let stage = stage(true).await;
        stage.elevate(0, 0);
        stage.run_out().await.unwrap();
        stage.revoke(0, 0);
        stage.run_out().await.unwrap();
        assert!(stage.cloud.is_there(), "it was there before us");
        stage.owner_takes_it_away();
        stage.elevate(1, 1);
        stage.run_out().await.unwrap();
        assert!(stage.cloud.is_there());
        stage.end(2).await.unwrap();
    });
}

#[test]
fn a_crash_between_writing_down_whose_it_is_and_making_it_leaves_nothing() {
    for calls in [Fate::Lost, Fate::Unheard, Fate::Late(9_000)] {
        runtime().block_on(async {
            let stage = stage(false).await;
            stage.elevate(0, 0);
            stage.until_sent(Call::Attach).await.unwrap();
            stage.crash(0, calls);
            stage.end(1).await.unwrap();
            assert_eq!(stage.status(0).await, Some(GrantStatus::Failed), "{calls:?}");
        });
    }
}

#[test]
fn what_refuses_the_sessions_of_a_grant_goes_although_another_grant_needs_the_object_by_then() {
    runtime().block_on(async {
        let stage = Stage::build().await;
        stage.begin(false, true);
        stage.elevate(0, 0);
        stage.run_out().await.unwrap();
        stage.revoke(0, 0);
        stage.run_out().await.unwrap();
        assert_eq!(stage.status(0).await, Some(GrantStatus::Verifying));
        assert_eq!(stage.cloud.refused().len(), 1);
        stage.elevate(1, 1);
        stage.run_out().await.unwrap();
        stage.pass(10_000).await.unwrap();
        stage.sweep(0);
        stage.run_out().await.unwrap();
        assert_eq!(stage.status(0).await, Some(GrantStatus::Revoked), "{}", stage.story(2).await);
        assert!(stage.story(2).await.contains("it stays for them"), "{}", stage.story(2).await);
        stage.end(2).await.unwrap();
    });
}

/// Until when the n-th refusal says that the object may go.
fn may_go(story: &str, n: usize) -> String {
    let told = story.split("RollBack target failed").nth(n + 1).unwrap();
    told.split("it may still go until ").nth(1).unwrap().lines().next().unwrap().to_owned()
}

#[test]
fn a_detach_without_an_answer_keeps_others_from_attaching_until_it_can_have_landed_and_nobody_from_detaching()
{
    runtime().block_on(async {
        let stage = stage(false).await;
        stage.elevate(0, 0);
        stage.run_out().await.unwrap();
        stage.revoke(0, 0);
        stage.until_sent(Call::Detach).await.unwrap();
        // Longer on its way than anybody holds the object; and nobody is left who knows of it.
        stage.crash(0, Fate::Late(44_000));
        stage.pass(31_000).await.unwrap();
        assert!(stage.cloud.is_there());
        stage.elevate(1, 1);
        stage.run_out().await.unwrap();
        assert!(!stage.cloud.is_there(), "whoever was not given it takes it away");
        stage.elevate(1, 2);
        stage.run_out().await.unwrap();
        assert!(!stage.cloud.is_there(), "the first detach may still land");
        let story = stage.story(3).await;
        assert_eq!(story.matches("RollBack target failed").count(), 2, "{story}");
        let (first, second) = (may_go(&story, 0), may_go(&story, 1));
        assert_eq!(first, second, "who is refused makes nobody wait longer: {story}");
        stage.pass(60_000).await.unwrap();
        stage.elevate(1, 3);
        stage.run_out().await.unwrap();
        assert_eq!(stage.status(3).await, Some(GrantStatus::Active));
        stage.end(4).await.unwrap();
    });
}

#[test]
fn an_attach_that_lands_late_is_ours_for_whoever_comes_next() {
    runtime().block_on(async {
        let stage = stage(false).await;
        stage.elevate(0, 0);
        stage.until_sent(Call::Attach).await.unwrap();
        stage.befalls(0, Fate::Late(40_000));
        stage.run_out().await.unwrap();
        assert_eq!(stage.status(0).await, Some(GrantStatus::Active), "tried again");
        stage.revoke(0, 0);
        stage.run_out().await.unwrap();
        assert!(!stage.cloud.is_there());
        stage.pass(41_000).await.unwrap();
        assert!(stage.cloud.is_there(), "landed");
        stage.elevate(1, 1);
        stage.run_out().await.unwrap();
        stage.revoke(1, 1);
        stage.run_out().await.unwrap();
        assert!(!stage.cloud.is_there());
        stage.end(2).await.unwrap();
    });
}

#[test]
fn a_try_that_fails_after_another_one_went_on_with_its_grant_ends_nothing() {
    runtime().block_on(async {
        let stage = stage(false).await;
        stage.elevate(0, 0);
        stage.until_sent(Call::Look).await.unwrap();
        stage.befalls(0, Fate::Answered);
        stage.pass(31_000).await.unwrap();
        stage.elevate(1, 0);
        // It finds the grant, and claims it.
        for _ in 0..4 {
            stage.observe().await.unwrap();
            stage.advance(1);
        }
        stage.run_out().await.unwrap();
        assert_eq!(stage.status(0).await, Some(GrantStatus::Active), "{}", stage.story(1).await);
        assert!(stage.cloud.is_there());
        stage.end(1).await.unwrap();
    });
}

#[test]
fn whoever_sleeps_while_it_takes_back_cuts_off_nobody_who_came_meanwhile() {
    for boundary in 0..14 {
        runtime().block_on(async {
            let stage = stage(false).await;
            stage.elevate(0, 0);
            stage.run_out().await.unwrap();
            stage.revoke(0, 0);
            for _ in 0..boundary {
                stage.observe().await.unwrap();
                stage.advance(0);
            }
            // Past its hold, and past what it wrote down of when the object may go.
            stage.pass(120_000).await.unwrap();
            stage.elevate(1, 1);
            stage.without_the_first(400).await.unwrap();
            stage.end(2).await.unwrap_or_else(|what| panic!("asleep at boundary {boundary}: {what}"));
        });
    }
}

#[test]
fn what_lands_after_it_was_undone_and_before_that_is_written_down_is_undone_again() {
    runtime().block_on(async {
        let stage = stage(false).await;
        stage.elevate(0, 0);
        stage.until_sent(Call::Attach).await.unwrap();
        stage.befalls(0, Fate::Late(40_000));
        stage.run_out().await.unwrap();
        stage.revoke(0, 0);
        stage.until_sent(Call::Detach).await.unwrap();
        stage.befalls(0, Fate::Answered);
        // It stands before it writes down that the object is gone, until nothing can land any more.
        stage.pass(60_000).await.unwrap();
        assert!(stage.cloud.is_there(), "landed");
        stage.end(1).await.unwrap();
    });
}

#[test]
fn a_try_that_wakes_after_its_grant_ended_does_not_take_what_it_made_for_foreign() {
    runtime().block_on(async {
        let stage = stage(false).await;
        stage.elevate(0, 0);
        stage.until_sent(Call::Attach).await.unwrap();
        stage.befalls(0, Fate::Late(40_000));
        // It writes down why it tries again, and stands before it holds the object again.
        for _ in 0..4 {
            stage.observe().await.unwrap();
            stage.advance(0);
        }
        stage.observe().await.unwrap();
        stage.pass(1_000).await.unwrap();
        stage.revoke(1, 0);
        stage.without_the_first(400).await.unwrap();
        assert_eq!(stage.status(0).await, Some(GrantStatus::RollingBack));
        stage.pass(80_000).await.unwrap();
        assert!(stage.cloud.is_there(), "landed");
        stage.run_out().await.unwrap();
        stage.end(1).await.unwrap();
    });
}
