//! What does every store promise?
//!
//! Functions over `dyn Store`, which know no backend. A backend's test file makes a fresh store and names
//! [`conformance!`]; it gets every test of the suite.

pub(crate) mod agents;
pub(crate) mod auth_tokens;
pub(crate) mod beating;
pub(crate) mod creating;
pub(crate) mod denying;
pub(crate) mod due;
pub(crate) mod forgetting;
pub(crate) mod given;
pub(crate) mod holding;
pub(crate) mod limiting;
pub(crate) mod listing;
pub(crate) mod moving;
pub(crate) mod sharing;
pub(crate) mod signing_keys;
pub(crate) mod timelines;

use std::any::Any;

use store::Store;

/// An empty store, and what has to live as long as it does.
pub(crate) struct Fresh {
    pub(crate) store: Box<dyn Store>,
    pub(crate) keeps: Box<dyn Any + Send>,
}

macro_rules! conformance {
    ($fresh:path) => {
        crate::conformance::conformance! { $fresh;
            agents: registering_makes_changes_or_leaves, only_a_new_agent_is_made_if_only_that_is_wanted,
                switching_off_and_on, agents_are_paged_by_id, one_of_many_first_registrations_makes_the_agent,
                two_changes_in_one_millisecond_are_both_seen,
                who_is_switched_off_at_once_gets_nothing_after_it;
            auth_tokens: a_token_leads_to_its_agent, rotating_lets_the_others_end_but_never_later,
                a_removed_token_leads_nowhere, of_two_rotations_at_once_one_lets_the_other_end;
            creating: a_new_grant_is_read_back, the_same_key_joins_or_conflicts,
                a_key_that_was_given_back_gets_no_grant, a_key_with_a_grant_is_not_given_back_unheard,
                a_token_for_one_use_is_bound_to_its_key, a_token_for_one_job_is_bound_to_it,
                a_refused_request_leaves_its_token_unused,
                an_agent_that_is_switched_off_gets_nothing, one_of_many_requests_with_one_key_makes_the_grant,
                a_failing_change_takes_no_other_with_it, a_key_goes_to_its_request_or_back_and_never_both,
                two_jobs_that_use_one_token_at_once_get_one_grant, any_character_is_good_for_a_job;
            denying: a_denial_is_on_record_and_holds_no_key, the_same_denial_is_counted_on_one_row,
                many_of_the_same_denial_at_once_are_one_row, a_denial_uses_its_token_up,
                two_denials_of_a_job_at_once_may_both_use_its_token, an_agent_has_a_bounded_number_of_denials,
                a_denial_that_stays_away_is_deleted_and_nothing_else, many_denials_are_deleted_in_pieces;
            limiting: a_run_gets_no_more_grants_than_it_may_have_at_once, a_grant_that_is_ending_leaves_its_place,
                where_no_run_is_known_all_grants_of_the_agent_count,
                a_request_over_the_limit_leaves_its_token_unused,
                of_many_requests_of_one_run_at_once_only_so_many_get_a_grant;
            moving: a_change_is_read_back, an_older_version_is_not_changed, one_of_two_changes_wins,
                silence_is_checked_with_the_version;
            beating: a_beat_counts_and_leaves_the_version, a_beat_never_goes_back_in_time,
                only_its_holder_beats_for_a_grant, an_ended_grant_hears_no_beat;
            due: what_is_due_is_claimed_once, a_grant_that_begins_active_needs_its_holder, a_claim_ends_in_time_or_with_a_change,
                no_more_is_claimed_than_was_asked_for, nobody_else_gets_what_one_has_claimed,
                only_an_active_grant_is_lost_by_silence, a_broker_that_has_just_come_back_waits,
                what_keeps_dead_sessions_dead_is_due_when_they_have_ended;
            sharing: an_object_is_held_by_one_until_it_is_let_go, one_of_many_that_hold_at_once_gets_it,
                who_held_it_for_too_long_changes_nothing, whose_it_is_is_read_back, until_when_it_may_go_is_read_back,
                who_lives_or_is_about_to_needs_it, a_refused_request_and_a_step_of_ones_own_need_nothing,
                steps_that_were_added_need_it_too, a_need_is_seen_as_soon_as_its_grant_is_there;
            holding: what_is_ours_without_a_look_is_written_down_with_the_hold,
                what_others_may_have_left_is_ours_until_they_are_gone, who_is_overtaken_knows_it_with_the_hold,
                what_may_go_is_written_down_with_the_hold, an_object_is_let_go_with_a_change,
                rows_that_came_meanwhile_keep_no_change_from_letting_go;
            listing: newest_first_and_in_pages, by_agent_and_by_life, grants_are_counted_where_they_stand;
            timelines: rows_follow_each_other_through_every_change, an_unknown_grant_has_no_timeline,
                many_rows_at_once, any_character_is_read_back, retries_are_told_up_to_a_number;
            signing_keys: keys_are_read_back_oldest_first, two_that_rotate_at_once_make_one_key,
                the_newest_key_is_never_removed;
            forgetting: what_is_over_is_forgotten_and_nothing_else, much_is_forgotten_in_pieces;
        }
    };
    ($fresh:path; $($room:ident: $($test:ident),+;)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let fresh = $fresh().await;
                crate::conformance::$room::$test(&*fresh.store).await;
                drop(fresh.keeps);
            }
        )+)+
    };
}

pub(crate) use conformance;
