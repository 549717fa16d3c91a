/* cli/recorded.c: a step's episodes or traces, read back from run.db. See stage.h. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "cli/stage.h"
#include "db/maintain.h"

static int check_pruned(struct run *r, int step, struct err *err) {
    bool pruned;
    if (db_is_pruned(r->db, step, &pruned, err) != 0) return -1;
    return pruned ? err_set(err, EX_DATAERR,
                            "%s/run.db: what step %d learnt from was taken out by hone db prune",
                            r->dir, step)
                  : 0;
}

int lesson_read(struct run *r, int step, struct lesson *l, struct err *err) {
    struct db_trace *t;
    *l = (struct lesson){0};
    if (check_pruned(r, step, err) != 0) return -1;
    if (db_read_traces(r->db, step, &r->arena, &t, &l->n, err) != 0) return -1;
    if (l->n == 0) return err_set(err, EX_DATAERR, "%s/run.db: step %d has no traces", r->dir, step);
    l->seq = arena_new(&r->arena, (size_t)l->n, sizeof *l->seq);
    for (int k = 0; k < l->n; k++) {
        int n = t[k].n_ids - t[k].n_prompt;
        l->seq[k] = (struct update_seq){.prompt = t[k].ids, .n_prompt = t[k].n_prompt,
                                        .id = t[k].ids + t[k].n_prompt, .n = n};
        l->tokens += n;
    }
    return 0;
}

static enum rollout_finish finish_of(const char *name) {
    if (strcmp(name, "eos") == 0) return FINISH_EOS;
    return strcmp(name, "stop") == 0 ? FINISH_STOP : FINISH_LENGTH;
}

static int read_verdicts(struct run *r, const struct db_episode *e, struct harvest *h,
                         int k, struct err *err) {
    struct verdict *out = &h->verdict[k * r->x.n_rewards];
    struct db_verdict *v;
    int n;
    if (db_read_verdicts(r->db, e->id, &r->arena, &v, &n, err) != 0) return -1;
    for (int c = 0; c < r->x.n_rewards; c++) {
        int i = 0;
        while (i < n && strcmp(v[i].checker, r->x.reward[c].name) != 0) i++;
        if (i == n)
            return err_set(err, EX_DATAERR, "%s/run.db: episode %lld has no verdict of '%s'",
                           r->dir, (long long)e->id, r->x.reward[c].name);
        if (!verdict_status_find(v[i].status, &out[c].status))
            return err_set(err, EX_DATAERR, "%s/run.db: episode %lld has the status '%s'", r->dir,
                           (long long)e->id, v[i].status);
        out[c].score = isnan(v[i].score) ? 0 : v[i].score;
        out[c].ms = v[i].ms;
        h->weight[k * r->x.n_rewards + c] = v[i].weight;
        h->failed[c] += verdict_is_failure(out[c].status);
    }
    return 0;
}

void harvest_take(const struct db_episode *e, struct harvest *h, int k) {
    struct trace *t = &h->trace[k];
    *t = (struct trace){.id = (int *)e->ids + e->n_prompt, .logp = (float *)e->logps,
                        .n = e->n_completion, .finish = finish_of(e->finish_reason),
                        .ms = e->gen_ms};
    h->text[k] = (char *)e->text;
    h->n_text[k] = e->n_text;
    h->scorable[k] = !isnan(e->reward);
    h->reward[k] = h->scorable[k] ? e->reward : 0;
    h->adv[k] = isnan(e->advantage) ? 0 : e->advantage;
    h->score_ms[k] = e->score_ms;
    h->episode[k] = e->id;
    h->tokens += t->n;
    h->truncated += t->finish == FINISH_LENGTH;
}

static int read_group(struct run *r, const struct db_group *g, bool verdicts, struct harvest *h,
                      struct err *err) {
    struct db_episode *e;
    struct db_problem p;
    int n, at = g->prompt_no * h->G;
    if (db_read_problem(r->db, g->problem_id, &r->arena, &p, err) != 0 ||
        db_read_episodes(r->db, g->id, &r->arena, &e, &n, err) != 0)
        return -1;
    if (n != h->G)
        return err_set(err, EX_DATAERR, "%s/run.db: group %lld has %d episodes, %d were drawn",
                       r->dir, (long long)g->id, n, h->G);
    h->problem[g->prompt_no] = (struct problem){
        .kind = p.kind, .key = p.key, .prompt = p.prompt, .gold = p.gold,
        .columns = p.columns};
    h->prompt[g->prompt_no] =
        (struct rollout_prompt){e[0].ids, e[0].n_prompt, e[0].key_step, e[0].key_prompt, n, 0};
    for (int k = 0; k < n; k++) {
        harvest_take(&e[k], h, at + k);
        if (verdicts && read_verdicts(r, &e[k], h, at + k, err) != 0) return -1;
    }
    return 0;
}

int harvest_read(struct run *r, int step, bool verdicts, struct harvest *h, struct err *err) {
    struct db_group *g;
    if (check_pruned(r, step, err) != 0) return -1;
    if (db_read_groups(r->db, step, &r->arena, &g, &h->n_recorded, err) != 0) return -1;
    if (h->n_recorded > h->n_prompts)
        return err_set(err, EX_DATAERR, "%s/run.db: step %d has %d groups, the experiment asks for %d",
                       r->dir, step, h->n_recorded, h->n_prompts);
    for (int p = 0; p < h->n_recorded; p++) {
        if (g[p].prompt_no != p || g[p].n != h->G)
            return err_set(err, EX_DATAERR, "%s/run.db: step %d has no whole group %d", r->dir,
                           step, p);
        if (read_group(r, &g[p], verdicts, h, err) != 0) return -1;
    }
    return 0;
}
