/* Sums up orders, and answers queries about them. */

#include "tidemill.h"

/* The number under a key, 0 where there is none. */
static bool number(tm_event *e, tm_text key, uint64_t *value, bool *found) {
    tm_text json;
    *value = 0;
    if (!tm_state_get(e, key, &json, found)) return false;
    return !*found || tm_json_whole(json, value) || tm_stop(e, "state under `%t` is no number: %t", key, json);
}

static bool count(tm_event *e, tm_text key, uint64_t by) {
    uint64_t before;
    bool found;
    return number(e, key, &before, &found) && tm_state_set(e, key, tm_format(e, "%u", before + by));
}

static tm_text order_key(tm_event *e, tm_text order) { return tm_format(e, "order/%t", order); }

static bool placed(tm_event *e) {
    tm_text order;
    uint64_t total_cents;
    return tm_field_text(e, "order", &order) && tm_field_whole(e, "total_cents", &total_cents) &&
           tm_state_set(e, order_key(e, order), tm_format(e, "%u", total_cents)) && count(e, TM_TEXT("orders"), 1) &&
           count(e, TM_TEXT("cents"), total_cents);
}

/* Queries read the state as of one moment; what they try to change is denied. */
static bool totals(tm_event *e, const tm_query *query, tm_answer *answer) {
    uint64_t orders, cents;
    bool found;
    (void)query;
    if (!number(e, TM_TEXT("orders"), &orders, &found) || !number(e, TM_TEXT("cents"), &cents, &found)) return false;
    answer->body = tm_format(e, "{\"orders\":%u,\"cents\":%u}", orders, cents);
    return true;
}

static bool order(tm_event *e, const tm_query *query, tm_answer *answer) {
    tm_text order;
    uint64_t total_cents;
    bool found;
    if (!tm_parameter(e, query, "order", &order) || !number(e, order_key(e, order), &total_cents, &found)) return false;
    if (!found) return tm_reject(e, "there is no order %t", order);
    answer->body = tm_format(e, "{\"order\":%j,\"total_cents\":%u}", order, total_cents);
    return true;
}

static const tm_handler HANDLERS[] = {{"OrderPlaced", placed}, {0}};
static const tm_query_handler QUERIES[] = {{"totals", totals}, {"order", order}, {0}};

const tm_plugin tidemill_plugin = {
    .name = "{{name}}",
    .version = "0.1.0",
    .summary = "{{about}}",
    .handlers = HANDLERS,
    .queries = QUERIES,
};
