// Points out big orders.
package main

import "tidemill.local/sdk"

type OrderPlaced struct {
	Order      string `json:"order"`
	TotalCents uint64 `json:"total_cents"`
}

type BigOrderSeen struct {
	Order string `json:"order"`
	Nth   uint64 `json:"nth"`
}

func placed(event OrderPlaced, ctx *tidemill.Context) error {
	bigCents, err := tidemill.ConfigUint("big_cents", 100_000)
	if err != nil || event.TotalCents < bigCents {
		return err
	}
	nth, _, err := tidemill.GetState[uint64]("big_orders")
	if err != nil {
		return err
	}
	if err := tidemill.SetState("big_orders", nth+1); err != nil {
		return err
	}
	seen := BigOrderSeen{event.Order, nth + 1}
	return ctx.Append(tidemill.NewEvent{Type: "BigOrderSeen", Stream: "order-" + event.Order, Data: seen})
}

func init() {
	tidemill.Register(tidemill.Plugin{
		Name:    "{{name}}",
		Version: "0.1.0",
		Summary: "Points out big orders.",
		Append:  []string{"BigOrderSeen"},
		Handlers: tidemill.Handlers{
			"OrderPlaced": tidemill.On(placed),
		},
	})
}
