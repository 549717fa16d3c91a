#!/usr/bin/env bash
# tests/test_rescore.sh: `hone rescore`: the exact checker of a recorded run is exchanged for a
# sloppy one, and what is reported is what queries written by hand find in the same database.
. "$(dirname "$0")/lib.sh"
sql() { sqlite3 a/run.db "$@"; }
sums() { (cd a && find . -type f -exec sha256sum {} + | sort -k2); }
rescore() { "$HONE" rescore a --rewards "$@"; }

# last PATH: a value of the last line of flips.json
last() { sqlite3 :memory: "SELECT ifnull(round(json_extract(readfile('last.json'), '$1'), 9), '?')"; }

t "a run" 0 '^64 steps' "$HONE" train "$top/tests/data/tiny.json" --out a --threads 1 \
    --set eval.samples=0
cat >sloppy.json <<EOF
{"checkers": [{"name": "answer", "command": ["python3", "$top/tests/plugins/sloppy.py"]},
              {"checker": "format", "weight": 0.25}]}
EOF
sums >before
rescore sloppy.json --json >flips.json || echo "not ok - rescore"
tail -n 1 flips.json >last.json
sums >after
t "nothing of the run is written" 0 '^$' cmp before after

# --- by hand ---------------------------------------------------------------------------------

t "views" 0 '' sqlite3 a.db "ATTACH 'a/run.db' AS run;
    CREATE TABLE e AS
    SELECT e.id, e.group_id, g.step, e.reward AS was_reward, e.advantage AS was_adv,
           a.score = 1 AS was, instr(e.text, substr(p.gold, -1) || '</answer>') > 0
               AND instr(e.text, '2c') = 0 AS now, f.score AS format
      FROM run.episodes e JOIN run.groups g ON g.id = e.group_id
      JOIN run.problems p ON p.id = g.problem_id
      JOIN run.verdicts a ON a.episode_id = e.id AND a.checker = 'answer'
      JOIN run.verdicts f ON f.episode_id = e.id AND f.checker = 'format';
    CREATE TABLE g AS SELECT group_id, avg(now + 0.25 * format) AS mean,
        min(was_reward) < max(was_reward) AS was,
        min(now + 0.25 * format) < max(now + 0.25 * format) AS now FROM e GROUP BY group_id;
    CREATE TABLE a AS SELECT sign(e.was_adv) AS was,
        sign(round(e.now + 0.25 * e.format - g.mean, 9)) AS now FROM e JOIN g USING (group_id);"
hand() { sqlite3 a.db "$1"; }
hand "SELECT id FROM e WHERE was <> now ORDER BY id" >wanted
sqlite3 :memory: "SELECT json_extract(value, '\$.episode') FROM json_each('['
    || replace(trim(readfile('flips.json'), char(10)), char(10), ',') || ']')
    WHERE json_extract(value, '\$.checker') = 'answer'" | sort -n >found
t "the flips are those a query finds" 0 '^$' cmp found wanted
t "there are flips" 0 '^[1-9][0-9]*$' hand "SELECT count(*) FROM e WHERE was AND NOT now"
t "both ways" 0 '^[1-9][0-9]*$' hand "SELECT count(*) FROM e WHERE now AND NOT was"
same() { # NAME PATH QUERY
    t "$1" 0 "^$(hand "SELECT round(($3), 9)")\$" last "$2"
}
same "right then, not now" '$.checkers[0].lost' 'SELECT count(*) FROM e WHERE was AND NOT now'
same "right now, not then" '$.checkers[0].gained' 'SELECT count(*) FROM e WHERE now AND NOT was'
same "groups that become useful" '$.groups_to_useful' 'SELECT count(*) FROM g WHERE now > was'
same "groups that become useless" '$.groups_to_useless' 'SELECT count(*) FROM g WHERE now < was'
for a in plus:1 minus:-1 zero:0; do
    for b in plus:1 minus:-1 zero:0; do
        [ "$a" = "$b" ] || same "advantages, ${a%:*} to ${b%:*}" \
            "\$.advantages.${a%:*}_to_${b%:*}" \
            "SELECT count(*) FROM a WHERE was = ${a#*:} AND now = ${b#*:}"
    done
done
for step in 61 64; do
    same "the curve at step $step" "\$.curve[$((step - 61))].accuracy_now" \
        "SELECT avg(now) FROM e WHERE step = $step"
done
same "and the recorded one" '$.curve[0].accuracy_was' \
    "SELECT avg(was) FROM e WHERE step = 61"

# --- the same rewards, one of several, and what is wrong --------------------------------------

t "the recorded rewards change nothing" 0 '^48 episodes in 12 groups of 4 steps, 0 flips$' \
    rescore a/experiment.json
t "and are the same" 0 '^  the same +48$' rescore a/experiment.json --threads 3
t "for a person" 0 '^answer: spell_backward/1 then, sloppy/1 now$' rescore sloppy.json
t "with a text" 0 '^  text  <think>' rescore sloppy.json --show 1
t "one of them" 0 '^format: not run again$' rescore sloppy.json --checker answer
rescore sloppy.json --checker answer --json >one.json
t "gives the same" 0 '^$' sh -c \
    'for f in flips one; do sed -e "s/\"checkers\".*\"curve\"//" $f.json >$f.cut; done; cmp flips.cut one.cut'
t "no such reward" 64 "no reward of this name; did you mean 'answer'" \
    rescore sloppy.json --checker anser
echo '{"checkers": [{"checker": "partial"}, {"checker": "format"}]}' >partial.json
t "a new name has no record to use" 64 "'partial' of partial.json has no recorded verdicts" \
    rescore partial.json --checker format
t "a new name is scored" 0 '^partial: only now, partial/1; 0 failures$' rescore partial.json
t "an old one is missed" 0 '^answer: only then$' rescore partial.json
echo '{"checkers": [{"checker": "parsial"}]}' >wrong.json
t "a wrong name is named" 78 "^hone rescore: wrong.json: reward.checkers\[0\]" rescore wrong.json
echo '{"chekers": []}' >wrong.json
t "a file that holds no rewards" 78 'wrong.json: must be \{"checkers"' rescore wrong.json
t "a file that is missing" 66 'none.json: No such file' rescore none.json
echo '{"checkers": [{"plugin": "./none.so"}]}' >wrong.json
t "a plug-in that is missing" 69 'none' rescore wrong.json
finish
