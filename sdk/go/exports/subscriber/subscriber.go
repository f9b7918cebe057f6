// Package export_tidemill_plugin_subscriber is what the generated bindings call. The build copies it to where they
// look for it.
package export_tidemill_plugin_subscriber

import (
	wit "go.bytecodealliance.org/pkg/wit/types"
	"tidemill.local/sdk"
	"tidemill.local/sdk/bindings/imports/tidemill_plugin_types"
)

// Handle is the contract's subscriber.handle.
func Handle(events []tidemill_plugin_types.Event) wit.Result[wit.Unit, tidemill_plugin_types.Failure] {
	if failure := tidemill.HandleBatch(events); failure != nil {
		return wit.Err[wit.Unit](*failure)
	}
	return wit.Ok[wit.Unit, tidemill_plugin_types.Failure](wit.Unit{})
}
