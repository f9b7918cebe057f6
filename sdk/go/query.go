package tidemill

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Parameter is one of a query's.
type Parameter struct{ Name, Value string }

// Query is what somebody wants to know. It is answered from the state as of one moment; what is tried to be changed is
// denied. Keep nothing for the next query: it sees another moment.
type Query struct {
	Name string
	// Checkpoint: every matching event up to here is in the state, or set aside.
	Checkpoint uint64
	// Parameters in the order given; a name may come several times.
	Parameters []Parameter
}

// Queries answer, by name: a value that is written as JSON, or an [Answer]. [Invalid] says that a parameter will not do.
type Queries map[string]func(*Query) (any, error)

// Answer is one that is not JSON.
type Answer struct {
	ContentType string
	Body        []byte
}

type invalidQuery struct{ reason string }

func (e *invalidQuery) Error() string { return e.reason }

// Invalid says that a parameter is missing, not known, or has a bad value.
func Invalid(reason string) error { return &invalidQuery{reason} }

// All are the values of a parameter.
func (q *Query) All(name string) (values []string) {
	for _, parameter := range q.Parameters {
		if parameter.Name == name {
			values = append(values, parameter.Value)
		}
	}
	return values
}

// Text is the value of a parameter; false where it is not given.
func (q *Query) Text(name string) (value string, given bool, err error) {
	values := q.All(name)
	switch len(values) {
	case 0:
		return "", false, nil
	case 1:
		return values[0], true, nil
	default:
		return "", true, Invalid(fmt.Sprintf("parameter `%s` is given twice; give it once", name))
	}
}

// Require is the value of a parameter that must be given.
func (q *Query) Require(name string) (string, error) {
	value, given, err := q.Text(name)
	if err == nil && !given {
		err = Invalid(fmt.Sprintf("parameter `%s` is missing", name))
	}
	return value, err
}

// Uint is the whole number from 0 of a parameter, or otherwise.
func (q *Query) Uint(name string, otherwise uint64) (uint64, error) {
	text, given, err := q.Text(name)
	if err != nil || !given {
		return otherwise, err
	}
	value, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return otherwise, Invalid(fmt.Sprintf("parameter `%s` is `%s`, which is not a whole number from 0", name, text))
	}
	return value, nil
}

// Answered is what came of a query: a body, which is JSON unless a content type is said, or why there is none.
type Answered struct {
	Unknown         bool
	Invalid, Failed string
	ContentType     string
	Body            []byte
}

// AnswerQuery is called by what the component exports.
func AnswerQuery(query *Query) Answered {
	defer collect()
	answer, known := registered.Queries[query.Name]
	if !known {
		return Answered{Unknown: true}
	}
	value, err := answer(query)
	if err != nil {
		return notAnswered(err)
	}
	if answer, other := value.(Answer); other {
		if answer.ContentType == "" {
			answer.ContentType = "application/octet-stream"
		}
		if err := notText(argument{"content type of the answer", answer.ContentType}); err != nil {
			return notAnswered(err)
		}
		return Answered{ContentType: answer.ContentType, Body: answer.Body}
	}
	body, err := json.Marshal(value)
	if err == nil {
		err = notText(argument{"the answer", string(body)})
	}
	if err != nil {
		return notAnswered(err)
	}
	return Answered{Body: body}
}

func notAnswered(err error) Answered {
	var invalid *invalidQuery
	reason := readable(err.Error())
	if reason == "" {
		reason = "it failed and gave no reason"
	}
	if errors.As(err, &invalid) {
		return Answered{Invalid: reason}
	}
	return Answered{Failed: reason}
}
