/* Write Tidemill plugins in C. See README.md beside this file.
 *
 * A handler takes an event and answers true when it is done with it. Where it answers false, a failure says what is
 * to become of the event: tm_reject, tm_retry and tm_stop set one and answer false, and so does every function here
 * that cannot do what it is asked. So a handler is a row of `if (!tm_...) return false;`. The first failure stands: a
 * handler that answers true after one has failed all the same.
 *
 * Everything that a function hands out lives until the event's handler returns; nothing is to be freed. */
#ifndef TIDEMILL_H
#define TIDEMILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A text in UTF-8, not ended by a zero; or bytes. */
typedef struct {
    const char *ptr;
    size_t len;
} tm_text;

/* A text of the program's own. */
#define TM_TEXT(literal) ((tm_text){(literal), sizeof(literal) - 1})

tm_text tm_text_of(const char *text);
bool tm_text_equal(tm_text a, tm_text b);

/* The event at hand. The host's texts stand as they are; what must be parsed is asked for by functions. */
typedef struct tm_event {
    uint64_t position;     /* place in the global order, from 1 */
    uint64_t id_high;      /* the 128 bits of its UUID */
    uint64_t id_low;
    tm_text type;
    tm_text stream;        /* empty outside any stream */
    uint64_t version;      /* place within the stream, from 1; 0 outside any stream */
    uint64_t timestamp_us; /* when the host stored it: the only clock that a plugin has */
    uint32_t schema_version;
    tm_text payload; /* JSON text, or bytes */
    bool is_json;
    tm_text context; /* JSON with `tags`, `metadata`, `content_type`, whichever there is; may be empty */
    struct tm_scratch *scratch;
} tm_event;

/* ---- Failures: each answers false. ---- */

/* The event is bad and always will be: it becomes a dead letter at once. Formats as tm_format. */
bool tm_reject(tm_event *event, const char *format, ...);
/* The world is not ready: try again by the manifest's backoff. */
bool tm_retry(tm_event *event, const char *format, ...);
/* The same, after so many milliseconds. */
bool tm_retry_after(tm_event *event, uint64_t after_ms, const char *format, ...);
/* The plugin must not go on: it stops before this event until an operator acts. */
bool tm_stop(tm_event *event, const char *format, ...);

/* ---- Texts ---- */

/* Writes a text: %t a tm_text, %j a tm_text as a JSON string, %u a uint64_t, %b an int as true or false, %s a C
 * string, %% a percent sign. It knows no others, such as %d: at one the text ends, and the event is to be tried again. */
tm_text tm_format(tm_event *event, const char *format, ...);

/* ---- What the event carries: fields of the payload, an object. Another payload rejects the event. ---- */

bool tm_field_text(tm_event *event, const char *field, tm_text *value);
bool tm_field_whole(tm_event *event, const char *field, uint64_t *value);
bool tm_field_flag(tm_event *event, const char *field, bool *value);
/* The field's JSON text, for objects and lists; `*found` is false and the answer true when it is missing. */
bool tm_field_json(tm_event *event, const char *field, tm_text *json, bool *found);

/* ---- JSON that is in hand, such as a value of the state. They answer false, and set no failure, when it is not
 * what is asked for. ---- */

bool tm_json_field(tm_event *event, tm_text json, const char *field, tm_text *value);
bool tm_json_text(tm_event *event, tm_text json, tm_text *value);
bool tm_json_whole(tm_text json, uint64_t *value);
bool tm_json_flag(tm_text json, bool *value);
/* Goes over a list: begin with `*at` 0, and go on while it answers true. */
bool tm_json_item(tm_text json, size_t *at, tm_text *item);

/* ---- State: durable, the plugin's own, committed together with the checkpoint. Keys are 1 to 1,024 bytes of UTF-8,
 * values at most 1 MiB. ---- */

bool tm_state_get(tm_event *event, tm_text key, tm_text *value, bool *found);
bool tm_state_set(tm_event *event, tm_text key, tm_text value);
bool tm_state_delete(tm_event *event, tm_text key);
/* Calls `each` for the entries whose key begins with `prefix`, in key order, until it answers false. As all that is
 * handed out, they live until the handler returns: all that one handler scans has to fit into the plugin's memory. */
bool tm_state_scan(tm_event *event, tm_text prefix, bool (*each)(tm_event *event, tm_text key, tm_text value, void *with),
                   void *with);

/* ---- Appending ---- */

typedef struct {
    tm_text type;   /* the manifest must grant it: [grants] append = ["<type>"] */
    tm_text stream; /* empty for an event outside any stream */
    tm_text payload;
    bool is_binary;       /* else the payload is JSON */
    tm_text content_type; /* of a binary payload; empty for application/octet-stream */
    const tm_text *tags;
    size_t tag_count;
    uint32_t schema_version; /* 0 for 1 */
} tm_new_event;

/* Appends an event, caused by the one at hand; it commits together with the checkpoint. */
bool tm_append(tm_event *event, const tm_new_event *appended);

/* ---- The manifest's [config]: text as it is, anything else as JSON text, which tm_json_item and its like take. A
 * setting that makes no sense stops the plugin. ---- */

/* Answers false, and sets no failure, when there is none. */
bool tm_config_text(tm_event *event, const char *key, tm_text *value);
/* The same of one that must be there: without it the plugin stops. */
bool tm_config_require(tm_event *event, const char *key, tm_text *value);
/* `otherwise` when there is none. */
bool tm_config_whole(tm_event *event, const char *key, uint64_t otherwise, uint64_t *value);

/* ---- Lines for the operator ---- */

/* Bytes that are no UTF-8 are replaced, as in reasons; in keys, streams and tags they reject the event. */
typedef enum { TM_TRACE, TM_DEBUG, TM_INFO, TM_WARN, TM_ERROR } tm_level;
void tm_log(tm_event *event, tm_level level, const char *format, ...);

/* ---- Queries: answered from the state as of one moment; what is tried to be changed is denied. Keep nothing for the
 * next query: it sees another moment. ---- */

typedef struct {
    tm_text name;
    tm_text value;
} tm_query_parameter;

typedef struct {
    tm_text name;
    uint64_t checkpoint; /* every matching event up to here is in the state, or set aside */
    const tm_query_parameter *parameters; /* in the order given; a name may come several times */
    size_t parameter_count;
} tm_query;

typedef struct {
    tm_text body;         /* JSON, or bytes */
    bool is_binary;       /* else the body is JSON */
    tm_text content_type; /* of a binary body; empty for application/octet-stream */
} tm_answer;

/* Answers a query. `event` is no event: it is what the functions above take for memory and failures. tm_reject says that
 * a parameter will not do, and tells who asks; other failures say that the query could not be answered. */
typedef struct {
    const char *name;
    bool (*answer)(tm_event *event, const tm_query *query, tm_answer *answer);
} tm_query_handler;

/* The value of a parameter that must be given. */
bool tm_parameter(tm_event *event, const tm_query *query, const char *name, tm_text *value);
/* The same of one that need not be: `*found` is false when it is missing. */
bool tm_parameter_text(tm_event *event, const tm_query *query, const char *name, tm_text *value, bool *found);
bool tm_parameter_whole(tm_event *event, const tm_query *query, const char *name, uint64_t otherwise, uint64_t *value);

/* ---- The plugin ---- */

typedef struct {
    const char *type; /* an event type; "*" takes all that have no handler of their own */
    bool (*handle)(tm_event *event);
} tm_handler;

typedef struct {
    const char *name;
    const char *version;
    const char *summary;
    const char *const *append; /* the event types it wants to append, ended by NULL; may be NULL */
    const tm_handler *handlers; /* ended by {0} */
    const tm_query_handler *queries; /* ended by {0}; may be NULL. The build looks for `.queries =` in the sources */
    /* Which schema the state has, from 1; 0 says nothing. Raise it when another state is to be made of the same events: the
     * host builds it anew beside the one there is, and then changes over. */
    uint32_t state_schema;
} tm_plugin;

/* What a plugin's source defines. */
extern const tm_plugin tidemill_plugin;

#ifdef __cplusplus
}
#endif

#endif
