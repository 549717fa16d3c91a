#!/usr/bin/env bash
# tests/test_kill.sh: the tiny run, killed 50 times at random instants and gone on with, ends in
# the bytes of a run that was never killed.
. "$(dirname "$0")/lib.sh"
tiny=$top/tests/data/tiny.json
kills=${HONE_TEST_KILLS:-50}
args=(--set checkpoint.save_steps=5 --set checkpoint.commit_prompts=1)

# Every row, without what is a time.
rows() {
    sqlite3 "$1/run.db" "
        SELECT step, stage, stage_step, state, weights_before, weights_after, learning_rate,
               refusal FROM steps ORDER BY step;
        SELECT stage, name, type, max_steps, finished_at IS NULL FROM stages ORDER BY stage;
        SELECT * FROM problems ORDER BY id;
        SELECT step, idx, problem_id, n_prompt, hex(ids) FROM traces ORDER BY step, idx;
        SELECT * FROM groups ORDER BY id;
        SELECT id, group_id, sample, n_prompt, n_completion, finish_reason, reward, advantage,
               key_seed, key_purpose, key_step, key_prompt, key_sample, weights_hash,
               quote(text), hex(ids), hex(logps), hex(mask) FROM episodes ORDER BY id;
        SELECT episode_id, checker, version, weight, status, score, detail FROM verdicts
         ORDER BY episode_id, checker;
        SELECT step, name, value FROM metrics WHERE name NOT LIKE 'timing_s/%'
           AND name NOT IN ('step_time', 'tokens_per_s') ORDER BY step, name;
        SELECT id, step, spec, mode, k, temperature, n, pass1, ci95, pass_at_k, avg_at_k,
               mean_length, weights_hash FROM eval_runs ORDER BY id;
        SELECT * FROM eval_episodes ORDER BY eval_id, idx, sample;" >"$1.rows" &&
        [ -s "$1.rows" ]
}

# Starts the run and kills it after a random time; 0 when a kill came before the end.
kill_once() {
    "$HONE" train "$tiny" --out killed --threads 1 "${args[@]}" >>killed.log 2>&1 &
    local pid=$! ms=$((RANDOM % 300 + 1))
    sleep "$(printf '0.%03d' "$ms")"
    kill -KILL $pid 2>/dev/null
    wait $pid 2>/dev/null
    local rc=$?
    [ $rc -eq 137 ] || [ $rc -eq 0 ] || bad+=" status $rc"
    [ $rc -eq 137 ]
}

# Until there were enough kills: a run that came to its end is compared, and begun anew.
torture() {
    local done=0 ends=0 bad=""
    while [ $done -lt "$kills" ]; do
        kill_once && done=$((done + 1)) && killed_now=1 || killed_now=0
        if [ -e killed/run.db ]; then
            [ "$(sqlite3 killed/run.db 'PRAGMA integrity_check')" = ok ] || bad+=" integrity"
        fi
        [ $killed_now = 1 ] && continue
        compare || bad+=" differs"
        ends=$((ends + 1))
        rm -rf killed
    done
    "$HONE" train "$tiny" --out killed --threads 1 "${args[@]}" >>killed.log 2>&1 || bad+=" end"
    compare || bad+=" differs"
    echo "$done kills, $((ends + 1)) runs to the end,${bad:- all the same}"
    [ -z "$bad" ] || { tail -n 20 killed.log; return 1; }
}

compare() {
    rows killed && cmp -s whole.rows killed.rows &&
        cmp -s whole/final/model.safetensors killed/final/model.safetensors
}

t "a run that is never killed" 0 '' "$HONE" train "$tiny" --out whole --threads 1 "${args[@]}"
t "its rows" 0 '' rows whole
t "killed at random instants, the same bytes" 0 'all the same$' torture
finish
