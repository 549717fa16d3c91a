#!/usr/bin/env bash
# tests/test_db_command.sh: `hone db` on runs of the tiny experiment: checks that find what was
# changed, rules of retention and what they leave, JSON lines, many runs in one file, and a
# database of the schema before this one.
. "$(dirname "$0")/lib.sh"
tiny=$top/tests/data/tiny.json
run() { "$HONE" train "$tiny" --threads 1 --set sft.max_steps=5 --set eval.samples=0 "$@"; }
db() { "$HONE" db "$@"; }
sql() { sqlite3 "$1/run.db" "$2"; }
save() { run --set sft.batch_size=64 --out "$1" --set checkpoint.save_steps=2 --set checkpoint.keep_last=100 "${@:2}"; }

t "a run" 0 '^9 steps' save a
t "another" 0 '^9 steps' save b --set seed=8
t "no such action" 64 "'chek' is no action; did you mean 'check'" db chek a
t "no such run" 66 'none: No such file' db check none

# --- check --------------------------------------------------------------------------------------

t "a run is what it should be" 0 '^ok   steps follow each other' db check a
t "to the last byte" 0 '^ok   sums of groups, added up again$' db check a --full
t "as JSON" 0 '^\{"checked": 12, "wrong": 0\}$' db check a --full --json
broken() { # NAME OPTION PATTERN SQL
    rm -rf broken && cp -r a broken && sqlite3 broken/run.db "PRAGMA foreign_keys = OFF; $4"
    t "$1" 65 "^FAIL $3" db check broken $2
}
broken "a hash is changed" "" 'steps follow .*: 1 are not, as step 5$' \
    "UPDATE steps SET weights_after = '0123456789abcdef' WHERE step = 4"
broken "an episode is missing" "" 'every group has its episodes: 1 are not, as group 2' \
    'DELETE FROM verdicts WHERE episode_id = 7; DELETE FROM episodes WHERE id = 7'
broken "traces are missing" "" 'every step has its .*step 3$' 'DELETE FROM traces WHERE step = 3'
broken "sums are missing" "" 'every group has its sums' 'DELETE FROM group_sums WHERE group_id = 3'
broken "a table is missing" "" 'tables and views .*vocabulary is missing' 'DROP TABLE vocabulary'
broken "metrics are missing" "" 'finished steps have' 'DELETE FROM metrics WHERE step = 2'
broken "a reward is changed" --full 'rewards are .*episode 3$' \
    'UPDATE episodes SET reward = 7 WHERE id = 3'
broken "a verdict is changed" --full 'sums of groups' \
    "UPDATE verdicts SET ms = 77 WHERE episode_id = 3 AND checker = 'answer'"
broken "an episode of other weights" --full 'episodes were drawn .*episode 5$' \
    "UPDATE episodes SET weights_hash = '0123456789abcdef' WHERE id = 5"
broken "a verdict of no episode" --full 'every row has what it refers to' \
    "UPDATE verdicts SET episode_id = 4711 WHERE episode_id = 3"
rm -rf broken && cp -r a broken && truncate -s -16384 broken/run.db
t "a file that was cut short" 65 'FAIL the file has the size|malformed' db check broken

# --- prune and vacuum ---------------------------------------------------------------------------

cp -r a c
sql c 'SELECT * FROM v_accuracy_by_step; SELECT * FROM metrics' >curve
t "what would go" 0 '^would remove 24 episodes and 320 traces of 7 steps' \
    db prune c --keep-steps 2 --dry-run
t "nothing went" 0 '^48$' sql c 'SELECT count(*) FROM episodes'
t "prune" 0 '^removes 24 episodes and 320 traces of 7 steps' db prune c --keep-steps 2
t "the newest steps stay" 0 '^8\|12 9\|12 $' sh -c "sqlite3 c/run.db 'SELECT g.step, count(*)
    FROM groups g JOIN episodes e ON e.group_id = g.id GROUP BY 1' | tr '\n' ' '"
t "the curve is the same" 0 '^$' sh -c "sqlite3 c/run.db 'SELECT * FROM v_accuracy_by_step;
    SELECT * FROM metrics' | cmp - curve"
t "and is what it should be" 0 '^ok   sums of groups' db check c --full
t "again removes nothing" 0 '^removes 0 episodes' db prune c --keep-steps 2
t "pages are free" 0 '^[1-9]' sql c 'PRAGMA freelist_count'
t "vacuum" 0 '^c/run.db: 0.[0-9] MiB, was 0.[0-9]$' db vacuum c
t "no page is free" 0 '^0$' sql c 'PRAGMA freelist_count'
t "what stayed can be drawn again" 0 '^24 of 24' "$HONE" replay c --sample 100
t "what went cannot be applied again" 65 'step 1 learnt from was taken out by hone db prune' \
    "$HONE" replay c --to-step 9 --out built
t "a comparison says what it cannot see" 0 'traces out of 7 of the steps .* are compared$' \
    "$HONE" replay a --bisect c
t "and finds no difference in the rest" 0 '^9 of 9 steps are the same$' "$HONE" replay c --bisect a
t "as JSON" 0 '^\{"pruned": 7\}$' "$HONE" replay c --bisect a --json
t "a difference in the rest is found" 65 '^  metrics +1  reward is ' sh -c "rm -rf e && cp -r c e &&
    sqlite3 e/run.db \"UPDATE metrics SET value = 9 WHERE step = 7 AND name = 'reward'\" &&
    $HONE replay a --bisect e"
t "re-scoring leaves it out" 0 '^7 steps were pruned' "$HONE" rescore c --rewards "$tiny"
t "the run can be gone on with" 0 '^11 steps, 2 of them' save c --set grpo.max_steps=6
t "every second step stays" 0 '^removes 0 episodes and 192 traces of 3' \
    db prune b --keep-steps 4 --keep-every 2
t "only some evaluations stay" 0 ', 4 evaluated completions$' db prune b --keep-evals 1
cp -r a bare && rm -rf bare/checkpoints
t "without a checkpoint nothing is pruned" 65 'no whole checkpoint of step 7 or later' \
    db prune bare --keep-steps 2
t "and nothing was" 0 '^48$' sql bare 'SELECT count(*) FROM episodes'
t "rules are needed" 64 'say what stays' db prune a
flock a sleep 5 &
sleep 0.3
t "a run that is being written is left alone" 75 'is writing there' db prune a --keep-steps 2
kill %1

# --- export ---------------------------------------------------------------------------------------

t "TRL's shape" 0 '^\{"prompt": "rev ..", "completion": ".*", "label": (true|false), "answer": "..", "episode": 1, "step": 6, "sample": 0, "reward"' \
    db export a --shape trl
t "a condition" 0 '^2$' sh -c "$HONE db export a --shape trl --where 'step = 7 AND sample < 2
    AND prompt_no = 1' | wc -l"
t "verl's shape, into a file" 0 '^48 episodes into x.jsonl$' \
    db export a --shape verl --out x.jsonl
t "is a file of problems" 0 '^48 problems' \
    "$HONE" eval --model a/final --problems jsonl:x.jsonl --max-completion-length 24
t "each line is JSON" 0 '^48$' sqlite3 :memory: "SELECT count(*) FROM json_each('[' ||
    replace(trim(readfile('x.jsonl'), char(10)), char(10), ',') || ']')
    WHERE value ->> '\$.reward_model.ground_truth' <> '' AND value ->> '\$.extra_info.step' > 5"
cp -r a odd
sql odd "UPDATE episodes SET text = CAST(x'22ff00410a' AS TEXT) WHERE id = 1"
t "bytes that are no text" 0 '"completion": ".".*A.n", "completion_base64": "Iv8AQQo="' \
    db export odd --shape trl --where 'id = 1'
t "a wrong column" 64 "'idd = 1': no such column: idd" db export a --shape trl --where 'idd = 1'
t "two statements" 64 "one condition, without ;" db export a --shape trl \
    --where '1; DELETE FROM episodes'
t "a parenthesis" 64 "syntax error" db export a --shape trl --where '1) OR (1'
t "no shape" 64 '--shape trl or --shape verl' db export a
t "a wrong shape" 64 "must be trl or verl, found 'x'" db export a --shape x

# --- merge ------------------------------------------------------------------------------------------

t "two runs in one file" 0 '^2 runs in all.db$' db merge a b/run.db --out all.db
all() { sqlite3 all.db "$1"; }
t "rows of both" 0 '^48\|48$' all "SELECT sum(run = 1), sum(run = 2) FROM episodes"
t "ids are those of the run" 0 "^$(sql a 'SELECT hex(ids) FROM episodes WHERE id = 17')\$" \
    all 'SELECT hex(ids) FROM episodes WHERE run = 1 AND id = 17'
t "its curves are those of the runs" 0 "^$(sql a 'SELECT reward FROM v_accuracy_by_step WHERE step = 8')\$" \
    all 'SELECT reward FROM v_curves WHERE run = 1 AND step = 8'
t "evaluations side by side" 0 '^2$' all 'SELECT count(DISTINCT run) FROM v_last_evals'
t "not over another file" 73 'it exists already' db merge a --out all.db
t "no run twice" 65 'is the run of a/run.db once more' db merge a a --out twice.db
t "nothing is left" 2 'No such file' sh -c 'ls twice*'
t "it is no run" 65 'holds many runs' "$HONE" show all.db

# --- upgrade ----------------------------------------------------------------------------------------

# older DIR VERSION: gives it the index and the rules that version 5 left out.
older() {
    sqlite3 "$1/run.db" "CREATE INDEX problems_by_key ON problems (kind, key, split);
        PRAGMA writable_schema = ON;
        UPDATE sqlite_schema SET sql = replace(sql,
            'weights_hash  TEXT NOT NULL CHECK (length(weights_hash) = 16)',
            'weights_hash  TEXT NOT NULL' || char(10) || '                CHECK (length(weights_hash)'
            || ' = 16 AND weights_hash NOT GLOB ''*[^0-9a-f]*'')') WHERE name = 'episodes';
        UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (parts = ''{}'' OR json_type', 'CHECK (json_type')
         WHERE name = 'verdicts';
        PRAGMA user_version = $2"
}
cp -r a old
older old 3
sql old 'DROP TABLE vocabulary; DROP TABLE episode_details; DROP TABLE episode_sources;
    DROP TABLE step_queries; DROP TABLE pruned_steps; DROP VIEW v_groups; PRAGMA user_version = 3'
t "an older schema says what to do" 65 'older hone: schema 3, .* hone db upgrade' "$HONE" show old
cp -r old lost
sql lost "UPDATE runs SET start_weights = '0123456789abcdef'"
t "upgrade" 0 '^old/run.db: was schema 3' db upgrade old
t "the vocabulary is that of the policy" 0 '^$' sh -c "sqlite3 old/run.db '
    SELECT token, hex(text) FROM vocabulary' >old.words && sqlite3 a/run.db '
    SELECT token, hex(text) FROM vocabulary' | cmp - old.words"
t "and not empty" 0 '^[1-9][0-9]+$' sql old 'SELECT count(*) FROM vocabulary'
t "nothing is left to do" 0 '^old/run.db: was schema 5, [^|]*\|$' \
    sh -c "$HONE db upgrade old | tr '\n' '|'"
t "a file alone has no policy" 0 'stays empty: lost/run.db is no folder' db upgrade lost/run.db
t "nor has a run whose policy is lost" 0 'stays empty: .* started from weights 0123' db upgrade lost
sql lost "UPDATE runs SET start_weights = (SELECT weights_before FROM steps WHERE step = 1)"
t "once it is back" 0 'its vocabulary has [1-9][0-9]+ tokens now' db upgrade lost
t "it is a database like any other" 0 '^ok   tables and views' db check old --full
t "and can be drawn again" 0 '^48 of 48' "$HONE" replay old --sample 100
sql old 'PRAGMA user_version = 2'
t "much older ones are refused" 65 'its schema is 2, known are 3 to 5' db upgrade old
sql old 'PRAGMA user_version = 3; DROP TABLE metrics; CREATE TABLE metrics (a)'
t "what is none of hone's is left as it is" 65 'its metrics is none of hone' db upgrade old
t "at its version" 0 '^3$' sql old 'PRAGMA user_version'

cp -r a four
older four 4
t "version 4 had an index" 0 '^1$' sql four "SELECT count(*) FROM sqlite_schema WHERE name = 'problems_by_key'"
t "and is brought up" 0 '^four/run.db: was schema 4' db upgrade four
t "to the schema of a new one" 0 '^$' sh -c "for d in a four; do
    sqlite3 \$d/run.db 'SELECT name, sql FROM sqlite_schema ORDER BY name' >\$d.schema; done; cmp a.schema four.schema"
t "sound to SQLite" 0 '^ok$' sql four 'PRAGMA integrity_check'
t "and to hone" 0 '^ok   tables and views' db check four --full
t "its steps can be made again" 0 '^48 of 48' "$HONE" replay four --sample 100
older four 4
sql four "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, ' = 16 AND', ' > 1 AND')
    WHERE name = 'episodes'"
t "other rules than hone's are refused" 65 'its episodes is none of hone' db upgrade four
t "and nothing is changed" 0 '^4\|1$' sql four "SELECT user_version, (SELECT count(*) FROM sqlite_schema
    WHERE name = 'problems_by_key') FROM pragma_user_version"
finish
