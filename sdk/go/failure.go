package tidemill

import (
	"errors"
	"fmt"

	wit "go.bytecodealliance.org/pkg/wit/types"
	"tidemill.local/sdk/bindings/imports/tidemill_plugin_types"
)

// Failure is what is to become of an event that was not handled. Make one by [Reject], [Retry], [RetryAfter] or [Stop];
// it may be wrapped.
type Failure struct {
	verdict tidemill_plugin_types.Verdict
	reason  string
}

func (f *Failure) Error() string { return f.reason }

// Reject says that the event is bad and always will be: it becomes a dead letter at once.
func Reject(reason string) error {
	return &Failure{tidemill_plugin_types.MakeVerdictReject(), reason}
}

// Retry says that the world is not ready: try again by the manifest's backoff.
func Retry(reason string) error {
	return &Failure{tidemill_plugin_types.MakeVerdictRetry(wit.None[uint64]()), reason}
}

// RetryAfter says the same, with a wait in milliseconds.
func RetryAfter(ms uint64, reason string) error {
	return &Failure{tidemill_plugin_types.MakeVerdictRetry(wit.Some(ms)), reason}
}

// Stop says that the plugin must not go on: it stops before this event until an operator acts.
func Stop(reason string) error {
	return &Failure{tidemill_plugin_types.MakeVerdictStop(), reason}
}

// failureOf takes any error as a failure: what has no verdict is tried again.
func failureOf(err error) *Failure {
	var failure *Failure
	if !errors.As(err, &failure) {
		errors.As(Retry(err.Error()), &failure)
	}
	return &Failure{failure.verdict, err.Error()}
}

// refused gives what the host refuses a verdict by itself.
func refused(err tidemill_plugin_types.HostError) error {
	switch err.Tag() {
	case tidemill_plugin_types.HostError_Invalid:
		return Reject(err.Invalid()) // comes from this event's data, and will come again
	case tidemill_plugin_types.HostError_Denied:
		return Stop(err.Denied()) // installed wrongly: the events are not to blame
	case tidemill_plugin_types.HostError_LimitExceeded:
		return Retry(err.LimitExceeded()) // may pass
	case tidemill_plugin_types.HostError_Unavailable:
		return Retry(err.Unavailable())
	default:
		return Retry(err.Other())
	}
}

func done(answer wit.Result[wit.Unit, tidemill_plugin_types.HostError]) error {
	if answer.IsErr() {
		return refused(answer.Err())
	}
	return nil
}

func unusable(key, value, wanted string) error {
	return Stop(fmt.Sprintf("config key `%s` of the manifest: `%s` is not %s", key, value, wanted))
}
