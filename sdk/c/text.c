/* Texts, formatting, memory of the event at hand, failures. No stdio: it would drag files and streams into the
 * component. */

#include <stdlib.h>
#include <string.h>

#include "scratch.h"

struct tm_block {
    struct tm_block *next;
    _Alignas(16) char bytes[];
};

void *tm_alloc(tm_event *event, size_t bytes) {
    struct tm_block *block = malloc(sizeof *block + bytes);
    if (!block) __builtin_trap();
    block->next = event->scratch->blocks;
    event->scratch->blocks = block;
    return block->bytes;
}

void tm_scratch_free(tm_scratch *scratch) {
    for (struct tm_block *block = scratch->blocks; block;) {
        struct tm_block *next = block->next;
        free(block);
        block = next;
    }
    *scratch = (tm_scratch){0};
}

tm_text tm_text_of(const char *text) { return (tm_text){text, text ? strlen(text) : 0}; }

bool tm_text_equal(tm_text a, tm_text b) { return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0); }

/* Writes at `out`, or only counts where there is none. */
typedef struct {
    char *out;
    size_t len;
} sink;

static void put(sink *to, const char *bytes, size_t len) {
    if (to->out && len) memcpy(to->out + to->len, bytes, len);
    to->len += len;
}

static void put_whole(sink *to, uint64_t value) {
    char digits[20];
    size_t at = sizeof digits;
    do digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    put(to, digits + at, sizeof digits - at);
}

static void put_json(sink *to, tm_text text) {
    static const char HEX[] = "0123456789abcdef";
    put(to, "\"", 1);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        char escape[6] = {'\\', (char)c, '0', '0', HEX[c >> 4], HEX[c & 15]};
        if (c == '"' || c == '\\') {
            put(to, escape, 2);
        } else if (c < 0x20) {
            escape[1] = 'u';
            put(to, escape, 6);
        } else {
            put(to, (const char *)&c, 1);
        }
    }
    put(to, "\"", 1);
}

static void write_format(sink *to, const char *format, va_list arguments) {
    for (const char *at = format; *at; at++) {
        if (*at != '%' || !at[1]) {
            put(to, at, 1);
            continue;
        }
        tm_text text;
        switch (*++at) {
        case 't':
            text = va_arg(arguments, tm_text);
            put(to, text.ptr, text.len);
            break;
        case 'j': put_json(to, va_arg(arguments, tm_text)); break;
        case 'u': put_whole(to, va_arg(arguments, uint64_t)); break;
        case 'b':
            text = va_arg(arguments, int) ? TM_TEXT("true") : TM_TEXT("false");
            put(to, text.ptr, text.len);
            break;
        case 's':
            text = tm_text_of(va_arg(arguments, const char *));
            put(to, text.ptr, text.len);
            break;
        default: put(to, at, 1);
        }
    }
}

tm_text tm_vformat(tm_event *event, const char *format, va_list arguments) {
    va_list counted;
    va_copy(counted, arguments);
    sink count = {0};
    write_format(&count, format, counted);
    va_end(counted);
    sink to = {.out = tm_alloc(event, count.len)};
    write_format(&to, format, arguments);
    return (tm_text){to.out, to.len};
}

tm_text tm_format(tm_event *event, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    tm_text text = tm_vformat(event, format, arguments);
    va_end(arguments);
    return text;
}

/* The first failure stands: what a handler adds to it on its way out does not hide the cause. */
bool tm_fail(tm_event *event, tm_verdict verdict, tm_text reason) {
    tm_scratch *scratch = event->scratch;
    if (scratch->verdict == TM_VERDICT_NONE) {
        scratch->verdict = verdict;
        scratch->reason = reason;
    }
    return false;
}

#define FAIL(verdict)                                                                                                  \
    va_list arguments;                                                                                                 \
    va_start(arguments, format);                                                                                       \
    tm_fail(event, (verdict), tm_vformat(event, format, arguments));                                                   \
    va_end(arguments);                                                                                                 \
    return false

bool tm_reject(tm_event *event, const char *format, ...) { FAIL(TM_VERDICT_REJECT); }

bool tm_retry(tm_event *event, const char *format, ...) { FAIL(TM_VERDICT_RETRY); }

bool tm_stop(tm_event *event, const char *format, ...) { FAIL(TM_VERDICT_STOP); }

bool tm_retry_after(tm_event *event, uint64_t after_ms, const char *format, ...) {
    if (event->scratch->verdict == TM_VERDICT_NONE) {
        event->scratch->has_after_ms = true;
        event->scratch->after_ms = after_ms;
    }
    FAIL(TM_VERDICT_RETRY);
}
