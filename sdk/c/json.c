/* Reads JSON (RFC 8259) in place: nothing is parsed that is not asked for. */

#include <string.h>

#include "scratch.h"

/* How deep lists and objects are followed. */
#define DEPTH_MAX 128
/* Most bytes of a value that is shown in a reason. */
#define SHOWN_BYTES_MAX 80

typedef struct {
    const char *at;
    const char *end;
} cursor;

static void skip_space(cursor *c) {
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r')) c->at++;
}

static bool take(cursor *c, char wanted) {
    skip_space(c);
    if (c->at >= c->end || *c->at != wanted) return false;
    c->at++;
    return true;
}

/* Takes a string with its quotes. */
static bool take_string(cursor *c, tm_text *quoted) {
    skip_space(c);
    const char *begin = c->at;
    if (!take(c, '"')) return false;
    while (c->at < c->end && *c->at != '"') c->at += *c->at == '\\' ? 2 : 1;
    if (c->at >= c->end) return false;
    c->at++;
    *quoted = (tm_text){begin, (size_t)(c->at - begin)};
    return true;
}

static bool take_value(cursor *c, tm_text *value, int depth);

static bool take_members(cursor *c, char close, int depth) {
    tm_text part;
    if (take(c, close)) return true;
    do {
        if (close == '}' && (!take_string(c, &part) || !take(c, ':'))) return false;
        if (!take_value(c, &part, depth)) return false;
    } while (take(c, ','));
    return take(c, close);
}

static bool take_value(cursor *c, tm_text *value, int depth) {
    skip_space(c);
    const char *begin = c->at;
    if (begin >= c->end || depth >= DEPTH_MAX) return false;
    if (*begin == '"') return take_string(c, value);
    if (*begin == '{' || *begin == '[') {
        c->at++;
        if (!take_members(c, *begin == '{' ? '}' : ']', depth + 1)) return false;
    } else {
        while (c->at < c->end && !memchr(",]} \t\r\n", *c->at, 7)) c->at++;
        if (c->at == begin) return false;
    }
    *value = (tm_text){begin, (size_t)(c->at - begin)};
    return true;
}

static cursor over(tm_text json) { return (cursor){json.ptr, json.ptr + json.len}; }

static int hex4(const char *at) {
    int value = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0) return -1;
        value = value << 4 | digit;
    }
    return value;
}

static char *put_utf8(char *out, uint32_t code) {
    if (code < 0x80) {
        *out++ = (char)code;
        return out;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char FIRST[] = {0, 0xc0, 0xe0, 0xf0};
    *out++ = (char)(FIRST[more] | code >> (6 * more));
    while (more--) *out++ = (char)(0x80 | (code >> (6 * more) & 63));
    return out;
}

/* Reads what follows `\u`; a pair of surrogates is one character, a lone one none. */
static const char *read_unicode(const char *at, const char *end, uint32_t *code) {
    int first = end - at >= 4 ? hex4(at) : -1;
    if (first < 0) return NULL;
    *code = (uint32_t)first;
    if (first < 0xd800 || first > 0xdfff) return at + 4;
    int second = first < 0xdc00 && end - at >= 10 && at[4] == '\\' && at[5] == 'u' ? hex4(at + 6) : -1;
    if (second < 0xdc00 || second > 0xdfff) return NULL;
    *code = 0x10000 + ((uint32_t)(first - 0xd800) << 10) + (uint32_t)(second - 0xdc00);
    return at + 10;
}

bool tm_json_text(tm_event *event, tm_text json, tm_text *value) {
    static const char NAMES[] = "\"\\/bfnrt", MEANT[] = "\"\\/\b\f\n\r\t";
    cursor c = over(json);
    tm_text quoted;
    if (!take_string(&c, &quoted)) return false;
    const char *at = quoted.ptr + 1, *end = quoted.ptr + quoted.len - 1;
    *value = (tm_text){at, (size_t)(end - at)};
    if (!memchr(at, '\\', value->len)) return true;
    /* An escape is never shorter than what it stands for. */
    char *begin = tm_alloc(event, value->len), *out = begin;
    while (at < end) {
        if (*at != '\\') {
            *out++ = *at++;
            continue;
        }
        const char *name = strchr(NAMES, at[1]);
        uint32_t code;
        if (at[1] == 'u') {
            at = read_unicode(at + 2, end, &code);
            if (!at) return false;
            out = put_utf8(out, code);
        } else if (name && *name) {
            *out++ = MEANT[name - NAMES];
            at += 2;
        } else {
            return false;
        }
    }
    *value = (tm_text){begin, (size_t)(out - begin)};
    return true;
}

bool tm_json_whole(tm_text json, uint64_t *value) {
    uint64_t sum = 0;
    for (size_t i = 0; i < json.len; i++) {
        char c = json.ptr[i];
        if (c < '0' || c > '9' || __builtin_mul_overflow(sum, 10, &sum) ||
            __builtin_add_overflow(sum, (uint64_t)(c - '0'), &sum))
            return false;
    }
    *value = sum;
    return json.len > 0;
}

bool tm_json_flag(tm_text json, bool *value) {
    *value = tm_text_equal(json, TM_TEXT("true"));
    return *value || tm_text_equal(json, TM_TEXT("false"));
}

bool tm_json_field(tm_event *event, tm_text json, const char *field, tm_text *value) {
    cursor c = over(json);
    tm_text quoted, key, found, wanted = tm_text_of(field);
    if (!take(&c, '{')) return false;
    do {
        if (!take_string(&c, &quoted) || !take(&c, ':') || !take_value(&c, &found, 0)) return false;
        if (tm_json_text(event, quoted, &key) && tm_text_equal(key, wanted)) {
            *value = found;
            return true;
        }
    } while (take(&c, ','));
    return false;
}

bool tm_json_item(tm_text json, size_t *at, tm_text *item) {
    cursor c = over(json);
    c.at += *at < json.len ? *at : json.len;
    if (!take(&c, *at == 0 ? '[' : ',') || !take_value(&c, item, 0)) return false;
    *at = (size_t)(c.at - json.ptr);
    return true;
}

/* Cuts a text between two characters. */
static tm_text shortened(tm_text text, size_t len_max) {
    if (text.len > len_max) {
        text.len = len_max;
        while (text.len && (text.ptr[text.len] & 0xc0) == 0x80) text.len--;
    }
    return text;
}

static bool missing(tm_event *event, const char *field, const char *wanted) {
    tm_text found;
    if (!event->is_json) return tm_reject(event, "payload of %t: it is not JSON", event->type);
    if (!tm_json_field(event, event->payload, field, &found))
        return tm_reject(event, "payload of %t: %s: expected %s, but it is missing", event->type, field, wanted);
    found = shortened(found, SHOWN_BYTES_MAX);
    return tm_reject(event, "payload of %t: %s: expected %s, but it is %t", event->type, field, wanted, found);
}

bool tm_field_text(tm_event *event, const char *field, tm_text *value) {
    tm_text json;
    bool good = event->is_json && tm_json_field(event, event->payload, field, &json) && tm_json_text(event, json, value);
    return good || missing(event, field, "text");
}

bool tm_field_whole(tm_event *event, const char *field, uint64_t *value) {
    tm_text json;
    bool good = event->is_json && tm_json_field(event, event->payload, field, &json) && tm_json_whole(json, value);
    return good || missing(event, field, "a whole number from 0");
}

bool tm_field_flag(tm_event *event, const char *field, bool *value) {
    tm_text json;
    bool good = event->is_json && tm_json_field(event, event->payload, field, &json) && tm_json_flag(json, value);
    return good || missing(event, field, "true or false");
}

bool tm_field_json(tm_event *event, const char *field, tm_text *json, bool *found) {
    if (!event->is_json) return missing(event, field, "a value");
    *found = tm_json_field(event, event->payload, field, json);
    return true;
}
