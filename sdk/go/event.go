package tidemill

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"tidemill.local/sdk/bindings/imports/tidemill_plugin_types"
)

// Event is a stored event. Its payload and its tags are parsed only when asked for.
type Event struct {
	fields tidemill_plugin_types.Event
	tail   *tail
}

// tail is what travels in the contract's event.context.
type tail struct {
	Tags        []string          `json:"tags"`
	Metadata    map[string]string `json:"metadata"`
	ContentType string            `json:"content_type"`
}

// Position is the place in the global order; the first event of the log is 1.
func (e *Event) Position() uint64 { return e.fields.Position }

// ID is the event's UUID as text.
func (e *Event) ID() string {
	high, low := e.fields.Id.High, e.fields.Id.Low
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", high>>32, high>>16&0xffff, high&0xffff, low>>48, low&(1<<48-1))
}

// Type is such as OrderPlaced.
func (e *Event) Type() string { return e.fields.EventType }

// Stream is such as order-42; empty outside any stream.
func (e *Event) Stream() string { return e.fields.Stream.SomeOr("") }

// Version is the place within the stream, from 1; 0 outside any stream.
func (e *Event) Version() uint64 { return e.fields.Version }

// Time is when the host stored it: the only clock that a plugin has.
func (e *Event) Time() time.Time { return time.UnixMicro(int64(e.fields.TimestampUs)).UTC() }

// SchemaVersion is that of the payload, from 1.
func (e *Event) SchemaVersion() uint32 { return e.fields.SchemaVersion }

// Tags are the event's labels.
func (e *Event) Tags() []string { return e.context().Tags }

// Tag is the rest of the first tag that begins with "key:".
func (e *Event) Tag(key string) (string, bool) {
	for _, tag := range e.Tags() {
		if rest, ok := strings.CutPrefix(tag, key+":"); ok {
			return rest, true
		}
	}
	return "", false
}

// Metadata is the event's, such as correlation_id.
func (e *Event) Metadata() map[string]string { return e.context().Metadata }

// ContentType is that of the payload.
func (e *Event) ContentType() string {
	switch {
	case e.context().ContentType != "":
		return e.context().ContentType
	case e.IsJSON():
		return "application/json"
	default:
		return "application/octet-stream"
	}
}

// IsJSON says whether the payload is JSON.
func (e *Event) IsJSON() bool { return e.fields.Payload.Tag() == tidemill_plugin_types.Payload_Json }

// Bytes are the payload's, whatever it is.
func (e *Event) Bytes() []byte {
	if e.IsJSON() {
		return []byte(e.fields.Payload.Json())
	}
	return e.fields.Payload.Binary()
}

// Decode reads the payload into a value: see [On] for what it checks.
func (e *Event) Decode(into any) error {
	if !e.IsJSON() {
		return Reject(fmt.Sprintf("payload of %s: it is %s, not JSON", e.Type(), e.ContentType()))
	}
	payload := e.Bytes()
	if err := json.Unmarshal(payload, into); err != nil {
		return Reject(fmt.Sprintf("payload of %s: %v", e.Type(), err))
	}
	if missing := missingPart(payload, into); missing != "" {
		return Reject(fmt.Sprintf("payload of %s: %s is missing", e.Type(), missing))
	}
	return nil
}

func (e *Event) context() *tail {
	if e.tail == nil {
		e.tail = &tail{}
		if e.fields.Context.IsSome() {
			if err := json.Unmarshal([]byte(e.fields.Context.Some()), e.tail); err != nil {
				LogWarn(fmt.Sprintf("context of event %d left out: %v", e.Position(), err))
			}
		}
	}
	return e.tail
}
