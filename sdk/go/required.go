package tidemill

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// missingPart names the first part of a Go value that has to be in a JSON document and is not, such as
// lines[1].product; empty where nothing is missing. encoding/json leaves that to its caller, and has read the document
// before. Pointers and fields with `omitempty` or `omitzero` may be missing or null; interfaces may only be null, and so
// may lists and maps, which encoding/json writes so, but for those of the whole; what reads itself, such as a time, is
// its own affair.
func missingPart(payload []byte, into any) string {
	kind := reflect.TypeOf(into).Elem()
	text, _ := firstValue(payload)
	if isNull(text) {
		switch {
		case readsItself(kind):
			return ""
		case kind.Kind() == reflect.Struct:
			text = []byte("{}") // one without fields carries nothing
		case kind.Kind() == reflect.Pointer || !holdsNull(kind):
			return "the whole"
		default:
			return ""
		}
	}
	if !mayLack(kind) {
		return ""
	}
	for kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	if kind.Kind() == reflect.Struct {
		place, _ := lacksField(text, kind, true)
		return place
	}
	place, _ := lacks(text, kind)
	return place
}

// lacks says what is missing in a value, not null, of a type that may lack something.
func lacks(text []byte, kind reflect.Type) (place string, missing bool) {
	switch kind.Kind() {
	case reflect.Pointer:
		return lacks(text, kind.Elem())
	case reflect.Struct:
		return lacksField(text, kind, false)
	case reflect.Slice, reflect.Array:
		return lacksItem(text, kind)
	case reflect.Map:
		return lacksEntry(text, kind)
	}
	return "", false
}

// lacksField looks at the fields of a struct, or of the whole.
func lacksField(text []byte, kind reflect.Type, whole bool) (place string, missing bool) {
	fields := fieldsOf(kind)
	values := make([][]byte, 0, 16) // does not leave the stack
	for range fields {
		values = append(values, nil)
	}
	for parts := within(text); len(parts) > 0; {
		var key, value []byte
		key, value, parts = entry(parts)
		if index := fieldNamed(fields, key); index >= 0 {
			values[index] = value
		}
	}
	for index, field := range fields {
		value := values[index]
		null := isNull(value)
		switch {
		case field.optional && (value == nil || null):
		case value == nil && field.behind != nil && !anyBehind(field.behind, fields, values):
		case value == nil:
			return field.name, true
		case null && (!field.holdsNull || whole && !field.holdsNullOfWhole):
			return field.name, true
		case !null && field.mayLack:
			if place, missing := lacks(value, field.kind); missing {
				return joined(field.name, place), true
			}
		}
	}
	return "", false
}

// fieldNamed is the index of the field that encoding/json fills from a key, which is quoted; -1 where there is none.
func fieldNamed(fields []jsonField, key []byte) int {
	name := key[1 : len(key)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		name = []byte(unquoted(key))
	}
	for index := range fields {
		if string(name) == fields[index].name {
			return index
		}
	}
	for index := range fields {
		if strings.EqualFold(string(name), fields[index].name) {
			return index
		}
	}
	return -1
}

// anyBehind says whether anything is there of the struct behind an embedded pointer.
func anyBehind(behind reflect.Type, fields []jsonField, values [][]byte) bool {
	for index := range fields {
		if fields[index].behind == behind && values[index] != nil {
			return true
		}
	}
	return false
}

func lacksItem(text []byte, kind reflect.Type) (place string, missing bool) {
	nullable, deep, count := holdsNull(kind.Elem()), mayLack(kind.Elem()), 0
	for parts := within(text); len(parts) > 0; count++ {
		var item []byte
		item, parts = firstValue(parts)
		parts = afterComma(parts)
		if !deep {
			continue
		}
		if isNull(item) {
			if !nullable {
				return fmt.Sprintf("[%d]", count), true
			}
		} else if place, missing := lacks(item, kind.Elem()); missing {
			return joined(fmt.Sprintf("[%d]", count), place), true
		}
	}
	if kind.Kind() == reflect.Array && count < kind.Len() {
		return fmt.Sprintf("[%d]", count), true
	}
	return "", false
}

func lacksEntry(text []byte, kind reflect.Type) (place string, missing bool) {
	nullable := holdsNull(kind.Elem())
	for parts := within(text); len(parts) > 0; {
		var key, value []byte
		key, value, parts = entry(parts)
		if isNull(value) {
			if !nullable {
				return unquoted(key), true
			}
		} else if place, missing := lacks(value, kind.Elem()); missing {
			return joined(unquoted(key), place), true
		}
	}
	return "", false
}

// joined is a place within another one.
func joined(outer, inner string) string {
	if strings.HasPrefix(inner, "[") {
		return outer + inner
	}
	return outer + "." + inner
}

// mayLackOf is what mayLack has found.
var mayLackOf = map[reflect.Type]bool{}

// mayLack says whether anything may be missing in a value of a type. What is of no such type is not looked at.
func mayLack(kind reflect.Type) bool {
	found, known := mayLackOf[kind]
	if !known {
		found = reachesLack(kind, map[reflect.Type]bool{})
		mayLackOf[kind] = found
	}
	return found
}

func reachesLack(kind reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[kind] || readsItself(kind) {
		return false
	}
	seen[kind] = true
	switch kind.Kind() {
	case reflect.Array:
		return kind.Len() > 0
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return reachesLack(kind.Elem(), seen)
	case reflect.Struct:
		return slices.ContainsFunc(fieldsOf(kind), func(field jsonField) bool {
			return !field.optional || reachesLack(field.kind, seen)
		})
	}
	return false
}

// holdsNull says whether null is a value of a type.
func holdsNull(kind reflect.Type) bool {
	switch kind.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Map:
		return true
	}
	return reflect.PointerTo(kind).Implements(reflect.TypeFor[json.Unmarshaler]())
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
	// holdsNull says whether null is a value of it, and holdsNullOfWhole whether it also is as a field of the whole.
	holdsNull, holdsNullOfWhole bool
	// mayLack says whether anything may be missing in it.
	mayLack bool
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
				one := jsonField{name: name, kind: field.Type, optional: optional, tagged: name != "", behind: outer.behind}
				if name == "" {
					one.name = field.Name
				}
				one.holdsNull = holdsNull(field.Type)
				anything := field.Type.Kind() == reflect.Interface || field.Type == reflect.TypeFor[json.RawMessage]()
				one.holdsNullOfWhole = anything || one.holdsNull && outer.kind != kind
				found = append(found, one)
			}
		}
		fields = append(fields, dominant(found, taken)...)
		level = deeper
	}
	structFields[kind] = fields
	// Only now: the type may hold itself.
	for index := range fields {
		fields[index].mayLack = mayLack(fields[index].kind)
	}
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

// mustBeReadable panics for a type that holds a struct of the plugin's own into which nothing can be read: encoding/json
// would leave it empty, and say nothing.
func mustBeReadable(kind reflect.Type) {
	named := kind
	for slices.Contains([]reflect.Kind{reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map}, named.Kind()) {
		named = named.Elem()
	}
	beReadable(kind, named.PkgPath(), map[reflect.Type]bool{})
}

// beReadable looks at what is read of a type; home is a package whose structs are the plugin's, as those of main are.
func beReadable(kind reflect.Type, home string, seen map[reflect.Type]bool) {
	if seen[kind] || readsItself(kind) {
		return
	}
	seen[kind] = true
	switch kind.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		beReadable(kind.Elem(), home, seen)
	case reflect.Struct:
		exported, hiddenIn := false, ""
		for i := range kind.NumField() {
			field := kind.Field(i)
			switch {
			case field.Name == "_":
			case field.Tag.Get("json") == "-":
				exported = exported || field.IsExported()
			case field.IsExported() || embeddedStruct(field) != nil:
				exported = true
				beReadable(field.Type, home, seen)
			default:
				hiddenIn = field.PkgPath
			}
		}
		if !exported && hiddenIn != "" && (hiddenIn == home || hiddenIn == "main") {
			panic(fmt.Sprintf("tidemill: no field of %v is exported, so nothing can be read into it: begin their names "+
				"with a capital letter, with `json:\"name\"` behind them", kind))
		}
	}
}
