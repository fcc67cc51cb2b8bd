/* Stand-in for a c-icap module of the published sentinel image, whose own sources are not part of this repository.
 *
 * Compiled once for each module, with NAME (the service), DESCRIPTION, TYPE (ICAP_REQMOD or ICAP_RESPMOD) and ROLE:
 *   ROLE_CREDENTIALS  refuses a body that carries `sk-ant-` and 20 more characters of a key, and a request to a
 *                     destination that is new, until it is approved (approvals.h)
 *   ROLE_MALWARE      streams the body to clamd (POLIS_CLAMD_HOST, POLIS_CLAMD_PORT) and refuses what it finds;
 *                     without an answer of clamd nothing passes
 *   ROLE_NOTHING      passes everything; there to be loaded
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <arpa/inet.h>
#include <unistd.h>

#include <c-icap.h>
#include <service.h>
#include <header.h>
#include <body.h>
#include <simple_api.h>
#include <debug.h>

#define ROLE_NOTHING 0
#define ROLE_CREDENTIALS 1
#define ROLE_MALWARE 2
#define KEY_LENGTH 20

struct state {
    ci_membuf_t *body;
    ci_membuf_t *page; /* what is sent instead, when the body is refused */
    int end;           /* the whole body has come in */
    char id[16];       /* of a blocked request that can be approved */
};

#if ROLE != ROLE_NOTHING
static int connect_to(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    struct timeval limit = {.tv_sec = 10};
    int at_once = 1; /* four small writes would each wait for the acknowledgement of the one before */
    if (getaddrinfo(host, port, &hints, &found))
        return -1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
        if (connect(fd, found->ai_addr, found->ai_addrlen)) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}
#endif
#if ROLE == ROLE_CREDENTIALS
#include "approvals.h"
#endif

static int start(ci_service_xdata_t *xdata, struct ci_server_conf *conf)
{
    (void)conf;
    ci_debug_printf(1, "stand-in: %s loaded\n", NAME);
    ci_service_enable_204(xdata);
    return CI_OK;
}

static void *start_request(ci_request_t *request)
{
    struct state *state = calloc(1, sizeof *state);
    if (state && ci_req_hasbody(request)) {
        state->body = ci_membuf_new();
        ci_req_lock_data(request);
    }
    return state;
}

static void end_request(void *data)
{
    struct state *state = data;
    if (!state)
        return;
    if (state->body)
        ci_membuf_free(state->body);
    if (state->page)
        ci_membuf_free(state->page);
    free(state);
}

#if ROLE == ROLE_CREDENTIALS
/* Whether a request without a body has to be judged: its destination is new. */
static int is_to_judge(ci_request_t *request)
{
    return is_new(ci_http_request_get_header(request, "Host"));
}

/* The reason to refuse the destination, or NULL. */
static const char *judge_destination(ci_request_t *request, struct state *state)
{
    const char *host = ci_http_request_get_header(request, "Host");
    return is_new(host) && !is_approved(host, state->id) ? "new_domain_prompt" : NULL;
}
#else
static int is_to_judge(ci_request_t *request)
{
    (void)request;
    return 0;
}

static const char *judge_destination(ci_request_t *request, struct state *state)
{
    (void)request;
    (void)state;
    return NULL;
}
#endif

static int preview(char *bytes, int length, ci_request_t *request)
{
    struct state *state = ci_service_data(request);
    if (!ci_req_hasbody(request))
        return is_to_judge(request) ? CI_MOD_CONTINUE : CI_MOD_ALLOW204;
    if (length > 0)
        ci_membuf_write(state->body, bytes, length, ci_req_hasalldata(request));
    return CI_MOD_CONTINUE;
}

#if ROLE == ROLE_CREDENTIALS
/* The reason to refuse the body, or NULL. */
static const char *judge(const char *body, size_t length)
{
    static const char prefix[] = "sk-ant-";
    const char *end = body + length, *at = body;
    while ((at = memmem(at, (size_t)(end - at), prefix, sizeof prefix - 1))) {
        size_t found = 0;
        at += sizeof prefix - 1;
        while (at + found < end && (isalnum((unsigned char)at[found]) || at[found] == '-' || at[found] == '_'))
            found++;
        if (found >= KEY_LENGTH)
            return "credential";
    }
    return NULL;
}
#elif ROLE == ROLE_MALWARE
static int send_all(int fd, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
        if (sent <= 0)
            return 0;
        at += sent;
        length -= (size_t)sent;
    }
    return 1;
}

/* The reason to refuse the body, or NULL. As the real module does, only the first 2 MiB are scanned. */
static const char *judge(const char *body, size_t length)
{
    char answer[256] = "";
    size_t got = 0;
    uint32_t size, end = 0;
    const char *host = getenv("POLIS_CLAMD_HOST"), *port = getenv("POLIS_CLAMD_PORT");
    int fd = connect_to(host ? host : "scanner", port ? port : "3310");
    if (fd < 0)
        return "clamd does not answer";
    if (length > 2 * 1024 * 1024)
        length = 2 * 1024 * 1024;
    size = htonl((uint32_t)length);
    if (send_all(fd, "zINSTREAM", 10) && (length == 0 || (send_all(fd, &size, 4) && send_all(fd, body, length))) &&
        send_all(fd, &end, 4)) {
        ssize_t more;
        while (got < sizeof answer - 1 && (more = recv(fd, answer + got, sizeof answer - 1 - got, 0)) > 0)
            got += (size_t)more;
    }
    close(fd);
    if (strstr(answer, "FOUND"))
        return "malware";
    return strstr(answer, "OK") ? NULL : "clamd does not answer";
}
#else
static const char *judge(const char *body, size_t length)
{
    (void)body;
    (void)length;
    return NULL;
}
#endif

static int refuse(ci_request_t *request, struct state *state, const char *reason)
{
    char header[128], page[256];
    int length = snprintf(page, sizeof page, "stand-in: %s refused this: %s\n", NAME, reason);
    if (state->id[0])
        length += snprintf(page + length, sizeof page - (size_t)length, "To approve, run: polis blocked approve %s\n",
                           state->id);
    ci_debug_printf(1, "stand-in: %s refused a message: %s\n", NAME, reason);
    if (!ci_http_response_create(request, 1, 1))
        return CI_MOD_ERROR;
    ci_http_response_add_header(request, "HTTP/1.1 403 Forbidden");
    ci_http_response_add_header(request, "Server: polis-stand-in");
    ci_http_response_add_header(request, "Content-Type: text/plain");
    snprintf(header, sizeof header, "Content-Length: %d", length);
    ci_http_response_add_header(request, header);
    snprintf(header, sizeof header, "X-Polis-Block: %s", reason);
    ci_http_response_add_header(request, header);
    state->page = ci_membuf_new_sized(length + 1);
    ci_membuf_write(state->page, page, length, 1);
    return CI_MOD_DONE;
}

static int end_of_data(ci_request_t *request)
{
    struct state *state = ci_service_data(request);
    const char *reason = state->body ? judge(state->body->buf, (size_t)ci_membuf_size(state->body)) : NULL;
    if (!reason)
        reason = judge_destination(request, state);
    state->end = 1;
    if (reason) {
        int result = refuse(request, state, reason);
        ci_req_unlock_data(request);
        return result;
    }
    if (ci_req_allow204(request) && !ci_req_sent_data(request))
        return CI_MOD_ALLOW204;
    ci_req_unlock_data(request);
    return CI_MOD_DONE;
}

static int transfer(char *out, int *out_length, char *in, int *in_length, int is_end, ci_request_t *request)
{
    struct state *state = ci_service_data(request);
    if (in && in_length && *in_length > 0)
        *in_length = ci_membuf_write(state->body, in, *in_length, is_end);
    else if (is_end && state->body)
        ci_membuf_write(state->body, NULL, 0, 1);
    if (out && out_length && *out_length > 0) {
        ci_membuf_t *from = state->page ? state->page : state->body;
        *out_length = !state->end ? 0 : from ? ci_membuf_read(from, out, *out_length) : CI_EOF;
    }
    return CI_OK;
}

CI_DECLARE_MOD_DATA ci_service_module_t service = {
    NAME, DESCRIPTION, TYPE, start, NULL, NULL, start_request, end_request, preview, end_of_data, transfer, NULL, NULL};
