#!/usr/bin/env bash
# tests/test_reward_py.sh: hone-reward-py, laid out as installed: functions of TRL, verl and
# reasoning-gym, called as their own trainers call them.
. "$(dirname "$0")/lib.sh"
forms=$top/tests/plugins/rewards_py.py

mkdir -p usr/bin usr/share/hone/python
cp "$top/reward/python/hone-reward-py" usr/bin/
cp "$top/reward/python/hone_reward.py" usr/share/hone/python/
shim=$dir/usr/bin/hone-reward-py

# ask COLUMNS TARGET [ARGUMENT]...: what it says to a hello (with OPTIONS) and to a group of "7",
# an answer in tags, and nothing.
OPTIONS='{}'
ask() {
    local columns=$1
    shift
    printf '%s\n' "{\"hone_reward\":1,\"type\":\"hello\",\"options\":$OPTIONS}" \
        "{\"hone_reward\":1,\"type\":\"score\",\"id\":5,\"problem\":{\"kind\":\"jsonl\",\"prompt\":\"3+4\",\"gold\":\"7\",\"columns\":$columns},\"max_tokens\":64,\"step\":3,\"max_steps\":9,\"later\":{},\"samples\":[{\"text\":\"7\",\"ids\":[4]},{\"text\":\"<answer> 7</answer>\",\"ids\":[1,2,3]},{\"text\":\"\",\"ids\":[]}]}" |
        "$shim" "$@" 2>said.txt | tr -d ' '
}
f() { ask '{}' "$forms:$1" "${@:2}"; }
results() { echo "^\{\"id\":5,\"results\":\[$1\]\}$"; }
scores() { results "\{\"score\":$1,\"parts\":\{\}\},\{\"score\":$2,\"parts\":\{\}\},\{\"score\":$3,\"parts\":\{\}\}"; }

# --- TRL ----------------------------------------------------------------------------------------

t "it says who it is" 0 '^\{"hone_reward":1,"name":"texts","version":"sha256:[0-9a-f]{16}","deterministic":false\}$' f texts
t "or what it is told to" 0 '"name":"mine","version":"3","deterministic":true' \
    f texts --name mine --version 3 --deterministic
t "texts" 0 "$(scores 1.0 19.0 0.0)" f texts
t "messages, where the prompt is messages" 0 "$(scores 1.0 19.0 0.0)" \
    ask '{"prompt":[{"role":"user","content":"3+4"}]}' "$forms:messages"
t "messages, where they are asked for" 0 "$(scores 1.0 19.0 0.0)" f messages --conversational yes
t "texts, where they are asked for" 0 "$(scores 1.0 19.0 0.0)" \
    ask '{"prompt":[{"role":"user","content":"3+4"}]}' "$forms:texts" --conversational no
t "columns, ids, the step, and the gold under a name of its own" 0 "$(scores 4.0 6.0 3.0)" \
    ask '{"prompt":"3+4","level":2,"source":"book"}' "$forms:columns"
t "a column goes before the gold" 0 "$(scores 3.0 5.0 2.0)" \
    ask '{"prompt":"3+4","level":2,"source":"book","answer":"8"}' "$forms:columns"
t "one that takes no other keywords" 0 "$(scores 1.0 1.0 1.0)" f bare
t "the older name of the ids" 0 "$(scores 1.0 3.0 0.0)" f old_name
t "None is not scorable, True is 1" 0 \
    "$(results '\{"score":1.0,"parts":\{\}\},\{"score":1.0,"parts":\{\}\},null')" f some
t "what it logs are parts, and what it prints is no answer" 0 \
    '"results":\[\{"score":0.25,"parts":\{"length":1.0,"mean":0.5\}\}' f noted
t "it printed to standard error" 0 'a reward may print' cat said.txt
t "an async function" 0 "$(scores 0.5 0.5 0.5)" f slow
t "an object that is called" 0 "$(scores 0.75 0.75 0.75)" f callable_object
OPTIONS='{"base": 0.125}'
t "a factory is called with the options" 0 "$(scores 0.125 0.125 0.125)" f Callable --factory
OPTIONS='{"weight": 0.5}'
t "else the function is" 0 "$(scores 0.5 0.5 0.5)" f weighed
OPTIONS='{}'
t "an exception is the group's error" 0 "^\{\"id\":5,\"error\":\"KeyError:'nodictionarytoday'\"\}$" f raises
t "with its traceback on standard error" 0 'in raises' cat said.txt
t "too few rewards are an error" 0 '"error":"ValueError:itreturned1rewardsfor3completions"' f fewer
t "what is no number is crashed" 0 "$(results '\{"status":"crashed","reason":"itsscoreisnotanumber"\},\{"status":"crashed","reason":"itsscoreisinfinite"\},\{"status":"crashed","reason":".high.isnoscore"\}')" f odd
t "one that leaves has no answer" 3 '"name":"leaves"' f leaves

# --- verl ---------------------------------------------------------------------------------------

row='{"data_source":"book/7","reward_model":{"style":"rule","ground_truth":{"target":"7"}},"extra_info":{"index":4}}'
t "verl: a dict with its extras as parts, a flaw of one sample is its own" 0 \
    "$(results '\{"score":1.0,"parts":\{"acc":1.0\}\},\{"score":0.0,"parts":\{"acc":1.0\}\},\{"status":"crashed","reason":"ValueError:nothingtoscore"\}')" \
    ask "$row" "$forms"
OPTIONS='{"bonus": 0.5}'
t "verl: keywords of its own" 0 '"score":1.5,' ask "$row" "$forms"
OPTIONS='{}'
t "verl: async" 0 "$(scores 1.0 0.0 0.0)" f compute_async
t "verl: a batch, and pairs" 0 "$(scores 1.0 19.0 0.0)" f compute_batch

# --- reasoning-gym --------------------------------------------------------------------------------

row='{"question":"3+4","answer":"7","metadata":{"difficulty":2}}'
t "reasoning-gym: the last answer, or None" 0 "$(scores 0.01 1.0 0.01)" ask "$row" "$forms:gym"

# --- what cannot be served ---------------------------------------------------------------------------

t "a style that is not to be seen" 0 'itsparametersareofnoknownstyle;say--style' f unclear
t "no such file" 0 '"error":"none.py:nosuchfile"' ask '{}' none.py
t "no such function" 0 '"error":".*ithasnonone"' f none
printf 'def a(completions): ...\ndef b(completions): ...\n' >two.py
t "more than one" 0 'two.py:morethanonereward,a,b;nameone' ask '{}' two.py
printf 'import re\nx = 1\n' >no.py
t "none at all" 0 'nofunctionwiththeparametersofareward' ask '{}' no.py
printf 'def a(:\n' >broken.py
t "a file that is no Python" 0 '"error":"SyntaxError:' ask '{}' broken.py
t "no such module" 0 "\"error\":\"ModuleNotFoundError:Nomodulenamed'no_such_package'\"" ask '{}' no_such_package:f
finish
