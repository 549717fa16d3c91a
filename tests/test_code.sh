#!/usr/bin/env bash
# Programs in a sandbox against tests of every shape: right ones pass, wrong ones do not.
. "$(dirname "$0")/lib.sh"

echo '{"pred": "print(1)", "tests": [{"input": "", "output": "1"}]}' >probe.jsonl
if ! "$HONE" score --checker code --data probe.jsonl >probe.out 2>&1; then
    echo "ok 1 # SKIP no sandbox on this machine: $(head -n 1 probe.out)"
    echo "1..1"
    exit 0
fi

# rows NAME [OPTIONS]: scores the rows of stdin, "status score reason" a row into NAME.got.
# A machine that is busy with other things is no reason to fail.
long='"timeout": 120, "compile_timeout": 240'
rows() {
    cat >"$1.jsonl"
    "$HONE" score --checker code --data "$1.jsonl" --options "{${2:-$long}}" --json >"$1.out" ||
        echo "status $?"
    sed -nE 's/.*"status": "([a-z_]*)", "score": ([0-9.e-]*), .*"reason": "(.*)"}$/\1 \2 \3/p' \
        "$1.out" >"$1.got"
}

rows shapes <<'EOF'
{"test_list": ["assert f(2) == 4", "assert f(-3) == 9"], "pred": "```python\ndef f(x): return x * x\n```"}
{"test_list": ["assert f(2) == 4", "assert f(-3) == 9"], "pred": "def f(x): return x + x"}
{"test_list": ["assert f([1]) == (1,)"], "pred": "def f(x): return x"}
{"test_list": ["assert abs(f(2) - 0.333) < 0.001"], "pred": "def f(x): return 1 / 3"}
{"test_setup_code": "root = Node(5)", "test_list": ["assert f(root) == 5"], "pred": "class Node:\n  def __init__(s, v): s.v = v\ndef f(n): return n.v"}
{"prompt": "import math\ndef f(x):\n    \"\"\" area \"\"\"\n", "test": "def check(candidate):\n    assert candidate(1) == 3\n", "entry_point": "f", "pred": "    return math.floor(math.pi * x)"}
{"prompt": "def f(x):\n", "test": "def check(candidate):\n    for i in range(9):\n        assert candidate(i) == i * i\n", "entry_point": "f", "pred": "    return x ** 2"}
{"prompt": "def f(x):\n", "test": "def check(candidate):\n    for i in range(9):\n        assert candidate(i) == i * i\n", "entry_point": "f", "pred": "    return x + x"}
{"public_tests": {"input": ["1 2\n"], "output": ["3\n"]}, "private_tests": {"input": ["5 5\n"], "output": ["10\n"]}, "pred": "print(sum(map(int, input().split())))"}
{"public_tests": {"input": ["1 2\n"], "output": ["3\n"]}, "private_tests": {"input": ["5 5\n"], "output": ["10\n"]}, "pred": "print(3)"}
{"public_test_cases": "[{\"input\": \"[1,2]\\n3\", \"output\": \"[true, null, \\\"\\u00e9\\\"]\", \"testtype\": \"functional\"}]", "metadata": "{\"func_name\": \"go\"}", "starter_code": "class Solution:", "pred": "class Solution:\n  def go(self, a, b): return (a == [1, 2] and b == 3, None, 'é')"}
{"public_test_cases": [{"input": "4", "output": "16", "testtype": "stdin"}], "pred": "print(int(input()) ** 2)"}
{"input_output": "{\"inputs\": [[1, \"a\"]], \"outputs\": [\"aa\"], \"fn_name\": \"g\"}", "pred": "def g(n, s): return s * (n + 1)"}
{"reward_model": {"ground_truth": "{\"inputs\": [\"3\"], \"outputs\": [\"3\"]}"}, "pred": "print(input())"}
{"tests": [{"input": "x", "output": "x"}, "assert f() == 1"], "pred": "def f(): return 1\nif __name__ == '__main__': print(input())"}
{"test_list": ["assert f(3) == sys.maxsize"], "pred": "import sys\ndef f(x): return sys.maxsize"}
{"test_list": ["assert f(3) == sys.maxsize"], "pred": "class sys: maxsize = 1\ndef f(x): return 1"}
{"test_list": ["s = Stack(); s.push(3); assert s.pop() == 3 and len(s) == 0"], "pred": "class Stack:\n  def __init__(s): s.l = []\n  def push(s, x): s.l += [x]\n  def pop(s): return s.l.pop()\n  def __len__(s): return len(s.l)"}
{"test_list": ["try:\n  f(1)\n  assert False\nexcept ValueError: pass"], "pred": "def f(x): raise ValueError"}
EOF
cat >shapes.want <<'EOF'
ok 1 passed
ok 0 test 2 of 2: wrong value -6
ok 0 test 1 of 1: wrong value [1]
ok 1 passed
ok 1 passed
ok 1 passed
ok 1 passed, by asserts that ran beside it
ok 0 test 1 of 1: it raised AssertionError
ok 1 passed
ok 0 test 2 of 2: wrong output
ok 1 passed
ok 1 passed
ok 1 passed
ok 1 passed
ok 1 passed
ok 1 passed, by asserts that ran beside it
ok 0 test 1 of 1: it raised AssertionError
ok 1 passed, by asserts that ran beside it
ok 1 passed, by asserts that ran beside it
EOF
t "tests of every shape" 0 "" diff shapes.want shapes.got

rows ends <<'EOF'
{"test_list": ["assert f(2) == 4"], "pred": "def f(x):\n  while True: pass", "timeout": 0.5}
{"test_list": ["assert f(2) == 4"], "pred": "def f(x): raise KeyError(x)"}
{"test_list": ["assert f(2) == 4"], "pred": "def f(x) return 4"}
{"test_list": ["assert f(2) == 4"], "pred": "import os; os._exit(0)"}
{"test_list": ["assert f(2) == 4"], "pred": ""}
{"test_list": ["assert f(2) == 4"], "pred": "<think>def f(x): return 4"}
{"test_list": [], "pred": "print(1)"}
{"tests": [{"input": "", "output": " \n"}], "pred": ""}
{"tests": [{"input": "", "output": "1"}], "pred": "print(1)\nraise SystemExit(3)"}
{"tests": [{"input": "", "output": "1"}], "pred": "import sys\nwhile 1: sys.stdout.write('1' * 1000000)"}
{"test_list": ["assert f(lambda y: y + 1) + 1 == 4"], "pred": "def f(g): return g(2)"}
EOF
cat >ends.want <<'EOF'
ok 0 test 1 of 1: not done within 0.5 s
ok 0 test 1 of 1: it raised KeyError
ok 0 test 1 of 1: it cannot be loaded: SyntaxError
ok 0 test 1 of 1: it ended early
unparsable 0 the completion is empty
unparsable 0 the thinking does not end
not_scorable 0 no tests
not_scorable 0 a program that does nothing would pass
ok 0 test 1 of 1: status 3: 
ok 0 test 1 of 1: its output has no end
undecided 0 test 1 hands over what is no plain data
EOF
t "how a program ends" 0 "" diff ends.want ends.got

rows partial "$long, \"partial\": \"yes\"" <<'EOF'
{"test_list": ["assert f(2) == 4", "assert f(3) == 9", "assert f(0) == 0", "assert f(1) == 1"], "pred": "def f(x): return x + x"}
{"tests": [{"input": "1", "output": "1"}, {"input": "2", "output": "3"}], "pred": "print(input())"}
EOF
t "partial credit" 0 "^ok 0.5 test 2 of 4: wrong value 6 ok 0.5 test 2 of 2: wrong output $" tr '\n' ' ' <partial.got

for warm in yes no; do
    rows $warm "$long, \"warm\": \"$warm\", \"output\": \"tokens\", \"tolerance\": 1e-6" <<'EOF'
{"tests": [{"input": "2 3", "output": "0.6666667"}], "pred": "a, b = map(int, input().split())\nprint(a / b)"}
{"tests": [{"input": "2 3", "output": "0.67"}], "pred": "a, b = map(int, input().split())\nprint(a / b)"}
EOF
    t "tokens within a tolerance, warm $warm" 0 "^ok 1 passed ok 0 test 1 of 1: wrong output $" tr '\n' ' ' <$warm.got
done

bad() {
    printf '%s\n' "$3" >bad.jsonl
    t "$1" 65 "$2" "$HONE" score --checker code --data bad.jsonl
}
bad "a language nobody knows" "bad.jsonl:1: no language 'pyton'; did you mean 'python3'" \
    '{"pred": "", "language": "pyton", "tests": []}'
bad "asserts of another language" "calls and asserts are for python3, not for bash" \
    '{"pred": "", "language": "bash", "test_list": ["assert f() == 1"]}'
bad "packed tests" '"private_test_cases": a text that is no JSON' \
    '{"pred": "", "private_test_cases": "eJxrYJmayg=="}'
bad "inputs without outputs" "lists of one length" \
    '{"pred": "", "public_tests": {"input": ["1"], "output": []}}'
t "an option out of range" 78 "tolerance: is for" "$HONE" score --checker code --data bad.jsonl \
    --options '{"tolerance": 0.1}'

t "the layers and languages of this machine" 0 "^  rlimits +yes$" "$HONE" doctor
t "a layer that is none" 64 "no sandbox layer 'secomp'; did you mean 'seccomp'" "$HONE" doctor \
    --sandbox namespaces,rlimits,secomp
cat >experiment.json <<'EOF'
{"name": "x", "model": {"config": {"hidden_size": 32}}, "problems": {"train": "code:shapes.jsonl"},
 "stages": [{"type": "grpo", "max_steps": 1}]}
EOF
head -n 2 shapes.jsonl | sed 's/^{/{"prompt": "square it", /' >tasks.jsonl
sed -i 's/shapes.jsonl/tasks.jsonl/' experiment.json
t "programs need their checker" 78 'stages\[0\]: its problems need \{"checker": "code"\}' "$HONE" \
    train experiment.json --out run
t "a layer of an experiment that is none" 78 "reward.sandbox.*: no sandbox layer 'cgruop'" "$HONE" \
    train experiment.json --out run --set reward.sandbox=namespaces,rlimits,cgruop

# one right and one wrong program a language
run_language() {
    local name=$1 right=$2 wrong=$3
    jq_row() { printf '{"language": "%s", "tests": [{"input": "3 4\\n", "output": "7"}, {"input": "-1 1\\n", "output": "0"}], "pred": "%s"}\n' "$name" "$1"; }
    { jq_row "$right"; jq_row "$wrong"; } >"$name.rows"
    if ! "$HONE" score --checker code --data "$name.rows" >"$name.err" 2>&1 &&
        grep -q "not on this machine" "$name.err"; then
        n=$((n + 1))
        echo "ok $n - $name # SKIP $(sed 's/.*: the language/the language/' "$name.err")"
        return
    fi
    rows "$name" <"$name.rows"
    t "$name: a right and a wrong program" 0 "^ok 1 passed ok 0 test 1 of 2: wrong output $" \
        tr '\n' ' ' <"$name.got"
}
run_language c '#include <stdio.h>\nint main(void) { int a, b; scanf(\"%d %d\", &a, &b); printf(\"%d\\n\", a + b); }' \
    '#include <stdio.h>\nint main(void) { int a, b; scanf(\"%d %d\", &a, &b); printf(\"%d\\n\", a - b); }'
run_language cpp '#include <bits/stdc++.h>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b; }' \
    '#include <iostream>\nint main() { std::cout << 8; }'
run_language javascript 'const [a, b] = require(\"fs\").readFileSync(0, \"utf8\").split(\" \").map(Number); console.log(a + b)' \
    'console.log(\"34\")'
run_language lua 'local a, b = io.read(\"n\", \"n\") print(a + b)' 'print(1)'
run_language bash 'read a b; echo $((a + b))' 'read a b; echo $((a * b))'
rows broken <<'EOF'
{"language": "c", "tests": [{"input": "", "output": "1"}], "pred": "int main(void) { return }"}
EOF
t "a program that does not compile" 0 "^ok 0 test 1 of 1: does not compile: main.c: In function" cat broken.got
finish
