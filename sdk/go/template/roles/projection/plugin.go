// Sums up orders, and answers queries about them.
package main

import "tidemill.local/sdk"

type OrderPlaced struct {
	Order      string `json:"order"`
	TotalCents uint64 `json:"total_cents"`
}

type Totals struct {
	Orders uint64 `json:"orders"`
	Cents  uint64 `json:"cents"`
}

func count(key string, by uint64) error {
	before, _, err := tidemill.GetState[uint64](key)
	if err != nil {
		return err
	}
	return tidemill.SetState(key, before+by)
}

func placed(event OrderPlaced, _ *tidemill.Context) error {
	if err := tidemill.SetState("order/"+event.Order, event.TotalCents); err != nil {
		return err
	}
	if err := count("orders", 1); err != nil {
		return err
	}
	return count("cents", event.TotalCents)
}

// Queries read the state as of one moment; what they try to change is denied.
func totals(*tidemill.Query) (any, error) {
	orders, _, err := tidemill.GetState[uint64]("orders")
	if err != nil {
		return nil, err
	}
	cents, _, err := tidemill.GetState[uint64]("cents")
	return Totals{orders, cents}, err
}

func order(query *tidemill.Query) (any, error) {
	order, err := query.Require("order")
	if err != nil {
		return nil, err
	}
	totalCents, found, err := tidemill.GetState[uint64]("order/" + order)
	if err == nil && !found {
		err = tidemill.Invalid("there is no order " + order)
	}
	return OrderPlaced{order, totalCents}, err
}

func init() {
	tidemill.Register(tidemill.Plugin{
		Name:     "{{name}}",
		Version:  "0.1.0",
		Summary:  "{{about}}",
		Handlers: tidemill.Handlers{"OrderPlaced": tidemill.On(placed)},
		Queries:  tidemill.Queries{"totals": totals, "order": order},
	})
}
