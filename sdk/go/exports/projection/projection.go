// Package export_tidemill_plugin_projection is what the generated bindings call. The build copies it to where they
// look for it, where the plugin answers queries.
package export_tidemill_plugin_projection

import (
	wit "go.bytecodealliance.org/pkg/wit/types"
	"tidemill.local/sdk"
	"tidemill.local/sdk/bindings/imports/tidemill_plugin_projection"
	"tidemill.local/sdk/bindings/imports/tidemill_plugin_types"
)

// Query is the contract's projection.query.
func Query(request tidemill_plugin_projection.Request) wit.Result[tidemill_plugin_projection.Answer, tidemill_plugin_projection.QueryError] {
	query := tidemill.Query{Name: request.Query, Checkpoint: request.Checkpoint}
	for _, pair := range request.Parameters {
		query.Parameters = append(query.Parameters, tidemill.Parameter{Name: pair.F0, Value: pair.F1})
	}
	answered := tidemill.AnswerQuery(&query)
	switch {
	case answered.Unknown:
		return refused(tidemill_plugin_projection.MakeQueryErrorUnknownQuery())
	case answered.Invalid != "":
		return refused(tidemill_plugin_projection.MakeQueryErrorInvalid(answered.Invalid))
	case answered.Failed != "":
		return refused(tidemill_plugin_projection.MakeQueryErrorFailed(answered.Failed))
	case answered.ContentType != "":
		payload := tidemill_plugin_types.MakePayloadBinary(answered.Body)
		return given(tidemill_plugin_projection.Answer{Payload: payload, ContentType: wit.Some(answered.ContentType)})
	default:
		payload := tidemill_plugin_types.MakePayloadJson(string(answered.Body))
		return given(tidemill_plugin_projection.Answer{Payload: payload, ContentType: wit.None[string]()})
	}
}

func given(answer tidemill_plugin_projection.Answer) wit.Result[tidemill_plugin_projection.Answer, tidemill_plugin_projection.QueryError] {
	return wit.Ok[tidemill_plugin_projection.Answer, tidemill_plugin_projection.QueryError](answer)
}

func refused(err tidemill_plugin_projection.QueryError) wit.Result[tidemill_plugin_projection.Answer, tidemill_plugin_projection.QueryError] {
	return wit.Err[tidemill_plugin_projection.Answer](err)
}
