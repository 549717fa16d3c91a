/* tests/policy_fixture.h: tiny random policies, one of each shape the architecture takes.
 *
 * Sizes are odd on purpose. Numbers are large enough for distributions that are far from
 * uniform, and the same on every machine.
 */
#ifndef TESTS_POLICY_FIXTURE_H
#define TESTS_POLICY_FIXTURE_H

#include "policy/model.h"

enum policy_shape {
    POLICY_PLAIN,   /* q_proj, a dense layer, then experts in one group */
    POLICY_LORA,    /* low-rank queries, limited groups, rope by halves, no shared expert */
    POLICY_DENSE,   /* no experts at all */
    POLICY_TIED,    /* the embedding is the head, too */
    POLICY_GROUPED, /* Llama: three heads of queries share a key, heads wider than D / H */
    POLICY_BF16,    /* plain, computed in bf16 */
    POLICY_GROUPED_BF16,
    POLICY_LARGE,   /* plain, walked as a large model is: unpacked training, teams */
    POLICY_GROUPED_LARGE,
    POLICY_LARGE_BF16,
    POLICY_GROUPED_LARGE_BF16,
    N_POLICY_SHAPES
};

struct policy_fixture {
    struct weights w;
    struct model m;
};

/* With a backward and positions up to max_pos. End it with policy_fixture_clear. */
void policy_fixture_init(struct policy_fixture *f, enum policy_shape shape,
                         int vocab_size, int max_pos);
void policy_fixture_clear(struct policy_fixture *f);

/* Fails the running test unless both print the same config.json. */
void assert_same_policy_config(const struct policy_config *a,
                               const struct policy_config *b);

#endif
