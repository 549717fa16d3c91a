/* experiments/rewards/digits.c: a reward as a shared object: the share of digits among the
 * completion's characters, at most `enough` of them.
 *
 *     cc -O2 -fPIC -shared -fvisibility=hidden -iquote reward experiments/rewards/digits.c -o digits.so
 *     hone reward check ./digits.so
 */
#include "hone_reward.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct digits {
    const struct hone_reward_host *host;
    double enough;
};

/* {"enough": 0.5}. A real plug-in would use a JSON library. */
static void *create(const struct hone_reward_host *host, const char *options, size_t n) {
    struct digits *d = malloc(sizeof *d);
    char text[64] = "";
    if (!d) return NULL;
    d->host = host;
    d->enough = 1;
    if (n < sizeof text) memcpy(text, options, n);
    if (n >= sizeof text ||
        (strcmp(text, "{}") != 0 && sscanf(text, "{\"enough\":%lf}", &d->enough) != 1) ||
        !(d->enough > 0 && d->enough <= 1)) {
        host->set_error(host, "options: the only one is enough, above 0 and at most 1");
        free(d);
        return NULL;
    }
    return d;
}

static int score(void *instance, const struct hone_reward_group *group) {
    const struct digits *d = instance;
    for (uint32_t i = 0; i < group->n; i++) {
        const struct hone_reward_text *text = &group->sample[i]->text;
        struct hone_reward_result *r = group->result[i];
        size_t digits = 0;
        for (size_t k = 0; k < text->n; k++)
            digits += text->data[k] >= '0' && text->data[k] <= '9';
        if (text->n == 0) {
            r->status = HONE_REWARD_UNPARSABLE;
            snprintf(r->reason, sizeof r->reason, "empty");
            continue;
        }
        double share = (double)digits / (double)text->n / d->enough;
        r->status = HONE_REWARD_OK;
        r->score = share < 1 ? share : 1;
        r->n_parts = 1;
        snprintf(r->part[0].name, sizeof r->part[0].name, "digits");
        r->part[0].value = (double)digits;
        snprintf(r->reason, sizeof r->reason, "%zu of %zu", digits, text->n);
    }
    return 0;
}

static void destroy(void *instance) { free(instance); }

static const struct hone_reward_plugin plugin = {
    .size = sizeof plugin, .abi_major = HONE_REWARD_ABI_MAJOR,
    .abi_minor = HONE_REWARD_ABI_MINOR, .flags = HONE_REWARD_DETERMINISTIC, .name = "digits",
    .version = "1", .create = create, .score = score, .destroy = destroy};

const struct hone_reward_plugin *hone_reward_entry(void) { return &plugin; }
