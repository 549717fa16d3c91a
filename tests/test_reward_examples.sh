#!/usr/bin/env bash
# tests/test_reward_examples.sh: experiments/rewards/, each way to write a reward: built as its
# head says, and in a real run.
. "$(dirname "$0")/lib.sh"
rewards=$top/experiments/rewards
shim=$top/reward/python/hone_reward.py
: "${CC:=cc}" "${CXX:=c++}"

t "the C example builds" 0 '' "$CC" -O2 -Wall -Wextra -Werror -fPIC -shared \
    -fvisibility=hidden -iquote "$top/reward" "$rewards/digits.c" -o digits.so
t "the C++ example builds" 0 '' "$CXX" -O2 -Wall -Wextra -Werror -fPIC -shared \
    -fvisibility=hidden -iquote "$top/reward" "$rewards/reversed.cc" -o reversed.so
t "the program in C builds" 0 '' "$CC" -O2 -Wall -Wextra -Werror "$rewards/brief.c" -o brief -lcjson
start_server "$rewards/server.py"

# run NAME ENTRY...: beside the answer's checker; into NAME.said, of each reward: its name and
# version, its verdicts, their statuses, whether not all scores are the same, a part.
run() {
    local name=$1
    shift
    "$HONE" train "$rewards/experiment.json" --out "$name" --threads 1 \
        --set coldstart.max_steps=30 --set grpo.max_steps=2 --set 'problems.eval=""' \
        --set "reward.checkers=[{\"checker\":\"answer\"}$(printf ',%s' "$@")]" || return
    sqlite3 "$name/run.db" "
        SELECT checker, version, count(*), group_concat(DISTINCT status),
               min(score) < max(score), min(parts) FROM verdicts
         GROUP BY checker ORDER BY checker" >"$name.said"
}
# In an experiment there is room for the answer's checker and seven more.
python() { echo "{\"name\":\"$1\",\"command\":[\"python3\",\"$shim\",\"$rewards/$2\"],\"timeout\":60}"; }
said() { t "$1: ${2%%\\*}" 0 "^$2$" cat "$1.said"; }

t "a run with one of each" 0 '^32 steps in ' run each \
    '{"plugin":"./digits.so","weight":0.1,"options":{"enough":0.5}}' '{"plugin":"./reversed.so"}' \
    '{"command":["./brief"]}' "{\"command\":[\"python3\",\"$rewards/letters.py\"],\"timeout\":60}" \
    "{\"url\":\"$url\",\"name\":\"server\",\"timeout\":60}" \
    "$(python close trl_rewards.py:close)" "$(python verl verl_score.py)"
file='sha256:[0-9a-f]{16}'
said each 'brief\|brief/1\|128\|ok\|1\|\{\}'
said each "close\\|close/$file\\|128\\|ok\\|1\\|\\{\\}"
said each 'digits\|digits/1\|128\|(ok|unparsable|ok,unparsable|unparsable,ok)\|1\|\{"digits": [0-9]+\}'
said each 'letters\|letters/1\|128\|(ok|unparsable|ok,unparsable|unparsable,ok)\|1\|\{.+\}'
said each 'reversed\|reversed/1\|128\|(ok|unparsable|ok,unparsable|unparsable,ok)\|1\|\{.+\}'
said each 'server\|letters/1\|128\|(ok|unparsable|ok,unparsable|unparsable,ok)\|1\|\{.+\}'
said each "verl\\|compute_score/$file\\|128\\|ok\\|1\\|\\{\"acc\": [01], \"answer_length\": [0-9]+\\}"
t "a server's verdicts are those of the same program" 0 '^0$' sqlite3 each/run.db "
    SELECT count(*) FROM verdicts a JOIN verdicts b USING (episode_id)
     WHERE a.checker = 'letters' AND b.checker = 'server'
       AND (a.status, a.score, a.detail, a.parts) <> (b.status, b.score, b.detail, b.parts)"

t "a run with the other functions in Python" 0 '^32 steps in ' run python \
    "$(python short trl_rewards.py:short)" "$(python polite trl_rewards.py:polite)" \
    "$(python gym gym_scorer.py)"
said python "gym\\|score_answer/$file\\|128\\|ok\\|1\\|\\{\\}"
said python "polite\\|polite/$file\\|128\\|(ok,not_scorable|not_scorable,ok)\\|[01]\\|\\{\\}"
said python "short\\|short/$file\\|128\\|ok\\|1\\|\\{\\}"
finish
