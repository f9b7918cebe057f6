/* Points out big orders. */

#include "tidemill.h"

static bool placed(tm_event *e) {
    tm_text order, json;
    uint64_t total_cents, big_cents, nth = 0;
    bool found;
    if (!tm_field_text(e, "order", &order) || !tm_field_whole(e, "total_cents", &total_cents) ||
        !tm_config_whole(e, "big_cents", 100000, &big_cents))
        return false;
    if (total_cents < big_cents) return true;
    if (!tm_state_get(e, TM_TEXT("big_orders"), &json, &found)) return false;
    if (found && !tm_json_whole(json, &nth)) return tm_stop(e, "state under `big_orders` is no number: %t", json);
    nth += 1;
    tm_new_event seen = {
        .type = TM_TEXT("BigOrderSeen"),
        .stream = tm_format(e, "order-%t", order),
        .payload = tm_format(e, "{\"order\":%j,\"nth\":%u}", order, nth),
    };
    return tm_state_set(e, TM_TEXT("big_orders"), tm_format(e, "%u", nth)) && tm_append(e, &seen);
}

static const char *const APPEND[] = {"BigOrderSeen", NULL};
static const tm_handler HANDLERS[] = {{"OrderPlaced", placed}, {0}};

const tm_plugin tidemill_plugin = {
    .name = "{{name}}",
    .version = "0.1.0",
    .summary = "Points out big orders.",
    .append = APPEND,
    .handlers = HANDLERS,
};
