package tidemill

import (
	"encoding/json"
	"fmt"
	"iter"

	wit "go.bytecodealliance.org/pkg/wit/types"
	"tidemill.local/sdk/bindings/imports/tidemill_plugin_state"
)

// scanPageEntries are asked for at a time while scanning.
const scanPageEntries = 256

// Entry is one key of the state with its value.
type Entry struct {
	Key   string
	Value []byte
}

// Decode reads the value into what `into` points to, as JSON.
func (e Entry) Decode(into any) error {
	if err := json.Unmarshal(e.Value, into); err != nil {
		return otherShape(e.Key, err)
	}
	return nil
}

// otherShape is the failure of state that another version wrote.
func otherShape(key string, err error) error {
	return Stop(fmt.Sprintf("state under `%s` is not as this version expects: %v", key, err))
}

func notKey(key string) error { return notText(argument{"key of the state", key}) }

// GetState reads the JSON value under a key: the zero value and false where there is none.
//
// State is durable and the plugin's own. Reads see what is committed and this batch's own writes; writes commit
// together with the checkpoint. Keys are text of 1 to 1,024 bytes in the order of their bytes; values at most 1 MiB.
func GetState[T any](key string) (value T, found bool, err error) {
	bytes, found, err := GetStateBytes(key)
	if err != nil || !found {
		return value, found, err
	}
	if err := json.Unmarshal(bytes, &value); err != nil {
		return value, true, otherShape(key, err)
	}
	return value, true, nil
}

// SetState sets the value under a key, as JSON.
func SetState(key string, value any) error {
	bytes, err := json.Marshal(value)
	if err != nil {
		return Reject(fmt.Sprintf("state under `%s` cannot be written as JSON: %v", key, err))
	}
	return SetStateBytes(key, bytes)
}

// GetStateBytes reads the bytes under a key.
func GetStateBytes(key string) (value []byte, found bool, err error) {
	if err := notKey(key); err != nil {
		return nil, false, err
	}
	answer := tidemill_plugin_state.Get(key)
	if answer.IsErr() {
		return nil, false, refused(answer.Err())
	}
	option := answer.Ok()
	if option.IsNone() {
		return nil, false, nil
	}
	return option.Some(), true, nil
}

// SetStateBytes sets the bytes under a key.
func SetStateBytes(key string, value []byte) error {
	if err := notKey(key); err != nil {
		return err
	}
	return done(tidemill_plugin_state.Set(key, value))
}

// DeleteState removes a key; one that is not there is fine.
func DeleteState(key string) error {
	if err := notKey(key); err != nil {
		return err
	}
	return done(tidemill_plugin_state.Delete(key))
}

// ScanState goes over the entries whose key begins with prefix, in key order, page by page. It ends after the first
// error. Keys may be deleted meanwhile.
func ScanState(prefix string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := notText(argument{"prefix of a scan", prefix}); err != nil {
			yield(Entry{}, err)
			return
		}
		for after := wit.None[string](); ; {
			answer := tidemill_plugin_state.Scan(prefix, after, scanPageEntries)
			if answer.IsErr() {
				yield(Entry{}, refused(answer.Err()))
				return
			}
			page := answer.Ok()
			for _, entry := range page.Entries {
				if !yield(Entry{entry.Key, entry.Value}, nil) {
					return
				}
			}
			if page.Next.IsNone() {
				return
			}
			after = page.Next
		}
	}
}
