//! The list of all promises.

/// Makes a test of every promise, for the subject that the expression gives.
macro_rules! conformance_tests {
    ($subject:expr) => {
        $crate::store::conformance::conformance_tests! { $subject;
            appends: promise_2_one_order, versions_are_dense_in_each_stream, an_append_over_streams_is_atomic,
                expected_versions_hold_or_nothing_is_appended, an_expectation_may_name_a_stream_without_events,
                a_repeated_append_answers_the_old_places, an_id_with_other_content_is_a_conflict,
                a_partly_stored_append_is_refused, malformed_appends_are_refused, timestamps_never_decrease,
                concurrent_appenders_lose_nothing, an_expected_version_admits_one_of_many, the_head_moves_with_appends,
                everything_of_an_event_is_kept;
            conditions: a_condition_fails_on_any_later_match, an_empty_query_guards_the_whole_log,
                items_of_a_condition_are_alternatives, tags_are_compared_exactly, a_repetition_outlives_its_condition,
                a_condition_ahead_of_the_log_is_refused, a_condition_admits_one_of_many,
                conditions_and_expectations_stand_together, contradicting_expectations_are_refused,
                conditions_over_their_bounds_are_refused;
            reads: pages_of_everything_forwards_and_backwards, reads_by_stream, reads_by_type, reads_by_tag,
                filters_combine, items_of_a_query_are_alternatives, queries_over_their_bounds_are_refused,
                pages_end_at_limits_and_bytes, ranges_that_hold_nothing, events_by_id,
                pages_are_stable_under_appends;
            time: reads_by_time, time_and_position_bound_together, times_that_hold_nothing, the_past_does_not_change,
                a_time_to_come_can_be_followed, the_ends_of_time;
            streams: a_stream_head_is_its_last_event, streams_are_listed_in_order, a_page_of_streams_is_bounded,
                event_types_are_counted, a_deleted_stream_takes_nothing_more, a_tombstone_is_an_event_like_others,
                a_deletion_checks_the_stream, a_repeated_deletion_answers_the_old_place, nothing_comes_after_a_deletion,
                types_of_the_host_cannot_be_appended, units_of_work_respect_deletions, streams_of_odd_names;
            removals: removed_events_are_gone_and_others_stay, horizons_only_rise_and_stay_below_the_head,
                streams_end_where_they_ended, a_removed_id_is_unknown_and_may_come_again,
                conditions_see_what_is_kept, pages_go_over_what_is_gone, readers_are_told_what_is_gone,
                a_complete_read_refuses_what_is_gone, the_log_counts_what_it_ever_held, time_goes_over_what_is_gone,
                feeds_go_over_what_is_gone, the_nth_newest_of_a_category_is_found, plugins_keep_what_they_have;
            feeds: feeds_have_no_gap_and_no_double, a_feed_waits_for_what_comes, a_feed_goes_on_where_another_ended,
                tasks_write_as_threads_do;
            tracking: a_source_is_followed, a_source_moves_forward, a_refused_append_moves_no_source,
                a_source_moves_without_events, a_repetition_outlives_its_tracking, a_place_is_accounted_for_once,
                malformed_tracking_is_refused;
            plugin_data: promise_5_one_commit, a_fence_keeps_a_second_runner_out,
                partitions_come_on_by_themselves, generations_come_and_go_with_the_record, units_of_work_skip_stored_events,
                state_is_scanned_in_pages, state_is_counted, dead_letters_come_and_go, plugins_are_kept_apart,
                a_snapshot_shows_one_moment, a_snapshot_outlives_its_generation, malformed_units_of_work_are_refused;
        }
    };
    ($subject:expr; $($module:ident: $($promise:ident),*;)*) => {
        $($(
            #[test]
            fn $promise() {
                $crate::store::conformance::$module::$promise(&$subject);
            }
        )*)*
    };
}
pub(crate) use conformance_tests;
