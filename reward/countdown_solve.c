/* reward/countdown_solve.c: see countdown.h.
 *
 * A search of fixed depth over lists: take two places i < j, try + - * /, put the result
 * at i and drop j. Depth 0, 1, 2, ... so that the first depth with a plan is the least.
 * At that depth every result is used, else a shallower plan would exist. Results are
 * never negative: a plan through negative values has a twin without them. Four numbers
 * are at most 3,888 leaves.
 */
#include <string.h>

#include "base/err.h"
#include "reward/countdown.h"

struct item {
    struct ratio value;
    int node;
};

struct search {
    const struct countdown *c;
    int depth;      /* steps of a plan */
    bool fractions; /* results need not be whole */
    bool all;       /* any plan will do, useless steps too: stop at the first */
    int cost;       /* of the best plan so far */
    bool found;
    struct countdown_step step[COUNTDOWN_MAX_STEPS];
    /* The last wrong leaves, a ring. */
    int n_tries, n_wrong;
    struct countdown_step wrong[COUNTDOWN_MAX_TRIES][COUNTDOWN_MAX_STEPS];
    struct countdown_plan *plan;
};

static int op_cost(char op) { return op == '*' ? 2 : op == '/' ? 3 : 1; }

static bool same(struct ratio a, struct ratio b) {
    return a.num == b.num && a.den == b.den;
}

static void keep_plan(struct search *s, int cost) {
    struct countdown_plan *plan = s->plan;
    s->cost = cost;
    s->found = true;
    if (!plan) return;
    memcpy(plan->step, s->step, sizeof plan->step);
    plan->n_steps = s->depth;
    plan->n_tries = s->n_wrong < s->n_tries ? s->n_wrong : s->n_tries;
    for (int i = 0; i < plan->n_tries; i++) {
        int from = (s->n_wrong - plan->n_tries + i) % s->n_tries;
        memcpy(plan->tries[i], s->wrong[from], sizeof s->wrong[from]);
    }
}

static void leaf(struct search *s) {
    struct ratio target = {s->c->target, 1};
    if (!same(s->step[s->depth - 1].result, target)) {
        if (s->n_tries)
            memcpy(s->wrong[s->n_wrong++ % s->n_tries], s->step, sizeof s->step);
        return;
    }
    int cost = 0;
    for (int i = 0; i < s->depth; i++) cost += op_cost(s->step[i].op);
    if (!s->found || cost < s->cost) keep_plan(s, cost);
}

/* Nothing cheaper can come. */
static bool finished(const struct search *s) {
    return s->found && (s->all || s->cost == s->depth);
}

/* a op b for whole a, b >= 0, where that is whole, not negative and fits. It is the inner
 * loop of the generator: ratio_apply here makes drawing 4 times slower. */
static bool whole_apply(char op, int64_t a, int64_t b, int64_t *out) {
    if (op == '+') return !__builtin_add_overflow(a, b, out);
    if (op == '*') return !__builtin_mul_overflow(a, b, out);
    if (op == '-') {
        *out = a - b;
        return a >= b;
    }
    if (b == 0 || a % b) return false;
    *out = a / b;
    return true;
}

/* Fills a step; false where it is not whole, negative, useless or too large. */
static bool make_step(const struct search *s, char op, const struct item *x,
                      const struct item *y, struct countdown_step *step) {
    struct ratio r = {0, 1};
    bool good = s->fractions
                    ? ratio_apply(op, x->value, y->value, &r) == EXPR_OK && r.num >= 0
                    : whole_apply(op, x->value.num, y->value.num, &r.num);
    if (!good) return false;
    bool useless = same(r, x->value) || same(r, y->value) || (!r.num && s->c->target);
    if (useless && !s->all) return false;
    *step = (struct countdown_step){x->value, y->value, r, x->node, y->node, op};
    return true;
}

static void descend(struct search *s, const struct item *list, int n, int k);

static void try_pair(struct search *s, const struct item *list, int n, int k, int i,
                     int j) {
    for (const char *op = "+-*/"; *op; op++) {
        for (int swap = 0; swap < (*op == '-' || *op == '/' ? 2 : 1); swap++) {
            if (finished(s)) return;
            struct countdown_step *step = &s->step[k];
            if (!make_step(s, *op, &list[swap ? j : i], &list[swap ? i : j], step))
                continue;
            if (k + 1 == s->depth) {
                leaf(s);
                continue;
            }
            struct item next[COUNTDOWN_MAX_SOLVE];
            int m = 0;
            for (int t = 0; t < n; t++)
                if (t != j) next[m++] = list[t];
            next[i] = (struct item){step->result, s->c->n + k};
            descend(s, next, m, k + 1);
        }
    }
}

static void descend(struct search *s, const struct item *list, int n, int k) {
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++) try_pair(s, list, n, k, i, j);
}

static bool run(struct search *s, int depth, bool fractions) {
    struct item list[COUNTDOWN_MAX_SOLVE];
    for (int i = 0; i < s->c->n; i++) list[i] = (struct item){{s->c->num[i], 1}, i};
    s->depth = depth;
    s->fractions = fractions;
    s->n_wrong = 0;
    descend(s, list, s->c->n, 0);
    return s->found;
}

bool countdown_solve(const struct countdown *c, int n_tries,
                     struct countdown_plan *plan) {
    CHECK(n_tries >= 0 && n_tries <= COUNTDOWN_MAX_TRIES);
    memset(plan, 0, sizeof *plan);
    for (int i = 0; i < c->n; i++) {
        plan->number = i;
        if (c->num[i] == c->target) return true;
    }
    if (c->n > COUNTDOWN_MAX_SOLVE) return false;
    struct search s = {.c = c, .n_tries = n_tries, .plan = plan};
    for (int fractions = 0; fractions < 2; fractions++)
        for (int depth = 1; depth < c->n; depth++)
            if (run(&s, depth, fractions)) return true;
    return false;
}

bool countdown_uses_all(const struct countdown *c) {
    CHECK(c->n >= 2 && c->n <= COUNTDOWN_MAX_SOLVE);
    struct search s = {.c = c, .all = true};
    return run(&s, c->n - 1, false);
}

static int rank(char op) { return op == '+' || op == '-' ? 1 : op ? 2 : 3; }

/* Plans are at most COUNTDOWN_MAX_STEPS deep, and so is the recursion. */
static void push_node(const struct countdown *c, const struct countdown_plan *plan,
                      int node, struct buf *out) {
    if (node < c->n) {
        buf_printf(out, "%lld", (long long)c->num[node]);
        return;
    }
    const struct countdown_step *s = &plan->step[node - c->n];
    int child[2] = {s->node_a, s->node_b};
    for (int side = 0; side < 2; side++) {
        char op = child[side] < c->n ? 0 : plan->step[child[side] - c->n].op;
        bool strict = side && (s->op == '-' || s->op == '/');
        bool parens = strict ? rank(op) <= rank(s->op) : rank(op) < rank(s->op);
        if (side) buf_push(out, &s->op, 1);
        if (parens) buf_puts(out, "(");
        push_node(c, plan, child[side], out);
        if (parens) buf_puts(out, ")");
    }
}

void countdown_push_expr(const struct countdown *c, const struct countdown_plan *plan,
                         struct buf *out) {
    push_node(c, plan, plan->n_steps ? c->n + plan->n_steps - 1 : plan->number, out);
}
