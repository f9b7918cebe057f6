package tidemill

import (
	"encoding/json"
	"reflect"
	"strings"
)

// missingField names the first field of a struct that must be in a JSON object and is not; empty where there is none.
// Pointers and fields with `omitempty` or `omitzero` may be missing. encoding/json leaves that to its caller.
func missingField(payload []byte, into any) string {
	kind := reflect.TypeOf(into).Elem()
	if kind.Kind() != reflect.Struct {
		return ""
	}
	var found map[string]json.RawMessage
	if json.Unmarshal(payload, &found) != nil {
		return "the object"
	}
	for i := range kind.NumField() {
		field := kind.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		optional := strings.Contains(options, "omit") || field.Type.Kind() == reflect.Pointer
		if name == "-" || optional || !field.IsExported() || field.Anonymous {
			continue
		}
		if name == "" {
			name = field.Name
		}
		if value, there := found[name]; !there || string(value) == "null" {
			return name
		}
	}
	return ""
}
