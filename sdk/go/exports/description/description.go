// Package export_tidemill_plugin_description is what the generated bindings call. The build copies it to where they
// look for it.
package export_tidemill_plugin_description

import (
	"tidemill.local/sdk"
	"tidemill.local/sdk/bindings/imports/tidemill_plugin_description"
)

// Describe is the contract's description.describe.
func Describe() tidemill_plugin_description.Description { return tidemill.Describe() }
