#!/usr/bin/env bash
# tests/test_off_policy.sh: stages that learn from another run's episodes (--from-replay), and
# problems chosen by SQL over what was recorded (problems.where): what is recorded of it, the same
# weights again from the log, after a stop and on other threads, and what is refused.
. "$(dirname "$0")/lib.sh"
tiny=$top/tests/data/tiny.json
run() {
    "$HONE" train "$tiny" --set sft.max_steps=40 --set eval.samples=0 \
        --set checkpoint.save_steps=2 --set checkpoint.keep_last=100 "$@"
}
sql() { sqlite3 "$1/run.db" "$2"; }
same_runs() { run_rows "$1" && run_rows "$2" && cmp "$1.rows" "$2.rows"; }

t "a run" 0 '^44 steps' run --out a --threads 1
chosen="SELECT id FROM v_episode WHERE step > 41 AND advantage <> 0 ORDER BY id"
off() { run --from-replay a --where 'step > 41 AND advantage <> 0' "$@"; }

# --- episodes of another run ------------------------------------------------------------------

t "another learns from its episodes" 0 '^44 steps' off --out b --threads 1
t "the query is recorded with every step" 0 "^4\|1\|step > 41 AND advantage <> 0\|$(sql a "$chosen" | wc -l)\$" \
    sql b 'SELECT count(*), count(DISTINCT found), query, found FROM step_queries'
t "and with the run" 0 '^a\|step > 41' sql b \
    "SELECT experiment ->> '\$.replay.from', experiment ->> '\$.replay.where' FROM runs"
t "every one of the chosen is learnt from" 0 "^$(sql a "$chosen" | tr '\n' ' ')\$" sh -c \
    "sqlite3 b/run.db 'SELECT DISTINCT source_id FROM episode_sources ORDER BY 1' | tr '\n' ' '"
t "they are copies, to the bit" 0 '^48$' sqlite3 b/run.db "ATTACH 'a/run.db' AS a;
    SELECT count(*) FROM episodes e JOIN episode_sources s ON s.episode_id = e.id
    JOIN a.episodes o ON o.id = s.source_id WHERE e.ids = o.ids AND e.logps = o.logps
    AND e.text = o.text AND e.advantage = o.advantage AND e.weights_hash = o.weights_hash
    AND e.key_step = o.key_step AND e.key_prompt = o.key_prompt AND e.key_sample = o.key_sample
    AND (SELECT group_concat(score) FROM verdicts v WHERE v.episode_id = e.id) IS
        (SELECT group_concat(score) FROM a.verdicts v WHERE v.episode_id = o.id)"
t "the policy is another one by then" 0 '^3$' sql b "SELECT count(*) FROM metrics
    WHERE name = 'sampling/sampling_logp_difference/max' AND value > 0 AND step > 41"
t "a lower cap truncates more" 0 '^44 steps' off --out low --threads 1 --set replay.importance_cap=0.5
ratio() { sql "$1" "SELECT sum(value) FROM metrics WHERE name = 'clip_ratio/high_mean'"; }
t "and says so" 0 '^1$' sqlite3 :memory: "SELECT $(ratio low) > $(ratio b)"
t "its database is whole" 0 '^ok   sums of groups' "$HONE" db check b --full
t "its weights come again from the log" 0 '^44 of 44 steps applied again' \
    "$HONE" replay b --to-step 44 --out again
t "none of its episodes was drawn there" 65 'b/run.db has no episodes of its own' \
    "$HONE" replay b --sample 3
t "stopped half-way" 0 '^stopped after --max-steps, 42 steps' off --out c --threads 2 --max-steps 42
t "and gone on with, on other threads" 0 '^44 steps, 2 of them' off --out c --threads 1
t "it is the same run" 0 '^$' same_runs b c

# --- problems chosen by SQL -------------------------------------------------------------------

where="visits = 0 OR pass_rate_5 BETWEEN 0.2 AND 0.8"
choose() {
    run --set problems.train=spell_backward:length=2,letters=8,n=20 \
        --set "problems.where=$where" --set grpo.max_steps=10 "$@"
}
t "a curriculum" 0 '^50 steps' choose --out d --threads 1
t "the query is recorded with every step too" 0 "^10\|$where\|20\$" sql d \
    'SELECT count(*), query, max(found) FROM step_queries'
t "no problem comes again that it rules out" 0 '^0$' sql d "
    SELECT count(*) FROM groups g WHERE EXISTS (SELECT 1 FROM groups h WHERE h.step < g.step
    AND h.problem_id = g.problem_id) AND NOT (SELECT sum(c.passed) * 1.0 / sum(c.scored)
    FROM (SELECT id FROM groups h WHERE h.step < g.step AND h.problem_id = g.problem_id
          ORDER BY id DESC LIMIT 5) h JOIN group_checkers c ON c.group_id = h.id
    AND c.checker = 'answer') BETWEEN 0.2 AND 0.8"
t "some come again" 0 '^[1-9]' sql d "SELECT count(*) - count(DISTINCT problem_id) FROM groups"
t "stopped in the middle" 0 '^stopped after --max-steps, 45 steps' choose --out e --threads 2 \
    --max-steps 45
t "gone on with" 0 '^50 steps, 5 of them' choose --out e --threads 1
t "the curriculum is the same" 0 '^$' same_runs d e
t "its episodes can be drawn again" 0 '^20 of 20' "$HONE" replay d --sample 20

# --- what is refused --------------------------------------------------------------------------

t "no SQL" 64 "the condition 'stepp > 3': no such column: stepp" run --from-replay a --out f --where 'stepp > 3'
t "nothing was made" 1 '' test -e f
t "nothing found" 65 'finds no episode with an advantage in a' run --from-replay a --out f --where 'step > 4711'
t "chance in it" 64 "not authorized to use function: random" run --from-replay a --out f --where 'random() > 0'
t "no such run" 66 'none/run.db' run --out f --from-replay none
t "other sampling" 78 "was sampled with another temperature" off --out f --set grpo.temperature=0.7
t "another vocabulary" 78 'the tokens of a are not those of this policy' off --out f \
    --set model.tokenizer=byte
t "a condition without a run" 78 'replay.where.*: needs replay.from' run --out f --where 'step > 1'
t "endless problems" 78 "problems.where: stage 'grpo' has endless problems" \
    run --out f --set problems.train=countdown:numbers=3 --set problems.where=1
t "a wrong curriculum" 64 "no such column: pas_rate" choose --out f \
    --set 'problems.where=pas_rate > 0.5'
t "nothing was made of it" 1 '' test -e f
t "one that takes nothing yet" 65 "step 41: problems.where finds no problem" choose --out g \
    --set 'problems.where=pass_rate > 0.5'
sql a 'DELETE FROM verdicts WHERE episode_id = 48; DELETE FROM episodes WHERE id = 48'
rm -rf c && t "stopped" 0 '^stopped' off --out c --threads 1 --max-steps 42 
sql a "UPDATE episodes SET advantage = 0 WHERE id IN ($chosen) AND sample = 1"
t "a source that changed on the way" 65 'replay.where: finds [0-9]+ episodes of a now, found' \
    off --out c --threads 1
finish
