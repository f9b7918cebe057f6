/* Memory and the failure of the event at hand; for the files of this folder. */
#ifndef TIDEMILL_SCRATCH_H
#define TIDEMILL_SCRATCH_H

#include <stdarg.h>

#include "tidemill.h"

typedef enum { TM_VERDICT_NONE, TM_VERDICT_RETRY, TM_VERDICT_REJECT, TM_VERDICT_STOP } tm_verdict;

struct tm_block;

typedef struct tm_scratch {
    struct tm_block *blocks;
    tm_verdict verdict;
    bool has_after_ms;
    uint64_t after_ms;
    tm_text reason;
} tm_scratch;

/* Memory that lives until the event is handled. Ends the instance when there is none left. */
void *tm_alloc(tm_event *event, size_t bytes);
void tm_scratch_free(tm_scratch *scratch);
/* Sets the failure; answers false. */
bool tm_fail(tm_event *event, tm_verdict verdict, tm_text reason);
/* Whether a text is UTF-8: with one that is not a call of the host would trap. */
bool tm_is_utf8(tm_text text);
/* The text, with a replacement character for each run of bytes that are no UTF-8. */
tm_text tm_readable(tm_event *event, tm_text text);
tm_text tm_vformat(tm_event *event, const char *format, va_list arguments);

#endif
