"""The checker math beside Math-Verify, both over the same pairs, turn by turn, in one run.

    python tests/reference/bench_math_verify.py SHARED_DATA [HONE [PAIRS [ROUNDS]]]

math-verify 0.8.0, latex2sympy2_extended 1.10.2, sympy 1.14.0, antlr4-python3-runtime 4.13.2. Run
by hand, from the root. Each round takes the golds of MATH-500 against themselves in a box, first
PAIRS (100) of them through Math-Verify on one core, then all of them through `hone score` on one
thread. Prints the checks a second of each round, and the ratio of the medians. Round 1 is
Math-Verify cold.
"""
import statistics
import sys
import time

from agree_math_verify import golds, hone_says, math_verify_says

data = sys.argv[1]
hone = sys.argv[2] if len(sys.argv) > 2 else "./hone"
n = int(sys.argv[3]) if len(sys.argv) > 3 else 100
rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 3
rows = [{"gold": gold, "pred": "\\boxed{%s}" % gold} for _, gold in golds(data, "math500")]
theirs, ours = [], []
for k in range(rounds):
    start = time.process_time()
    right = sum(math_verify_says(r["gold"], r["pred"]) for r in rows[:n])
    theirs.append(n / (time.process_time() - start))
    verdicts, totals = hone_says(rows, hone)
    ours.append(totals["checks_per_s"])
    print(f"round {k + 1}: math-verify {theirs[-1]:.0f}/s ({right} of {n} equal), "
          f"hone {ours[-1]}/s ({totals['correct']} of {len(rows)} equal)", flush=True)
print(f"median of {rounds}: math-verify {statistics.median(theirs):.0f}/s, "
      f"hone {statistics.median(ours):.0f}/s, "
      f"{statistics.median(ours) / statistics.median(theirs):.0f} times")
