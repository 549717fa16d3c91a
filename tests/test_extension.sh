#!/usr/bin/env bash
# tests/test_extension.sh: episode_tokens in the sqlite3 shell: tokens, their texts, log-probs,
# entropies and experts, joined to rewards and updates; and that recording them moves nothing.
. "$(dirname "$0")/lib.sh"
extension=$(dirname "$HONE")/hone_sqlite.so
run() {
    "$HONE" train "$top/tests/data/tiny.json" --threads 1 --set sft.max_steps=40 \
        --set eval.samples=0 --set grpo.num_iterations=1 --out "$@"
}
ask() { sqlite3 -cmd ".load $extension" "${db-a/run.db}" "$1"; }
tokens='groups g JOIN episodes e ON e.group_id = g.id JOIN episode_tokens(e.id) t'

t "a run that records them" 0 '^44 steps' run a --set record.entropy=true --set record.experts=true
t "a row a token" 0 '^1$' ask "SELECT min(n = n_prompt + n_completion) FROM (SELECT e.*,
    count(*) AS n FROM $tokens GROUP BY e.id)"
t "positions count up" 0 '^0,1,2,3,4,5,6,7$' ask \
    "SELECT group_concat(position) FROM (SELECT * FROM episode_tokens(5) LIMIT 8)"
t "texts make the completion" 0 '^48$' ask "SELECT sum(said = text) FROM (SELECT e.text,
    group_concat(CASE WHEN t.text NOT IN ('<eos>', '<pad>', '<bos>', '<unk>') THEN t.text
    ELSE '' END, '') AS said FROM $tokens WHERE t.position >= e.n_prompt GROUP BY e.id)"
t "and the prompt" 0 '^<bos>rev [a-h]{2}$' ask "SELECT group_concat(t.text, '')
    FROM episodes e JOIN episode_tokens(e.id) t WHERE e.id = 3 AND t.position < e.n_prompt"
t "ids are those of the blob" 0 '^1$' ask "SELECT substr(hex(e.ids), 1 + 8 * t.position, 8) =
    printf('%02X%02X%02X%02X', token & 255, (token >> 8) & 255, 0, 0)
    FROM episodes e JOIN episode_tokens(e.id) t WHERE e.id = 7 AND t.position = 9"
t "log-probs are of the completion" 0 '^0\|1$' ask "SELECT max(t.logp IS NOT NULL AND
    t.position < e.n_prompt), min(t.logp <= 0) FROM $tokens"
t "their entropies average to the step's" 0 '^4$' ask "SELECT sum(abs(mean - value) < 1e-6)
    FROM (SELECT g.step, avg(entropy) AS mean FROM $tokens WHERE in_loss GROUP BY g.step)
    JOIN metrics m USING (step) WHERE m.name = 'entropy'"
t "two experts of four in one layer" 0 '^1\|2\|0\|3$' ask "SELECT max(json_array_length(experts)),
    min(json_array_length(experts, '\$[0]')), min(x.value), max(x.value)
    FROM $tokens JOIN json_each(t.experts, '\$[0]') x WHERE t.experts IS NOT NULL"
t "never the same twice" 0 '^0$' ask "SELECT count(*) FROM $tokens
    WHERE experts ->> '\$[0][0]' = experts ->> '\$[0][1]'"
t "tokens to rewards to updates" 0 '^4$' ask "SELECT count(*) FROM (SELECT s.step, e.reward > 0,
    avg(t.logp), s.learning_rate, s.weights_after FROM steps s JOIN groups g ON g.step = s.step
    JOIN episodes e ON e.group_id = g.id JOIN episode_tokens(e.id) t WHERE t.in_loss
    GROUP BY s.step)"
t "masked tokens are not in the loss" 0 '^0$' ask "SELECT count(*) FROM $tokens
    WHERE t.in_loss AND e.truncated"
t "an episode that is not there" 0 '^0$' ask "SELECT count(*) FROM episode_tokens(4711)"
t "none" 0 '^0$' ask "SELECT count(*) FROM episode_tokens(NULL)"
t "without an episode" 1 'no query solution' ask "SELECT * FROM episode_tokens"

# --- what is recorded moves nothing -----------------------------------------------------------

t "a run that records none" 0 '^44 steps' run b
t "has the same weights" 0 "^$(sqlite3 a/run.db 'SELECT weights_after FROM steps WHERE step = 44')" \
    sqlite3 b/run.db 'SELECT weights_after FROM steps WHERE step = 44'
db=b/run.db t "and NULLs" 0 '^\|$' ask "SELECT max(entropy), max(experts) FROM $tokens"
t "recorded ones are drawn again as well" 0 '^48 of 48' "$HONE" replay a --sample 100
t "a database that holds them is whole" 0 '^ok   every row has what' "$HONE" db check a --full
t "killed before its update" 0 '' sqlite3 a/run.db "DELETE FROM metrics WHERE step = 44;
    DELETE FROM episode_details WHERE episode_id > 36;
    UPDATE steps SET state = 'sampled', weights_after = NULL, wall_s = NULL,
    finished_at = NULL WHERE step = 44; UPDATE stages SET finished_at = NULL WHERE stage = 2"
rm -r a/final a/checkpoints/step-44
t "gone on with" 0 '^44 steps, 1 of them' run a --set record.entropy=true --set record.experts=true
t "they are recorded then" 0 '^48$' ask 'SELECT count(*) FROM episode_details'

# --- what cannot be -------------------------------------------------------------------------------

t "experts that are computed again" 78 'record.experts=true: needs gradient_checkpointing false' \
    run c --set record.experts=true --set gradient_checkpointing=true
sqlite3 b/run.db "UPDATE episode_details SET entropies = x'00000000' WHERE episode_id = 5;
    INSERT OR REPLACE INTO episode_details VALUES (5, x'00000000', NULL)"
db=b/run.db t "a blob of the wrong size" 11 'episode 5 is damaged' ask \
    "SELECT count(entropy) FROM episode_tokens(5)"
sqlite3 b/run.db "INSERT OR REPLACE INTO episode_details VALUES (5, NULL, x'070102')"
db=b/run.db t "experts of the wrong size" 11 'episode 5 is damaged' ask \
    "SELECT count(experts) FROM episode_tokens(5)"
finish
