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
            reads: pages_of_everything_forwards_and_backwards, reads_by_stream, reads_by_type, reads_by_tag,
                filters_combine, pages_end_at_limits_and_bytes, ranges_that_hold_nothing, events_by_id,
                pages_are_stable_under_appends;
            plugin_data: promise_5_one_commit, a_fence_keeps_a_second_runner_out, units_of_work_skip_stored_events,
                state_is_scanned_in_pages, dead_letters_come_and_go, plugins_are_kept_apart,
                malformed_units_of_work_are_refused;
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
