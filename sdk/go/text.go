package tidemill

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// readable is a text for people as the host takes it: bytes that are no UTF-8 are replaced.
func readable(message string) string { return strings.ToValidUTF8(message, "\ufffd") }

// argument is a text for the host, by the name that the failure has for it.
type argument struct{ name, text string }

// notText rejects the event for the first text that is no UTF-8, at which the call of the host would trap.
func notText(arguments ...argument) error {
	for _, given := range arguments {
		if !utf8.ValidString(given.text) {
			return Reject(fmt.Sprintf("%s: it is no UTF-8: %.80q", given.name, given.text))
		}
	}
	return nil
}
