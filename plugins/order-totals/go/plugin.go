// Totals per customer: what they ordered, and when they become a VIP.
package main

import (
	"fmt"

	"tidemill.local/sdk"
)

type OrderPlaced struct {
	Order      string `json:"order"`
	Customer   string `json:"customer"`
	TotalCents uint64 `json:"total_cents"`
}

type OrderCancelled struct {
	Order    string `json:"order"`
	Customer string `json:"customer"`
}

type CustomerLeft struct {
	Customer string `json:"customer"`
}

type CustomerGotVip struct {
	Customer   string `json:"customer"`
	TotalCents uint64 `json:"total_cents"`
}

// Totals of a customer's orders that stand.
type Totals struct {
	Orders uint64 `json:"orders"`
	Cents  uint64 `json:"cents"`
	Vip    bool   `json:"vip"`
}

func orderKey(customer, order string) string { return "order/" + customer + "/" + order }

func customerKey(customer string) string { return "customer/" + customer }

func placed(event OrderPlaced, ctx *tidemill.Context) error {
	if held, ok := tidemill.ConfigText("hold_customer"); ok && held == event.Customer {
		return tidemill.Retry(fmt.Sprintf("customer %s is on hold", event.Customer))
	}
	vipCents, err := tidemill.ConfigUint("vip_cents", 100_000)
	if err != nil {
		return err
	}
	if err := tidemill.SetState(orderKey(event.Customer, event.Order), event.TotalCents); err != nil {
		return err
	}
	totals, _, err := tidemill.GetState[Totals](customerKey(event.Customer))
	if err != nil {
		return err
	}
	totals.Orders++
	totals.Cents += event.TotalCents
	gotVip := !totals.Vip && totals.Cents >= vipCents
	totals.Vip = totals.Vip || gotVip
	if err := tidemill.SetState(customerKey(event.Customer), totals); err != nil || !gotVip {
		return err
	}
	tidemill.LogInfo(fmt.Sprintf("customer %s is a VIP", event.Customer))
	return ctx.Append(tidemill.NewEvent{
		Type:   "CustomerGotVip",
		Stream: "customer-" + event.Customer,
		Tags:   []string{"customer:" + event.Customer},
		Data:   CustomerGotVip{event.Customer, totals.Cents},
	})
}

func cancelled(event OrderCancelled, _ *tidemill.Context) error {
	key := orderKey(event.Customer, event.Order)
	totalCents, found, err := tidemill.GetState[uint64](key)
	if err != nil {
		return err
	}
	if !found {
		return tidemill.Reject(fmt.Sprintf("customer %s has no order %s", event.Customer, event.Order))
	}
	if err := tidemill.DeleteState(key); err != nil {
		return err
	}
	totals, _, err := tidemill.GetState[Totals](customerKey(event.Customer))
	if err != nil {
		return err
	}
	totals.Orders--
	totals.Cents -= totalCents
	return tidemill.SetState(customerKey(event.Customer), totals)
}

func left(event CustomerLeft, _ *tidemill.Context) error {
	for entry, err := range tidemill.ScanState(orderKey(event.Customer, "")) {
		if err != nil {
			return err
		}
		if err := tidemill.DeleteState(entry.Key); err != nil {
			return err
		}
	}
	return tidemill.DeleteState(customerKey(event.Customer))
}

// Customer is what the query customer answers.
type Customer struct {
	Customer string `json:"customer"`
	Totals
	Standing []string `json:"standing"`
}

func customer(query *tidemill.Query) (any, error) {
	name, err := query.Require("customer")
	if err != nil {
		return nil, err
	}
	totals, found, err := tidemill.GetState[Totals](customerKey(name))
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, tidemill.Invalid(fmt.Sprintf("there is no customer %s", name))
	}
	prefix, standing := orderKey(name, ""), []string{}
	for entry, err := range tidemill.ScanState(prefix) {
		if err != nil {
			return nil, err
		}
		standing = append(standing, entry.Key[len(prefix):])
	}
	return Customer{name, totals, standing}, nil
}

func init() {
	tidemill.Register(tidemill.Plugin{
		Name:    "order-totals",
		Summary: "Totals per customer, and who becomes a VIP.",
		Append:  []string{"CustomerGotVip"},
		Handlers: tidemill.Handlers{
			"OrderPlaced":    tidemill.On(placed),
			"OrderCancelled": tidemill.On(cancelled),
			"CustomerLeft":   tidemill.On(left),
		},
		Queries:     tidemill.Queries{"customer": customer},
		StateSchema: 1,
	})
}
