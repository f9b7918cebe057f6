package tidemill

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sort"

	wit "go.bytecodealliance.org/pkg/wit/types"
	"tidemill.local/sdk/bindings/imports/tidemill_plugin_description"
	"tidemill.local/sdk/bindings/imports/tidemill_plugin_types"
)

// sdk is what the component says that it was made with.
const sdk = "tidemill-go 0.1.0"

// registered is the plugin of this component.
var registered Plugin

// collectEveryBytes is how much is allocated between two collections.
const collectEveryBytes = 16 << 20

var collectedAt uint64

// A collection that begins by itself may begin while the host lowers arguments, where the runtime may not read the
// clock and traps. So it is run between batches only.
func init() { debug.SetGCPercent(-1) }

func collect() {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	if memory.TotalAlloc-collectedAt >= collectEveryBytes {
		runtime.GC()
		collectedAt = memory.TotalAlloc
	}
}

// HandleBatch is called by what the component exports.
func HandleBatch(events []tidemill_plugin_types.Event) *tidemill_plugin_types.Failure {
	defer collect()
	for index := range events {
		event := Event{fields: events[index]}
		if err := dispatch(&Context{&event}); err != nil {
			failure := failureOf(err)
			return &tidemill_plugin_types.Failure{Index: uint32(index), Verdict: failure.verdict, Reason: readable(failure.reason)}
		}
	}
	return nil
}

func dispatch(ctx *Context) error {
	handle, ok := registered.Handlers[ctx.Event.Type()]
	if !ok {
		handle, ok = registered.Handlers["*"]
	}
	if !ok {
		return Reject(fmt.Sprintf("no handler for %s", ctx.Event.Type()))
	}
	return handle(ctx)
}

// Describe is called by what the component exports.
func Describe() tidemill_plugin_description.Description {
	types := make([]string, 0, len(registered.Handlers))
	if _, all := registered.Handlers["*"]; !all {
		for eventType := range registered.Handlers {
			types = append(types, eventType)
		}
		sort.Strings(types)
	}
	queries := make([]string, 0, len(registered.Queries))
	for name := range registered.Queries {
		queries = append(queries, name)
	}
	sort.Strings(queries)
	extra := make([]wit.Tuple2[string, string], 0, len(queries)+2)
	for _, name := range queries {
		extra = append(extra, wit.Tuple2[string, string]{F0: "query", F1: name})
	}
	if registered.StateSchema > 0 {
		extra = append(extra, wit.Tuple2[string, string]{F0: "schema", F1: fmt.Sprint(registered.StateSchema)})
	}
	extra = append(extra, wit.Tuple2[string, string]{F0: "sdk", F1: sdk})
	return tidemill_plugin_description.Description{
		Extra:   extra,
		Name:    registered.Name,
		Version: registered.Version,
		Summary: registered.Summary,
		Types:   types,
		Append:  registered.Append,
	}
}
