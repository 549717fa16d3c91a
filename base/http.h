/* base/http.h: POST and read the answer, over libcurl.
 *
 * http and https only, no redirects. One struct http is one connection that is kept open
 * between calls; one thread at a time uses it.
 */
#ifndef BASE_HTTP_H
#define BASE_HTTP_H

#include <stddef.h>

#include "base/buf.h"

struct http {
    void *curl;           /* libcurl's handle; NULL: none yet */
    const char *user_agent; /* borrowed; NULL: "hone" */
};

enum http_status {
    HTTP_OK,     /* 2xx; the body is whole */
    HTTP_LATE,   /* the time ran out */
    HTTP_AGAIN,  /* no connection, 429 or 5xx: another try may succeed */
    HTTP_LONG,   /* an answer of more than max bytes */
    HTTP_FAILED, /* anything else: another code, an address that is none */
};

/* Sends JSON; waits at most seconds. *body (emptied first) is the answer, of at most max
 * bytes, why[n] says what went wrong ("HTTP 500", "Couldn't connect to server"). */
enum http_status http_post(struct http *h, const char *url, const char *json, size_t n_json,
                           double seconds, size_t max, struct buf *body, char *why, size_t n);

/* Harmless on a zeroed one. */
void http_close(struct http *h);

#endif
