/* Between the handlers and the bindings that wit-bindgen generates from wit/ at each build. */

#include <stdlib.h>
#include <string.h>

#include "scratch.h"

/* The bindings are those of the world that the build names by TM_WORLD, and includes. */
#define TM_PASTE(world, name) world##_##name
#define TM_IN(world, name) TM_PASTE(world, name)
#define BOUND(name) TM_IN(TM_WORLD, name)

/* What the component says that it was made with. */
#define SDK "tidemill-c 0.1.0"

/* Entries asked for at a time while scanning. */
#define SCAN_PAGE_ENTRIES 256

typedef BOUND(string_t) host_text;

static host_text lent(tm_text text) { return (host_text){(uint8_t *)text.ptr, text.len}; }

static tm_text borrowed(host_text text) { return (tm_text){(const char *)text.ptr, text.len}; }

/* A copy that lives as long as the event's memory. */
static tm_text kept(tm_event *event, const uint8_t *bytes, size_t len) {
    char *copy = tm_alloc(event, len);
    if (len) memcpy(copy, bytes, len);
    return (tm_text){copy, len};
}

/* A copy that the bindings free. */
static host_text given(tm_text text) {
    host_text copy = {0};
    BOUND(string_dup_n)(&copy, text.ptr ? text.ptr : "", text.len);
    return copy;
}

/* What the host refuses has a verdict by itself. */
static bool refused(tm_event *event, tidemill_plugin_types_host_error_t *error) {
    tm_text text = kept(event, error->val.invalid.ptr, error->val.invalid.len); /* every case holds a text */
    tm_verdict verdict = TM_VERDICT_RETRY;                                      /* may pass */
    if (error->tag == TIDEMILL_PLUGIN_TYPES_HOST_ERROR_INVALID)
        verdict = TM_VERDICT_REJECT; /* comes from this event's data, and will come again */
    else if (error->tag == TIDEMILL_PLUGIN_TYPES_HOST_ERROR_DENIED)
        verdict = TM_VERDICT_STOP; /* installed wrongly: the events are not to blame */
    tidemill_plugin_types_host_error_free(error);
    return tm_fail(event, verdict, text);
}

/* Whether a text is one that the host can take; rejects the event where it is not. */
static bool is_text(tm_event *event, const char *what, tm_text of, tm_text text) {
    return tm_is_utf8(text) || tm_reject(event, "%s of %t: it is no UTF-8: %t", what, of, text);
}

/* ---- State ---- */

static bool is_key(tm_event *event, tm_text key) { return is_text(event, "key", TM_TEXT("the state"), key); }

bool tm_state_get(tm_event *event, tm_text key, tm_text *value, bool *found) {
    if (!is_key(event, key)) return false;
    host_text host_key = lent(key);
    BOUND(option_list_u8_t) answer;
    tidemill_plugin_state_host_error_t error;
    if (!tidemill_plugin_state_get(&host_key, &answer, &error)) return refused(event, &error);
    *found = answer.is_some;
    *value = answer.is_some ? kept(event, answer.val.ptr, answer.val.len) : (tm_text){0};
    BOUND(option_list_u8_free)(&answer);
    return true;
}

bool tm_state_set(tm_event *event, tm_text key, tm_text value) {
    if (!is_key(event, key)) return false;
    host_text host_key = lent(key);
    BOUND(list_u8_t) bytes = {(uint8_t *)value.ptr, value.len};
    tidemill_plugin_state_host_error_t error;
    return tidemill_plugin_state_set(&host_key, &bytes, &error) || refused(event, &error);
}

bool tm_state_delete(tm_event *event, tm_text key) {
    if (!is_key(event, key)) return false;
    host_text host_key = lent(key);
    tidemill_plugin_state_host_error_t error;
    return tidemill_plugin_state_delete(&host_key, &error) || refused(event, &error);
}

bool tm_state_scan(tm_event *event, tm_text prefix, bool (*each)(tm_event *, tm_text, tm_text, void *), void *with) {
    if (!is_text(event, "prefix", TM_TEXT("a scan"), prefix)) return false;
    host_text host_prefix = lent(prefix), after = {0};
    for (bool more = true, first = true; more; first = false) {
        tidemill_plugin_state_page_t page;
        tidemill_plugin_state_host_error_t error;
        if (!tidemill_plugin_state_scan(&host_prefix, first ? NULL : &after, SCAN_PAGE_ENTRIES, &page, &error))
            return refused(event, &error);
        bool good = true;
        for (size_t i = 0; good && i < page.entries.len; i++) {
            tidemill_plugin_state_entry_t *entry = &page.entries.ptr[i];
            /* The page is freed below; what `each` keeps of it lives as long as all else that is handed out. */
            tm_text key = kept(event, entry->key.ptr, entry->key.len);
            good = each(event, key, kept(event, entry->value.ptr, entry->value.len), with);
        }
        more = page.next.is_some;
        if (more) after = lent(kept(event, page.next.val.ptr, page.next.val.len));
        tidemill_plugin_state_page_free(&page);
        /* Enough was seen, or something failed. */
        if (!good) return event->scratch->verdict == TM_VERDICT_NONE;
    }
    return true;
}

/* ---- Appending, configuration, log ---- */

static bool are_texts(tm_event *event, const tm_new_event *appended) {
    tm_text type = appended->type;
    bool good = is_text(event, "type", TM_TEXT("an event"), type) && is_text(event, "stream", type, appended->stream) &&
                is_text(event, "content type", type, appended->content_type) &&
                (appended->is_binary || is_text(event, "payload", type, appended->payload));
    for (size_t i = 0; good && i < appended->tag_count; i++) good = is_text(event, "tag", type, appended->tags[i]);
    return good;
}

bool tm_append(tm_event *event, const tm_new_event *appended) {
    if (!are_texts(event, appended)) return false;
    host_text *tags = tm_alloc(event, appended->tag_count * sizeof *tags);
    for (size_t i = 0; i < appended->tag_count; i++) tags[i] = lent(appended->tags[i]);
    tidemill_plugin_append_new_event_t host = {
        .event_type = lent(appended->type),
        .stream = {appended->stream.len > 0, lent(appended->stream)},
        .content_type = {appended->content_type.len > 0, lent(appended->content_type)},
        .tags = {tags, appended->tag_count},
        .schema_version = appended->schema_version ? appended->schema_version : 1,
    };
    if (appended->is_binary) {
        host.payload.tag = TIDEMILL_PLUGIN_TYPES_PAYLOAD_BINARY;
        host.payload.val.binary.ptr = (uint8_t *)appended->payload.ptr;
        host.payload.val.binary.len = appended->payload.len;
    } else {
        host.payload.tag = TIDEMILL_PLUGIN_TYPES_PAYLOAD_JSON;
        host.payload.val.json = lent(appended->payload);
    }
    tidemill_plugin_append_list_new_event_t list = {&host, 1};
    tidemill_plugin_append_host_error_t error;
    return tidemill_plugin_append_append(event->position, &list, &error) || refused(event, &error);
}

bool tm_parameter_text(tm_event *event, const tm_query *query, const char *name, tm_text *value, bool *found) {
    *found = false;
    for (size_t i = 0; i < query->parameter_count; i++) {
        if (!tm_text_equal(query->parameters[i].name, tm_text_of(name))) continue;
        if (*found) return tm_reject(event, "parameter `%s` is given twice; give it once", name);
        *found = true;
        *value = query->parameters[i].value;
    }
    return true;
}

bool tm_parameter(tm_event *event, const tm_query *query, const char *name, tm_text *value) {
    bool found;
    return tm_parameter_text(event, query, name, value, &found) &&
           (found || tm_reject(event, "parameter `%s` is missing", name));
}

bool tm_parameter_whole(tm_event *event, const tm_query *query, const char *name, uint64_t otherwise, uint64_t *value) {
    tm_text text;
    bool found;
    *value = otherwise;
    if (!tm_parameter_text(event, query, name, &text, &found)) return false;
    return !found || tm_json_whole(text, value) ||
           tm_reject(event, "parameter `%s` is `%t`, which is not a whole number from 0", name, text);
}

bool tm_config_text(tm_event *event, const char *key, tm_text *value) {
    host_text host_key = lent(tm_text_of(key)), found;
    if (!tm_is_utf8(tm_text_of(key)) || !tidemill_plugin_config_get(&host_key, &found)) return false;
    *value = kept(event, found.ptr, found.len);
    BOUND(string_free)(&found);
    return true;
}

bool tm_config_require(tm_event *event, const char *key, tm_text *value) {
    return tm_config_text(event, key, value) ||
           tm_stop(event, "config key `%s` of the manifest: missing; add it under [config]", key);
}

bool tm_config_whole(tm_event *event, const char *key, uint64_t otherwise, uint64_t *value) {
    tm_text text;
    *value = otherwise;
    return !tm_config_text(event, key, &text) || tm_json_whole(text, value) ||
           tm_stop(event, "config key `%s` of the manifest: `%t` is not a whole number from 0", key, text);
}

void tm_log(tm_event *event, tm_level level, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    host_text line = lent(tm_readable(event, tm_vformat(event, format, arguments)));
    va_end(arguments);
    tidemill_plugin_log_log((tidemill_plugin_log_level_t)level, &line);
}

/* ---- What the component exports ---- */

static tm_event event_of(const tidemill_plugin_types_event_t *host, tm_scratch *scratch) {
    bool is_json = host->payload.tag == TIDEMILL_PLUGIN_TYPES_PAYLOAD_JSON;
    return (tm_event){
        .position = host->position,
        .id_high = host->id.high,
        .id_low = host->id.low,
        .type = borrowed(host->event_type),
        .stream = host->stream.is_some ? borrowed(host->stream.val) : (tm_text){0},
        .version = host->version,
        .timestamp_us = host->timestamp_us,
        .schema_version = host->schema_version,
        .payload = is_json ? borrowed(host->payload.val.json)
                           : (tm_text){(const char *)host->payload.val.binary.ptr, host->payload.val.binary.len},
        .is_json = is_json,
        .context = host->context.is_some ? borrowed(host->context.val) : (tm_text){0},
        .scratch = scratch,
    };
}

static bool dispatch(tm_event *event) {
    const tm_handler *otherwise = NULL;
    for (const tm_handler *handler = tidemill_plugin.handlers; handler->type; handler++) {
        if (tm_text_equal(tm_text_of(handler->type), event->type)) return handler->handle(event);
        if (handler->type[0] == '*' && !handler->type[1]) otherwise = handler;
    }
    return otherwise ? otherwise->handle(event) : tm_reject(event, "no handler for %t", event->type);
}

static void tell(const tm_scratch *scratch, size_t index, tidemill_plugin_types_failure_t *failure) {
    static const uint8_t TAGS[] = {
        [TM_VERDICT_NONE] = TIDEMILL_PLUGIN_TYPES_VERDICT_RETRY,
        [TM_VERDICT_RETRY] = TIDEMILL_PLUGIN_TYPES_VERDICT_RETRY,
        [TM_VERDICT_REJECT] = TIDEMILL_PLUGIN_TYPES_VERDICT_REJECT,
        [TM_VERDICT_STOP] = TIDEMILL_PLUGIN_TYPES_VERDICT_STOP,
    };
    failure->index = (uint32_t)index;
    failure->verdict.tag = TAGS[scratch->verdict];
    failure->verdict.val.retry.is_some = scratch->has_after_ms;
    failure->verdict.val.retry.val = scratch->after_ms;
    bool told = scratch->verdict != TM_VERDICT_NONE;
    failure->reason = given(told ? scratch->reason : TM_TEXT("the handler answered false and gave no reason"));
}

bool exports_tidemill_plugin_subscriber_handle(exports_tidemill_plugin_subscriber_list_event_t *events,
                                               exports_tidemill_plugin_subscriber_failure_t *failure) {
    bool good = true;
    for (size_t i = 0; good && i < events->len; i++) {
        tm_scratch scratch = {0};
        tm_event event = event_of(&events->ptr[i], &scratch);
        /* What was refused is a failure, whatever the handler made of it. */
        good = dispatch(&event) && scratch.verdict == TM_VERDICT_NONE;
        if (!good) tell(&scratch, i, failure);
        tm_scratch_free(&scratch);
    }
    exports_tidemill_plugin_subscriber_list_event_free(events);
    return good;
}

static BOUND(list_string_t) list_of(size_t len, const char *(*nth)(size_t)) {
    BOUND(list_string_t) list = {len ? malloc(len * sizeof(host_text)) : NULL, len};
    if (len && !list.ptr) __builtin_trap();
    for (size_t i = 0; i < len; i++) list.ptr[i] = given(tm_text_of(nth(i)));
    return list;
}

#ifdef TM_QUERIES
static const tm_query_handler *query_of(tm_text name) {
    for (const tm_query_handler *handler = tidemill_plugin.queries; handler && handler->name; handler++)
        if (tm_text_equal(tm_text_of(handler->name), name)) return handler;
    return NULL;
}

/* Why there is no answer: what a handler of events would reject is a parameter that will not do. */
static void tell_asker(const tm_scratch *scratch, exports_tidemill_plugin_projection_query_error_t *error) {
    bool told = scratch->verdict != TM_VERDICT_NONE;
    host_text reason = given(told ? scratch->reason : TM_TEXT("the query answered false and gave no reason"));
    if (scratch->verdict == TM_VERDICT_REJECT) {
        error->tag = EXPORTS_TIDEMILL_PLUGIN_PROJECTION_QUERY_ERROR_INVALID;
        error->val.invalid = reason;
    } else {
        error->tag = EXPORTS_TIDEMILL_PLUGIN_PROJECTION_QUERY_ERROR_FAILED;
        error->val.failed = reason;
    }
}

/* Whether the host can take an answer. */
static bool is_answer(tm_event *event, const tm_answer *answer) {
    tm_text text = answer->is_binary ? answer->content_type : answer->body;
    return tm_is_utf8(text) || tm_retry(event, "the answer is no UTF-8: %t", text);
}

static void give(const tm_answer *answer, exports_tidemill_plugin_projection_answer_t *host) {
    memset(host, 0, sizeof *host);
    if (!answer->is_binary) {
        host->payload.tag = TIDEMILL_PLUGIN_TYPES_PAYLOAD_JSON;
        host->payload.val.json = given(answer->body);
        return;
    }
    host_text bytes = given(answer->body);
    host->payload.tag = TIDEMILL_PLUGIN_TYPES_PAYLOAD_BINARY;
    host->payload.val.binary.ptr = bytes.ptr;
    host->payload.val.binary.len = bytes.len;
    host->content_type.is_some = answer->content_type.len > 0;
    if (host->content_type.is_some) host->content_type.val = given(answer->content_type);
}

bool exports_tidemill_plugin_projection_query(exports_tidemill_plugin_projection_request_t *request,
                                              exports_tidemill_plugin_projection_answer_t *host,
                                              exports_tidemill_plugin_projection_query_error_t *error) {
    tm_scratch scratch = {0};
    tm_event event = {.position = request->checkpoint, .scratch = &scratch};
    size_t count = request->parameters.len;
    tm_query_parameter *parameters = tm_alloc(&event, count * sizeof *parameters);
    for (size_t i = 0; i < count; i++)
        parameters[i] = (tm_query_parameter){borrowed(request->parameters.ptr[i].f0), borrowed(request->parameters.ptr[i].f1)};
    tm_query query = {borrowed(request->query), request->checkpoint, parameters, count};
    const tm_query_handler *handler = query_of(query.name);
    tm_answer answer = {0};
    bool good = handler && handler->answer(&event, &query, &answer) && is_answer(&event, &answer) &&
                scratch.verdict == TM_VERDICT_NONE;
    if (good)
        give(&answer, host);
    else if (handler)
        tell_asker(&scratch, error);
    else
        error->tag = EXPORTS_TIDEMILL_PLUGIN_PROJECTION_QUERY_ERROR_UNKNOWN_QUERY;
    tm_scratch_free(&scratch);
    exports_tidemill_plugin_projection_request_free(request);
    return good;
}
#endif

/* The text of a whole number; the bindings free it. */
static host_text number(uint32_t value) {
    tm_scratch scratch = {0};
    tm_event event = {.scratch = &scratch};
    host_text text = given(tm_format(&event, "%u", (uint64_t)value));
    tm_scratch_free(&scratch);
    return text;
}

static const char *nth_type(size_t nth) { return tidemill_plugin.handlers[nth].type; }

static const char *nth_append(size_t nth) { return tidemill_plugin.append[nth]; }

void exports_tidemill_plugin_description_describe(exports_tidemill_plugin_description_description_t *about) {
    size_t types = 0, append = 0;
    bool all = false;
    for (; nth_type(types); types++) all |= tm_text_equal(tm_text_of(nth_type(types)), TM_TEXT("*"));
    while (tidemill_plugin.append && nth_append(append)) append++;
    memset(about, 0, sizeof *about);
    about->name = given(tm_text_of(tidemill_plugin.name));
    about->version = given(tm_text_of(tidemill_plugin.version));
    about->summary = given(tm_text_of(tidemill_plugin.summary));
    about->types = list_of(all ? 0 : types, nth_type);
    about->append = list_of(append, nth_append);
    size_t queries = 0;
    while (tidemill_plugin.queries && tidemill_plugin.queries[queries].name) queries++;
    bool has_schema = tidemill_plugin.state_schema > 0;
    about->extra.len = queries + has_schema + 1;
    about->extra.ptr = malloc(about->extra.len * sizeof *about->extra.ptr);
    if (!about->extra.ptr) __builtin_trap();
    for (size_t i = 0; i < queries; i++) {
        about->extra.ptr[i].f0 = given(TM_TEXT("query"));
        about->extra.ptr[i].f1 = given(tm_text_of(tidemill_plugin.queries[i].name));
    }
    if (has_schema) {
        about->extra.ptr[queries].f0 = given(TM_TEXT("schema"));
        about->extra.ptr[queries].f1 = number(tidemill_plugin.state_schema);
    }
    about->extra.ptr[queries + has_schema].f0 = given(TM_TEXT("sdk"));
    about->extra.ptr[queries + has_schema].f1 = given(TM_TEXT(SDK));
}
