/* How the DLP service handles an unknown destination, like the published one: it asks Valkey whether exactly this Host header was
 * approved, and records the request if it blocks it. In this stand-in only one name is unknown, NEW, on any port; it does not read
 * the security level.
 *
 * Like the published one, it uses TLS with a client certificate, as the user governance-reqmod. c-icap has loaded OpenSSL, whose
 * headers are not in the base of the twins, so the functions used are declared here.
 */
#define NEW "unknown.example"
#define ID_SIZE sizeof "req-01234567"
#define TLS "/etc/valkey/tls/"
#define PEM 1

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;
const void *TLS_client_method(void);
SSL_CTX *SSL_CTX_new(const void *method);
void SSL_CTX_free(SSL_CTX *context);
void SSL_CTX_set_verify(SSL_CTX *context, int mode, void *callback);
int SSL_CTX_load_verify_locations(SSL_CTX *context, const char *file, const char *folder);
int SSL_CTX_use_certificate_file(SSL_CTX *context, const char *file, int type);
int SSL_CTX_use_PrivateKey_file(SSL_CTX *context, const char *file, int type);
SSL *SSL_new(SSL_CTX *context);
void SSL_free(SSL *tls);
int SSL_set1_host(SSL *tls, const char *name);
int SSL_set_fd(SSL *tls, int fd);
int SSL_connect(SSL *tls);
int SSL_read(SSL *tls, void *bytes, int length);
int SSL_write(SSL *tls, const void *bytes, int length);

/* Appends a command in Valkey's protocol. */
static void append(char *out, size_t size, const char *const words[], int count)
{
    size_t at = strlen(out);
    at += (size_t)snprintf(out + at, size - at, "*%d\r\n", count);
    for (int i = 0; i < count && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
}

/* Sends `text`, which is two commands with answers of one line, and returns whether the second answer is `wanted`. */
static int talk(SSL *tls, const char *text, const char *wanted)
{
    char answer[512] = "", *line = answer;
    int got = 0, more;
    if (SSL_write(tls, text, (int)strlen(text)) <= 0)
        return 0;
    do {
        more = SSL_read(tls, answer + got, (int)sizeof answer - 1 - got);
        if (more <= 0)
            return 0;
        got += more;
        answer[got] = 0;
        line = strstr(answer, "\r\n");
    } while (!line || !strstr(line + 2, "\r\n"));
    return strncmp(answer, "+OK", 3) == 0 && strncmp(line + 2, wanted, strlen(wanted)) == 0;
}

/* Whether Valkey answers the command with `wanted`. */
static int valkey(const char *const words[], int count, const char *wanted)
{
    char password[128] = "", text[2048] = "";
    const char *host = getenv("polis_VALKEY_HOST");
    FILE *file = fopen("/run/secrets/valkey_reqmod_password", "r");
    int answered = 0, fd = -1;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *tls = NULL;
    if (!file || !fgets(password, sizeof password, file) || !context)
        goto end;
    password[strcspn(password, "\n")] = 0;
    SSL_CTX_set_verify(context, 1, NULL);
    if (SSL_CTX_load_verify_locations(context, TLS "ca.crt", NULL) != 1 ||
        SSL_CTX_use_certificate_file(context, TLS "client.crt", PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, TLS "client.key", PEM) != 1 || !(tls = SSL_new(context)))
        goto end;
    fd = connect_to(host ? host : "state", "6379");
    if (fd < 0 || SSL_set1_host(tls, host ? host : "state") != 1 || SSL_set_fd(tls, fd) != 1 || SSL_connect(tls) != 1)
        goto end;
    append(text, sizeof text, (const char *const[]){"AUTH", "governance-reqmod", password}, 3);
    append(text, sizeof text, words, count);
    answered = talk(tls, text, wanted);
end:
    if (tls)
        SSL_free(tls);
    if (context)
        SSL_CTX_free(context);
    if (file)
        fclose(file);
    if (fd >= 0)
        close(fd);
    return answered;
}

static int is_new(const char *host)
{
    size_t length = sizeof NEW - 1;
    if (!host || strncasecmp(host, NEW, length) != 0)
        return 0;
    return host[length] == 0 || (host[length] == ':' && strspn(host + length + 1, "0123456789") == strlen(host + length + 1));
}

/* Whether requests to `host` pass. If not, records the block and writes its ID. Without an answer of Valkey nothing new
 * passes. */
static int is_approved(const char *host, char *id)
{
    char key[512], record[512];
    unsigned char random[4] = {0};
    FILE *file;
    if (strlen(host) > 100)
        return 0;
    snprintf(key, sizeof key, "polis:approved:host:%s", host);
    if (valkey((const char *const[]){"EXISTS", key}, 2, ":1"))
        return 1;
    file = fopen("/dev/urandom", "r");
    if (file) {
        if (fread(random, 1, sizeof random, file) != sizeof random)
            random[0] = 0;
        fclose(file);
    }
    snprintf(id, ID_SIZE, "req-%02x%02x%02x%02x", random[0], random[1], random[2], random[3]);
    snprintf(key, sizeof key, "polis:blocked:%s", id);
    snprintf(record, sizeof record,
             "{\"request_id\":\"%s\",\"reason\":\"credential_detected\",\"destination\":\"%s\","
             "\"pattern\":\"new_domain_prompt\",\"blocked_at\":\"2026-01-02T03:04:05Z\",\"status\":\"pending\"}",
             id, host);
    if (!valkey((const char *const[]){"SETEX", key, "3600", record}, 4, "+OK"))
        ci_debug_printf(1, "stand-in: Valkey did not take a block\n");
    return 0;
}
