package tidemill

import (
	"bytes"
	"encoding/json"
)

// What is here goes through JSON that encoding/json has read before, and takes no memory for it.

// firstValue is the value, or the key, with which a text begins, and what follows it.
func firstValue(text []byte) (value, rest []byte) {
	text = bytes.TrimLeft(text, " \t\r\n")
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth == 0 {
				return text[:i], text[i:]
			}
			depth--
		case ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return text[:i], text[i:]
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return text[:i+1], text[i+1:]
		}
	}
	return text, nil
}

// within is what stands between the brackets of a list or an object; nothing for any other value.
func within(text []byte) []byte {
	if len(text) < 2 || text[0] != '{' && text[0] != '[' {
		return nil
	}
	return bytes.TrimSpace(text[1 : len(text)-1])
}

// entry is the first one of what stands within an object, its key in quotes, and those that follow it.
func entry(parts []byte) (key, value, rest []byte) {
	key, rest = firstValue(parts)
	rest = bytes.TrimLeft(rest, " \t\r\n")
	value, rest = firstValue(rest[1:])
	return key, value, afterComma(rest)
}

// afterComma is what follows a comma; nothing where there is none.
func afterComma(rest []byte) []byte {
	_, after, _ := bytes.Cut(rest, []byte(","))
	return after
}

func isNull(value []byte) bool { return string(value) == "null" }

// unquoted is the text of a key.
func unquoted(key []byte) (text string) {
	_ = json.Unmarshal(key, &text)
	return text
}
