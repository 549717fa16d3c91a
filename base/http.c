/* base/http.c: see http.h. */
#include "base/http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>

#include "base/err.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void) {
    CURLcode rc = curl_global_init(CURL_GLOBAL_DEFAULT);
    CHECK(rc == CURLE_OK);
}

static size_t receive(char *bytes, size_t size, size_t n, void *ctx) {
    struct buf *body = ctx;
    buf_push(body, bytes, size * n);
    return body->full ? 0 : size * n;
}

static void set_options(struct http *h, const char *url, const char *json, size_t n,
                        double seconds, struct buf *body, struct curl_slist *headers) {
    CURL *c = h->curl;
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(c, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(seconds * 1e3) + 1);
    curl_easy_setopt(c, CURLOPT_USERAGENT, h->user_agent ? h->user_agent : "hone");
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n);
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, json);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, body);
}

/* What a transfer that came to no answer means. */
static enum http_status judge_failure(CURLcode rc, const struct buf *body, char *why, size_t n) {
    if (body->full) {
        snprintf(why, n, "an answer of more than %zu bytes", body->max);
        return HTTP_LONG;
    }
    snprintf(why, n, "%s", curl_easy_strerror(rc));
    switch (rc) {
    case CURLE_OPERATION_TIMEDOUT: return HTTP_LATE;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE: return HTTP_AGAIN;
    default: return HTTP_FAILED;
    }
}

enum http_status http_post(struct http *h, const char *url, const char *json, size_t n_json,
                           double seconds, size_t max, struct buf *body, char *why, size_t n) {
    long code = 0;
    pthread_once(&once, init);
    if (!h->curl) h->curl = curl_easy_init();
    CHECK(h->curl);
    /* no "Expect: 100-continue", which costs a second with servers that do not know it */
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    headers = curl_slist_append(headers, "Expect:");
    buf_reset(body);
    body->max = max;
    set_options(h, url, json, n_json, seconds > 0 ? seconds : 0.001, body, headers);
    CURLcode rc = curl_easy_perform(h->curl);
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    if (rc != CURLE_OK) return judge_failure(rc, body, why, n);
    if (code >= 200 && code < 300) return HTTP_OK;
    snprintf(why, n, "HTTP %ld", code);
    return code == 429 || code >= 500 ? HTTP_AGAIN : HTTP_FAILED;
}

void http_close(struct http *h) {
    if (h->curl) curl_easy_cleanup(h->curl);
    h->curl = NULL;
}
