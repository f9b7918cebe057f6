// Package tidemill is for writing Tidemill plugins in Go. See README.md beside it.
package tidemill

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"unicode/utf8"

	wit "go.bytecodealliance.org/pkg/wit/types"
	"tidemill.local/sdk/bindings/imports/tidemill_plugin_append"
	"tidemill.local/sdk/bindings/imports/tidemill_plugin_config"
	"tidemill.local/sdk/bindings/imports/tidemill_plugin_log"
	"tidemill.local/sdk/bindings/imports/tidemill_plugin_types"
)

// Handler handles one event.
type Handler func(*Context) error

// Handlers are those of a plugin, by event type; "*" takes all that have no handler of their own.
type Handlers map[string]Handler

// Plugin is what a plugin says of itself, and its handlers.
type Plugin struct {
	Name    string
	Version string
	Summary string
	// Append are the event types it wants to append; the manifest's [grants] allow it.
	Append   []string
	Handlers Handlers
	// Queries it answers, if any; the build looks for this field: see README.md.
	Queries Queries
	// StateSchema says which schema the state has, from 1; 0 says nothing. Raise it when another state is to be made of
	// the same events: the host builds it anew beside the one there is, and then changes over.
	StateSchema uint32
}

// Register makes a plugin the one of this component. Call it once, in an init function.
func Register(plugin Plugin) { registered = plugin }

// On makes a handler for events whose payload is an E, a struct. A payload that is not one rejects the event, and so
// does a missing field, unless it is a pointer or has `omitempty`; also in structs within it, whose lists and maps may
// be null. It panics for a struct of the plugin none of whose fields is exported.
func On[E any](handle func(E, *Context) error) Handler {
	mustBeReadable(reflect.TypeFor[E]())
	mayLack(reflect.TypeFor[E]()) // worked out once
	return func(ctx *Context) error {
		var event E
		if err := ctx.Event.Decode(&event); err != nil {
			return err
		}
		return handle(event, ctx)
	}
}

// Context is what a handler may do on behalf of the event at hand.
type Context struct {
	Event *Event
}

// NewEvent is an event to append. The host gives it an id, causation_id and correlation_id.
type NewEvent struct {
	// Type must be granted by the manifest: [grants] append = ["<type>"].
	Type string
	// Stream to append it to; empty for an event outside any stream.
	Stream string
	// Data is anything that encoding/json writes, or []byte for a binary payload.
	Data any
	// ContentType of a binary payload.
	ContentType string
	// Tags are labels for queries, such as order:42; at most 64.
	Tags     []string
	Metadata map[string]string
	// SchemaVersion of the payload; 1 if 0.
	SchemaVersion uint32
}

// Append appends events in this order, all or none; they commit together with the checkpoint.
func (c *Context) Append(events ...NewEvent) error {
	host := make([]tidemill_plugin_append.NewEvent, 0, len(events))
	for _, event := range events {
		payload, err := payloadOf(event)
		if err != nil {
			return err
		}
		if err := notText(textsOf(event)...); err != nil {
			return err
		}
		metadata := make([]wit.Tuple2[string, string], 0, len(event.Metadata))
		for key, value := range event.Metadata {
			metadata = append(metadata, wit.Tuple2[string, string]{F0: key, F1: value})
		}
		host = append(host, tidemill_plugin_append.NewEvent{
			EventType:     event.Type,
			Stream:        some(event.Stream),
			Payload:       payload,
			ContentType:   some(event.ContentType),
			Tags:          event.Tags,
			Metadata:      metadata,
			SchemaVersion: max(event.SchemaVersion, 1),
		})
	}
	return done(tidemill_plugin_append.Append(c.Event.Position(), host))
}

// textsOf are the texts of an event that are the host's to take.
func textsOf(event NewEvent) []argument {
	texts := []argument{
		{"type of an event", event.Type},
		{"stream of " + event.Type, event.Stream},
		{"content type of " + event.Type, event.ContentType},
	}
	for _, tag := range event.Tags {
		texts = append(texts, argument{"tag of " + event.Type, tag})
	}
	for key, value := range event.Metadata {
		texts = append(texts, argument{"metadata of " + event.Type, key}, argument{"metadata of " + event.Type, value})
	}
	return texts
}

func payloadOf(event NewEvent) (tidemill_plugin_types.Payload, error) {
	if bytes, ok := event.Data.([]byte); ok {
		return tidemill_plugin_types.MakePayloadBinary(bytes), nil
	}
	text, err := json.Marshal(event.Data)
	if err != nil {
		return tidemill_plugin_types.Payload{}, Reject(fmt.Sprintf("body of %s cannot be written as JSON: %v", event.Type, err))
	}
	if err := notText(argument{"data of " + event.Type, string(text)}); err != nil {
		return tidemill_plugin_types.Payload{}, err
	}
	return tidemill_plugin_types.MakePayloadJson(string(text)), nil
}

func some(text string) wit.Option[string] {
	if text == "" {
		return wit.None[string]()
	}
	return wit.Some(text)
}

// ConfigText is the text under a key of the manifest's [config]; false where there is none.
func ConfigText(key string) (string, bool) {
	if !utf8.ValidString(key) {
		return "", false
	}
	value := tidemill_plugin_config.Get(key)
	return value.SomeOr(""), value.IsSome()
}

// ConfigUint is the whole number from 0 under a key, or otherwise. Another value stops the plugin.
func ConfigUint(key string, otherwise uint64) (uint64, error) {
	text, ok := ConfigText(key)
	if !ok {
		return otherwise, nil
	}
	value, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, unusable(key, text, "a whole number from 0")
	}
	return value, nil
}

// ConfigJSON reads the value under a key, such as a number, an array or a table, or answers otherwise. A value that is
// not a T stops the plugin.
func ConfigJSON[T any](key string, otherwise T) (T, error) {
	text, ok := ConfigText(key)
	if !ok {
		return otherwise, nil
	}
	var value T
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return otherwise, unusable(key, text, err.Error())
	}
	return value, nil
}

// LogDebug writes a line for whoever works on the plugin. Lines are written at once, also by attempts that fail.
func LogDebug(message string) {
	tidemill_plugin_log.Log(tidemill_plugin_log.Level_Debug, readable(message))
}

// LogInfo writes a line for the operator.
func LogInfo(message string) {
	tidemill_plugin_log.Log(tidemill_plugin_log.Level_Info, readable(message))
}

// LogWarn writes a line about something odd that was dealt with.
func LogWarn(message string) {
	tidemill_plugin_log.Log(tidemill_plugin_log.Level_Warn, readable(message))
}

// LogError writes a line about something that needs a person.
func LogError(message string) {
	tidemill_plugin_log.Log(tidemill_plugin_log.Level_Error, readable(message))
}
