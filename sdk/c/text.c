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

/* The bytes of the character at the start (RFC 3629); 0 where there is none. */
static size_t character(const unsigned char *at, size_t len) {
    unsigned char c = at[0];
    if (c < 0x80) return 1;
    size_t bytes = c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (!bytes || bytes > len) return 0;
    /* Neither longer than it has to be, nor half a surrogate, nor beyond the last one. */
    unsigned char least = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    unsigned char most = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < least || at[1] > most) return 0;
    for (size_t i = 2; i < bytes; i++)
        if ((at[i] & 0xc0) != 0x80) return 0;
    return bytes;
}

bool tm_is_utf8(tm_text text) {
    for (size_t at = 0; at < text.len;) {
        size_t bytes = character((const unsigned char *)text.ptr + at, text.len - at);
        if (!bytes) return false;
        at += bytes;
    }
    return true;
}

tm_text tm_readable(tm_event *event, tm_text text) {
    if (tm_is_utf8(text)) return text;
    sink to = {.out = tm_alloc(event, 3 * text.len)};
    for (size_t at = 0, good = 1; at < text.len;) {
        size_t bytes = character((const unsigned char *)text.ptr + at, text.len - at);
        if (bytes)
            put(&to, text.ptr + at, bytes);
        else if (good)
            put(&to, "\xef\xbf\xbd", 3);
        good = bytes;
        at += bytes ? bytes : 1;
    }
    return (tm_text){to.out, to.len};
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

/* Answers the directive that it does not know, at which it ends: what its argument is, it cannot know either. */
static char write_format(sink *to, const char *format, va_list arguments) {
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
        case '%': put(to, at, 1); break;
        default: return *at;
        }
    }
    return 0;
}

tm_text tm_vformat(tm_event *event, const char *format, va_list arguments) {
    va_list counted;
    va_copy(counted, arguments);
    sink count = {0};
    char unknown = write_format(&count, format, counted);
    va_end(counted);
    if (unknown)
        tm_retry(event, "tm_format knows no %%%t; numbers are %%u, texts %%t, %%j and %%s, flags %%b",
                 (tm_text){&unknown, 1});
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
        scratch->reason = tm_readable(event, reason);
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
