package tidemill

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"
)

// missingPart names the first part of a Go value that has to be in a JSON document and is not, such as
// lines[1].product; empty where nothing is missing. encoding/json leaves that to its caller. Pointers, interfaces and
// fields with `omitempty` or `omitzero` may be missing or null; what reads itself, such as a time, is its own affair.
func missingPart(payload []byte, into any) string {
	kind := reflect.TypeOf(into).Elem()
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	var document any
	if decoder.Decode(&document) != nil {
		return "the whole"
	}
	if document == nil {
		switch kind.Kind() {
		case reflect.Struct:
			document = map[string]any{} // one without fields carries nothing
		case reflect.Pointer:
			return "the whole"
		}
	}
	place, missing := lacks(document, kind, "")
	if missing && place == "" {
		return "the whole"
	}
	return place
}

func lacks(value any, kind reflect.Type, path string) (place string, missing bool) {
	if value == nil {
		return path, !holdsNull(kind)
	}
	if readsItself(kind) {
		return "", false
	}
	switch kind.Kind() {
	case reflect.Pointer:
		return lacks(value, kind.Elem(), path)
	case reflect.Struct:
		object, _ := value.(map[string]any)
		return lacksField(object, kind, path)
	case reflect.Slice, reflect.Array:
		// Bytes are a text, in base64.
		if items, is := value.([]any); is {
			return lacksItem(items, kind, path)
		}
	case reflect.Map:
		object, _ := value.(map[string]any)
		return lacksEntry(object, kind, path)
	}
	return "", false
}

func lacksField(object map[string]any, kind reflect.Type, path string) (place string, missing bool) {
	fields := fieldsOf(kind)
	// Embedded pointers of which something is there.
	given := map[reflect.Type]bool{nil: true}
	for _, field := range fields {
		if _, there := object[field.name]; there {
			given[field.behind] = true
		}
	}
	for _, field := range fields {
		value, there := object[field.name]
		below := field.name
		if path != "" {
			below = path + "." + field.name
		}
		switch {
		case field.optional && value == nil:
		case !there && !given[field.behind]:
		case !there:
			return below, true
		default:
			if place, missing := lacks(value, field.kind, below); missing {
				return place, true
			}
		}
	}
	return "", false
}

func lacksItem(items []any, kind reflect.Type, path string) (place string, missing bool) {
	for index, item := range items {
		if place, missing := lacks(item, kind.Elem(), fmt.Sprintf("%s[%d]", path, index)); missing {
			return place, true
		}
	}
	if kind.Kind() == reflect.Array && len(items) < kind.Len() {
		return fmt.Sprintf("%s[%d]", path, len(items)), true
	}
	return "", false
}

func lacksEntry(object map[string]any, kind reflect.Type, path string) (place string, missing bool) {
	keys := make([]string, 0, len(object))
	for key := range object {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		below := key
		if path != "" {
			below = path + "." + key
		}
		if place, missing := lacks(object[key], kind.Elem(), below); missing {
			return place, true
		}
	}
	return "", false
}

// holdsNull says whether null is a value of a type.
func holdsNull(kind reflect.Type) bool {
	return kind.Kind() == reflect.Pointer || kind.Kind() == reflect.Interface || kind == reflect.TypeFor[json.RawMessage]()
}

// readsItself says whether a type has its own way to be read from JSON.
func readsItself(kind reflect.Type) bool {
	if kind.Kind() != reflect.Pointer {
		kind = reflect.PointerTo(kind)
	}
	return kind.Implements(reflect.TypeFor[json.Unmarshaler]()) ||
		kind.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// jsonField is one that encoding/json fills in a struct.
type jsonField struct {
	name     string
	kind     reflect.Type
	optional bool
	tagged   bool
	// behind is the struct behind the embedded pointer that has the field; nil where there is none.
	behind reflect.Type
}

// structFields are what fieldsOf has found.
var structFields = map[reflect.Type][]jsonField{}

// fieldsOf are the fields of a struct by the rules of encoding/json: those of embedded structs are the outer one's,
// the least deep of a name hides the others, and of several as deep as each other one with a tag.
func fieldsOf(kind reflect.Type) []jsonField {
	if fields, known := structFields[kind]; known {
		return fields
	}
	type embedded struct{ kind, behind reflect.Type }
	var fields []jsonField
	taken, seen := map[string]bool{}, map[reflect.Type]bool{}
	for level := []embedded{{kind: kind}}; len(level) > 0; {
		var found []jsonField
		var deeper []embedded
		for _, outer := range level {
			if seen[outer.kind] {
				continue
			}
			seen[outer.kind] = true
			for i := range outer.kind.NumField() {
				field := outer.kind.Field(i)
				name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
				if inner := embeddedStruct(field); inner != nil && name == "" {
					behind := outer.behind
					if field.Type.Kind() == reflect.Pointer {
						behind = inner
					}
					deeper = append(deeper, embedded{inner, behind})
					continue
				}
				if !field.IsExported() || field.Tag.Get("json") == "-" {
					continue
				}
				optional := strings.Contains(options, "omit") || field.Type.Kind() == reflect.Pointer
				one := jsonField{name, field.Type, optional, name != "", outer.behind}
				if name == "" {
					one.name = field.Name
				}
				found = append(found, one)
			}
		}
		fields = append(fields, dominant(found, taken)...)
		level = deeper
	}
	structFields[kind] = fields
	return fields
}

// dominant are those of fields as deep as each other that nothing hides; their names are taken then.
func dominant(found []jsonField, taken map[string]bool) (fields []jsonField) {
	for _, field := range found {
		rivals := slices.DeleteFunc(slices.Clone(found), func(other jsonField) bool { return other.name != field.name })
		tagged := slices.DeleteFunc(slices.Clone(rivals), func(other jsonField) bool { return !other.tagged })
		if !taken[field.name] && (len(rivals) == 1 || len(tagged) == 1 && field.tagged) {
			fields = append(fields, field)
		}
	}
	for _, field := range found {
		taken[field.name] = true
	}
	return fields
}

// embeddedStruct is the struct that a field embeds, maybe behind a pointer; nil where it embeds none.
func embeddedStruct(field reflect.StructField) reflect.Type {
	kind := field.Type
	if kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	if !field.Anonymous || kind.Kind() != reflect.Struct || field.Tag.Get("json") == "-" {
		return nil
	}
	return kind
}

// mustBeReadable panics for a type that holds a struct into which nothing can be read: encoding/json would leave it
// empty, and say nothing.
func mustBeReadable(kind reflect.Type, seen map[reflect.Type]bool) {
	if seen[kind] || readsItself(kind) {
		return
	}
	seen[kind] = true
	switch kind.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		mustBeReadable(kind.Elem(), seen)
	case reflect.Struct:
		reached := kind.NumField() == 0
		for i := range kind.NumField() {
			field := kind.Field(i)
			reached = reached || field.IsExported() || embeddedStruct(field) != nil
			if field.IsExported() || embeddedStruct(field) != nil {
				mustBeReadable(field.Type, seen)
			}
		}
		if !reached {
			panic(fmt.Sprintf("tidemill: no field of %v is exported, so nothing can be read into it: begin their names "+
				"with a capital letter, with `json:\"name\"` behind them", kind))
		}
	}
}
