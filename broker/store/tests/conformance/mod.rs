//! The conformance suite: what every store does.
//!
//! The tests are functions over `dyn Store` that know no backend. A backend's test file makes a fresh store and names
//! [`conformance!`], which runs every test of the suite.

pub(crate) mod agents;
pub(crate) mod auth_tokens;
pub(crate) mod break_glass;
pub(crate) mod creating;
pub(crate) mod deciding;
pub(crate) mod denials;
pub(crate) mod due;
pub(crate) mod fixtures;
pub(crate) mod heartbeats;
pub(crate) mod limiting;
pub(crate) mod listing;
pub(crate) mod locking;
pub(crate) mod notifications;
pub(crate) mod observing;
pub(crate) mod posture;
pub(crate) mod purging;
pub(crate) mod recording;
pub(crate) mod reevaluating;
pub(crate) mod references;
pub(crate) mod rules;
pub(crate) mod saving;
pub(crate) mod sessions;
pub(crate) mod signing_keys;
pub(crate) mod standing_approvals;
pub(crate) mod timelines;
pub(crate) mod waiting;

use std::any::Any;

use store::Store;

/// An empty store, and the values that must live as long as it does.
pub(crate) struct Fresh {
    pub(crate) store: Box<dyn Store>,
    pub(crate) keeps: Box<dyn Any + Send>,
}

macro_rules! conformance {
    ($fresh:path) => {
        crate::conformance::conformance! { $fresh;
            agents: a_registration_creates_updates_or_changes_nothing, create_only_changes_no_existing_agent,
                an_agent_is_disabled_and_enabled, agents_are_paged_by_id, one_of_many_first_registrations_creates_the_agent,
                two_changes_in_one_millisecond_are_both_read,
                an_agent_disabled_during_a_request_gets_no_later_grant;
            auth_tokens: a_token_leads_to_its_agent, rotation_expires_other_tokens_but_never_later,
                a_removed_token_leads_nowhere, of_two_concurrent_rotations_one_expires_the_other;
            creating: a_new_grant_is_read_back, the_same_key_joins_or_conflicts,
                a_revoked_key_gets_no_grant, revoking_a_key_with_a_grant_finds_the_grant,
                a_token_for_one_use_is_bound_to_its_key, a_token_for_one_job_is_bound_to_it,
                a_refused_request_leaves_its_token_unused,
                a_disabled_agent_gets_no_grant, one_of_many_requests_with_one_key_makes_the_grant,
                a_failing_change_rolls_back_no_other, a_key_gets_a_grant_or_a_tombstone_and_never_both,
                two_concurrent_jobs_with_one_token_get_one_grant, a_job_may_have_any_character;
            denials: a_denial_is_on_record_and_keeps_no_key, the_same_denial_is_counted_on_one_row,
                many_of_the_same_denial_at_once_are_one_row, a_denial_consumes_its_token,
                two_concurrent_denials_of_a_job_share_its_token, an_agent_has_a_bounded_number_of_denials,
                old_denials_are_deleted_and_nothing_else, many_denials_are_deleted_in_batches,
                positions_of_purged_events_are_not_used_again;
            limiting: a_run_is_limited_to_its_number_of_grants, an_ending_grant_does_not_count,
                without_a_known_run_all_grants_of_the_agent_count,
                a_request_over_the_limit_leaves_its_token_unused,
                concurrent_requests_of_a_run_do_not_exceed_the_limit;
            saving: a_transition_is_read_back, an_older_version_conflicts, one_of_two_transitions_wins,
                a_heartbeat_conflicts_with_the_end_of_a_lease;
            heartbeats: a_heartbeat_extends_the_lease_and_keeps_the_version, a_heartbeat_never_goes_back_in_time,
                a_heartbeat_needs_the_agent_and_the_key, a_grant_that_is_not_active_takes_no_heartbeat;
            due: due_grants_are_claimed_once, a_grant_that_starts_active_needs_heartbeats, a_claim_ends_in_time_or_with_a_change,
                a_claim_takes_no_more_than_its_limit, concurrent_workers_claim_different_grants,
                only_active_grants_lose_their_lease, a_restarted_broker_waits_for_heartbeats,
                removal_of_session_denies_is_due_when_sessions_have_expired;
            references: a_lock_is_exclusive_until_it_is_released, one_of_many_concurrent_requests_gets_the_lock,
                an_update_with_an_old_fencing_token_changes_nothing, ownership_is_read_back, a_late_delete_is_read_back,
                applying_and_active_grants_count_as_references, refused_requests_and_unshared_steps_are_no_references,
                added_steps_are_references, a_reference_is_counted_as_soon_as_its_grant_exists;
            locking: attaching_within_the_late_write_window_is_recorded_with_the_lock,
                objects_of_ending_grants_stay_managed, a_lock_tells_whether_the_grant_is_current,
                a_late_delete_is_recorded_with_the_lock, a_lock_is_released_with_a_save,
                events_appended_meanwhile_do_not_prevent_a_release;
            listing: newest_first_and_in_pages, filtered_by_agent_and_liveness, found_by_origin_and_time, stuck_grants_are_listed, grants_are_counted_by_status;
            timelines: events_are_chained_through_every_transition, an_unknown_grant_has_no_timeline,
                events_of_all_grants_have_one_order, events_of_approvals_and_break_glass_are_read_by_themselves, a_reader_of_all_events_misses_none_while_they_are_written,
                many_rows_at_once, any_character_is_read_back, retries_are_recorded_up_to_a_limit;
            signing_keys: keys_are_read_back_oldest_first, two_concurrent_rotations_make_one_key,
                the_newest_key_is_never_removed;
            deciding: a_decision_is_stored_with_its_grant, other_rules_refuse_a_decision,
                another_registration_refuses_a_decision, grants_are_counted_by_run_and_hour,
                grants_are_counted_up_to_a_limit, other_counts_refuse_a_decision_that_depends_on_them,
                a_grant_that_ended_since_refuses_no_decision,
                other_posture_refuses_a_decision_that_depends_on_it, other_refusals_come_before_a_changed_context,
                no_grant_slips_past_a_change_of_the_rules, no_grant_slips_past_a_statement_about_its_subject,
                no_grant_slips_past_a_new_registration, one_of_two_decisions_from_the_same_counts_holds,
                a_denial_has_the_decision_of_its_first_request, a_failing_grant_leaves_no_decision;
            waiting: a_waiting_grant_is_listed_until_it_is_collected_or_ends,
                a_waiting_grant_lives_by_heartbeats_until_its_wait_is_over,
                a_waiting_grant_counts_for_its_run_and_is_marked, of_two_votes_at_once_one_has_to_be_repeated;
            rules: without_a_change_there_are_no_rules, the_last_change_is_the_state, a_change_needs_the_last_version,
                one_of_many_concurrent_changes_wins, a_change_to_an_unknown_set_changes_nothing;
            recording: decisions_are_read_in_order_and_filtered,
                decisions_that_were_stored_late_are_found_by_their_time, a_decision_needs_its_grant,
                an_agent_has_a_bounded_number_of_dry_runs, old_decisions_are_deleted_and_their_numbers_not_used_again,
                many_old_decisions_are_deleted_in_batches;
            reevaluating: live_grants_are_marked_and_claimed_in_order, deadlines_come_before_marks,
                a_newer_mark_is_not_lost, a_driver_that_lost_its_claim_records_nothing,
                a_new_registration_marks_the_grants_of_its_agent, an_ending_grant_is_not_decided_again,
                a_scheduled_decision_is_due_in_time;
            posture: a_statement_is_read_back_until_it_expires, an_older_statement_changes_nothing,
                a_statement_that_changes_what_is_known_marks_grants, claimed_facts_are_no_subject,
                statements_are_listed_in_pages, any_character_is_a_subject, expired_statements_are_purged,
                concurrent_statements_end_with_the_newest;
            observing: an_observation_is_read_back_with_its_actions, actions_need_the_agent_of_the_observation,
                actions_are_bounded, concurrent_reports_do_not_exceed_the_limit, old_observations_are_deleted_with_their_actions;
            sessions: a_code_is_exchanged_once_and_the_session_read_back, a_code_is_exchanged_in_time_and_with_its_challenge,
                one_of_many_concurrent_exchanges_wins, a_use_is_recorded_and_never_goes_back, a_removed_session_is_gone,
                open_sessions_are_listed_by_their_last_use, every_session_of_a_person_is_removed,
                ended_and_pending_sessions_are_purged;
            standing_approvals: standing_approvals_are_listed_by_agent_until_they_end,
                no_use_of_a_standing_approval_is_lost, a_standing_approval_is_forgotten_a_day_after_its_end;
            notifications: a_reader_goes_on_with_what_it_made_of_events, one_of_many_concurrent_readers_goes_on,
                due_notifications_are_claimed_once_the_longest_due_first, notifications_are_listed_in_pages_and_by_status,
                settled_notifications_are_forgotten_and_pending_ones_are_not;
            break_glass: sealed_codes_are_listed_until_they_expire_and_found_by_hash,
                a_code_whose_hash_is_known_is_not_sealed_and_nothing_with_it, one_of_many_grants_consumes_a_code,
                expired_codes_are_forgotten_a_day_later, grants_of_break_glass_are_listed_in_pages;
            purging: expired_rows_are_purged_and_no_others, many_rows_are_purged_in_batches;
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
