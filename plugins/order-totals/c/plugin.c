/* Totals per customer: what they ordered, and when they become a VIP. */

#include "tidemill.h"

typedef struct {
    uint64_t orders;
    uint64_t cents;
    bool vip;
} totals;

static tm_text order_key(tm_event *e, tm_text customer, tm_text order) {
    return tm_format(e, "order/%t/%t", customer, order);
}

static tm_text customer_key(tm_event *e, tm_text customer) { return tm_format(e, "customer/%t", customer); }

/* All zero where there are none yet. */
static bool read_totals(tm_event *e, tm_text customer, totals *read) {
    tm_text key = customer_key(e, customer), json, field;
    bool found;
    *read = (totals){0};
    if (!tm_state_get(e, key, &json, &found)) return false;
    if (!found) return true;
    bool good = tm_json_field(e, json, "orders", &field) && tm_json_whole(field, &read->orders) &&
                tm_json_field(e, json, "cents", &field) && tm_json_whole(field, &read->cents) &&
                tm_json_field(e, json, "vip", &field) && tm_json_flag(field, &read->vip);
    return good || tm_stop(e, "state under `%t` is not as this version expects: %t", key, json);
}

static bool write_totals(tm_event *e, tm_text customer, const totals *written) {
    tm_text json = tm_format(e, "{\"orders\":%u,\"cents\":%u,\"vip\":%b}", written->orders, written->cents, written->vip);
    return tm_state_set(e, customer_key(e, customer), json);
}

static bool tell_of_vip(tm_event *e, tm_text customer, uint64_t cents) {
    tm_log(e, TM_INFO, "customer %t is a VIP", customer);
    tm_text tag = tm_format(e, "customer:%t", customer);
    tm_new_event event = {
        .type = TM_TEXT("CustomerGotVip"),
        .stream = tm_format(e, "customer-%t", customer),
        .payload = tm_format(e, "{\"customer\":%j,\"total_cents\":%u}", customer, cents),
        .tags = &tag,
        .tag_count = 1,
    };
    return tm_append(e, &event);
}

static bool placed(tm_event *e) {
    tm_text order, customer, held;
    uint64_t total_cents, vip_cents;
    totals now;
    if (!tm_field_text(e, "order", &order) || !tm_field_text(e, "customer", &customer) ||
        !tm_field_whole(e, "total_cents", &total_cents))
        return false;
    if (tm_config_text(e, "hold_customer", &held) && tm_text_equal(held, customer))
        return tm_retry(e, "customer %t is on hold", customer);
    if (!tm_config_whole(e, "vip_cents", 100000, &vip_cents) ||
        !tm_state_set(e, order_key(e, customer, order), tm_format(e, "%u", total_cents)) ||
        !read_totals(e, customer, &now))
        return false;
    now.orders += 1;
    now.cents += total_cents;
    bool got_vip = !now.vip && now.cents >= vip_cents;
    now.vip |= got_vip;
    return write_totals(e, customer, &now) && (!got_vip || tell_of_vip(e, customer, now.cents));
}

static bool cancelled(tm_event *e) {
    tm_text order, customer, json;
    uint64_t total_cents;
    totals now;
    bool found;
    if (!tm_field_text(e, "order", &order) || !tm_field_text(e, "customer", &customer)) return false;
    tm_text key = order_key(e, customer, order);
    if (!tm_state_get(e, key, &json, &found)) return false;
    if (!found) return tm_reject(e, "customer %t has no order %t", customer, order);
    if (!tm_json_whole(json, &total_cents)) return tm_stop(e, "state under `%t` is no number: %t", key, json);
    if (!tm_state_delete(e, key) || !read_totals(e, customer, &now)) return false;
    now.orders -= 1;
    now.cents -= total_cents;
    return write_totals(e, customer, &now);
}

static bool forget(tm_event *e, tm_text key, tm_text value, void *with) {
    (void)value, (void)with;
    return tm_state_delete(e, key);
}

static bool left(tm_event *e) {
    tm_text customer;
    return tm_field_text(e, "customer", &customer) &&
           tm_state_scan(e, order_key(e, customer, TM_TEXT("")), forget, NULL) &&
           tm_state_delete(e, customer_key(e, customer));
}

/* The ids of orders as they are found, as a list of JSON. */
typedef struct {
    size_t prefix;
    tm_text list;
} orders;

static bool stand(tm_event *e, tm_text key, tm_text value, void *with) {
    (void)value;
    orders *found = with;
    tm_text id = {key.ptr + found->prefix, key.len - found->prefix};
    found->list = found->list.len ? tm_format(e, "%t,%j", found->list, id) : tm_format(e, "%j", id);
    return true;
}

static bool customer(tm_event *e, const tm_query *query, tm_answer *answer) {
    tm_text name, json;
    totals now;
    bool found;
    if (!tm_parameter(e, query, "customer", &name) || !tm_state_get(e, customer_key(e, name), &json, &found))
        return false;
    if (!found) return tm_reject(e, "there is no customer %t", name);
    tm_text prefix = order_key(e, name, TM_TEXT(""));
    orders standing = {.prefix = prefix.len};
    if (!read_totals(e, name, &now) || !tm_state_scan(e, prefix, stand, &standing)) return false;
    answer->body = tm_format(e, "{\"customer\":%j,\"orders\":%u,\"cents\":%u,\"vip\":%b,\"standing\":[%t]}", name, now.orders,
                             now.cents, now.vip, standing.list);
    return true;
}

static const char *const APPEND[] = {"CustomerGotVip", NULL};
static const tm_handler HANDLERS[] = {
    {"OrderPlaced", placed},
    {"OrderCancelled", cancelled},
    {"CustomerLeft", left},
    {0},
};

static const tm_query_handler QUERIES[] = {{"customer", customer}, {0}};

const tm_plugin tidemill_plugin = {
    .name = "order-totals",
    .summary = "Totals per customer, and who becomes a VIP.",
    .append = APPEND,
    .handlers = HANDLERS,
    .queries = QUERIES,
    .state_schema = 1,
};
