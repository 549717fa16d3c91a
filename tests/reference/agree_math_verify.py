"""Where the checker math and Math-Verify differ, over pairs made from public sets.

    python tests/reference/agree_math_verify.py SHARED_DATA OUT.tsv [HONE]

math-verify 0.8.0, latex2sympy2_extended 1.10.2, sympy 1.14.0, antlr4-python3-runtime 4.13.2. Run
by hand, from the root. SHARED_DATA holds math500/, gsm8k/, svamp/ and asdiv/. OUT.tsv gets a row
for each pair on which the two differ: set, row of the set, the rule that made the answer, what
the answer should be, both verdicts. math_verify_differences.tsv beside this file has them, each
decided by hand; the table holds no text of the sets.
"""
import json
import re
import subprocess
import sys
import tempfile

SETS = {"math500": ("test.jsonl", "answer", 1), "gsm8k": ("test.jsonl", "answer", 16),
        "svamp": ("test.jsonl", "Answer", 16), "asdiv": ("test.jsonl", "answer", 32)}

# Rules on which the two differ nearly always: a few of each say as much as all.
OFTEN = {"changed mind", "percent", "kilometres", "either", "said", "a little more", "thinking"}


def golds(data, name):
    """Row number and gold of every k-th row."""
    file, key, step = SETS[name]
    for i, line in enumerate(open(f"{data}/{name}/{file}")):
        gold = str(json.loads(line)[key])
        gold = gold.split("####")[-1].strip()
        if name == "svamp" and gold.endswith(".0"):
            gold = gold[:-2]
        if i % step == 0:
            yield i, gold


def number(gold):
    """The number and what stands around it, or None."""
    m = re.fullmatch(r"(\\?\$)?(-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)(?: \((.*)\))?",
                     gold)
    return (m.group(2).replace(",", ""), m.group(3)) if m else None


def of_number(value, unit):
    """(rule, answer, should it be equal) for a plain number."""
    whole = "." not in value
    yield "box", "\\boxed{%s}" % value, True
    yield "dollars", "So the answer is $%s$." % value, True
    yield "sentence", "The answer is %s." % value, True
    yield "said", "So in the end there are %s." % value, True
    yield "thinking", "<think>\\boxed{77}</think> It is \\boxed{%s}." % value, True
    yield "changed mind", "First \\boxed{77}, but checked again \\boxed{%s}." % value, True
    yield "percent", "\\boxed{%s\\%%}" % value, None
    yield "kilometres", "\\boxed{%s\\text{ km}}" % value, None
    if whole:
        n = int(value)
        yield "decimals", "\\boxed{%s.00}" % value, True
        yield "grouped", "\\boxed{%s}" % f"{n:,}", True
        yield "product", "\\boxed{%d \\times %d}" % (n, 1), True
        yield "sum", "\\boxed{%d+%d=%d}" % (n - 1, 1, n), True
        yield "power", "\\boxed{\\sqrt{%d}}" % (n * n), n >= 0
        yield "scientific", "\\boxed{%s \\times 10^{3}}" % (n / 1000), True
        yield "one more", "\\boxed{%d}" % (n + 1), False
        yield "half more", "\\boxed{%d.5}" % n, False
        yield "a little more", "\\boxed{%d.0000001}" % n, False
        yield "ten times", "\\boxed{%d}" % (n * 10 if n else 10), False
        yield "fraction", "\\boxed{\\frac{%d}{3}}" % (3 * n), True
        yield "either", "\\boxed{%d \\text{ or } %d}" % (n, n + 1), False
        yield "list", "\\boxed{%d, %d}" % (n, n + 1), False
    if float(value):
        minus = "\\boxed{-%s}" % value if value[0] != "-" else "\\boxed{%s}" % value[1:]
        yield "sign", minus, False
    if unit and re.fullmatch(r"[a-z ]+", unit):
        yield "unit", "\\boxed{%s\\text{ %s}}" % (value, unit), True


def of_fraction(gold):
    yield "slash", "\\boxed{%s}" % re.sub(r"\\frac\{(\d+)\}\{(\d+)\}", r"\1/\2", gold), True
    yield "doubled", "\\boxed{%s}" % re.sub(
        r"\{(\d+)\}", lambda m: "{%d}" % (2 * int(m.group(1))), gold), True
    yield "inverted", "\\boxed{%s}" % re.sub(r"\{(\d+)\}\{(\d+)\}", r"{\2}{\1}", gold), False
    m = re.fullmatch(r"(-?)\\frac\{(\d+)\}\{(\d+)\}", gold)
    value = int(m.group(2)) / int(m.group(3)) * (-1 if m.group(1) else 1)
    yield "6 decimals", "\\boxed{%.6f}" % value, None
    yield "2 decimals", "\\boxed{%.2f}" % value, None


def of_list(gold):
    parts = re.fullmatch(r"(\(|\[)?([^(){}\[\],]+),\s*([^(){}\[\],]+)(\)|\])?", gold)
    if not parts or "\\!" in gold:
        return
    left, a, b, right = parts.groups()
    if not left and not right:
        yield "reordered", "\\boxed{%s, %s}" % (b, a), None
        yield "in a set", "\\boxed{\\{%s, %s\\}}" % (a, b), True
        yield "with or", "\\boxed{%s \\text{ or } %s}" % (a, b), None
        yield "in two boxes", "\\boxed{%s} and \\boxed{%s}" % (a, b), None
    if left == "(" and right == ")":
        yield "left right", "\\boxed{\\left( %s, %s \\right)}" % (a, b), True
        yield "swapped", "\\boxed{(%s,%s)}" % (b, a), False if a != b else True
        yield "bare", "\\boxed{%s,%s}" % (a, b), None
        yield "column", "\\boxed{\\begin{pmatrix}%s\\\\%s\\end{pmatrix}}" % (a, b), None
    if left and right:
        other = {"(": "[", "[": "("}[left]
        yield "other bracket", "\\boxed{%s%s,%s%s}" % (other, a, b, right), \
            None if "infty" in a else False
    yield "first only", "\\boxed{%s}" % a, False


def of_expression(gold):
    yield "brackets", "\\boxed{(%s)}" % gold, True
    yield "times one", "\\boxed{1 \\cdot (%s)}" % gold, True
    yield "plus nothing", "\\boxed{%s + 0}" % gold, True
    yield "one more", "\\boxed{%s+1}" % gold, False
    yield "doubled value", "\\boxed{2(%s)}" % gold, False
    yield "minus", "\\boxed{-(%s)}" % gold, False if gold != "0" else True
    if "\\sqrt" in gold:
        yield "half power", "\\boxed{%s}" % re.sub(r"\\sqrt\{(\w+)\}", r"(\1)^{1/2}", gold), True
        yield "another root", "\\boxed{%s}" % gold.replace("\\sqrt", "\\sqrt[3]"), False
    if "\\pi" in gold:
        yield "decimal pi", "\\boxed{%s}" % gold.replace("\\pi", "(3.14159)"), None
        yield "plain pi", "\\boxed{%s}" % gold.replace("\\pi", "\u03c0 "), True
    if re.search("(?<![a-z\\\\])x(?![a-z])", gold):
        yield "other variable", "\\boxed{%s}" % re.sub(
            "(?<![a-z\\\\])x(?![a-z])", "w", gold), False


def of_latex(gold, other):
    yield "itself", "\\boxed{%s}" % gold, True
    yield "dollars", "So the answer is $%s$." % gold, True
    yield "spaces", "\\boxed{ %s }" % gold.replace("+", " + ").replace("=", " = "), True
    yield "escaped twice", "\\boxed{%s}" % gold.replace("\\", "\\\\"), None
    yield "changed mind", "First \\boxed{77}, but checked again \\boxed{%s}." % gold, True
    yield "last formula", "Therefore we conclude \\[ %s \\]" % gold, True
    if "\\frac{" in gold:
        yield "dfrac", "\\boxed{%s}" % gold.replace("\\frac", "\\dfrac"), True
    if re.fullmatch(r"-?\\frac\{\d+\}\{\d+\}", gold):
        yield from of_fraction(gold)
    if re.search(r"\\text\{ ?[a-z]", gold) and re.match(r"-?\d", gold):
        yield "no unit", "\\boxed{%s}" % re.sub(r"\\text\{.*", "", gold), None
        yield "another unit", "\\boxed{%s\\text{ furlongs}}" % re.sub(r"\\text\{.*", "", gold), False
    if "," in gold:
        yield from of_list(gold)
    if not re.search(r"\\text|\\mbox|[a-z]{3} |[=<>,:]|\\le|\\ge|\\in|\\cup|\\begin|_|\^\\circ|%|\\\$", gold):
        yield "stated", "\\boxed{f = %s}" % gold, True
        yield from of_expression(gold)
    if re.search(r"\d", gold):
        yield "digit", "\\boxed{%s}" % re.sub(
            r"\d", lambda m: str((int(m.group()) + 1) % 10), gold, count=1), False
    if other != gold:
        yield "another gold", "\\boxed{%s}" % other, None


def pairs(data):
    for name in SETS:
        rows = list(golds(data, name))
        for k, (i, gold) in enumerate(rows):
            plain = number(gold)
            if name == "asdiv":
                if not plain:
                    continue
                gold = plain[0]
            made = of_number(*plain) if plain else of_latex(gold, rows[(k + 1) % len(rows)][1])
            for rule, answer, equal in made:
                if rule in OFTEN and k % 25:
                    continue
                yield {"set": name, "row": i, "rule": rule, "gold": gold, "pred": answer,
                       "equal": equal}


def hone_says(rows, hone="./hone"):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as f:
        f.writelines(json.dumps({"gold": r["gold"], "pred": r["pred"]}) + "\n" for r in rows)
        f.flush()
        out = subprocess.run([hone, "score", "--checker", "math", "--data", f.name, "--json"],
                             check=True, capture_output=True, text=True).stdout
    lines = [json.loads(line) for line in out.splitlines()]
    return lines[:-1], lines[-1]


def math_verify_says(gold, pred):
    from math_verify import parse, verify
    # no alarm clock: a verdict must not depend on what else the machine does
    return bool(verify(parse("$" + gold + "$", parsing_timeout=None),
                       parse(pred, parsing_timeout=None), timeout_seconds=None))


def main():
    data, out = sys.argv[1:3]
    rows = list(pairs(data))
    ours, _ = hone_says(rows, *sys.argv[3:4])
    differ = both = 0
    with open(out, "w") as f:
        f.write("set\trow\trule\tshould be\thone\tmath-verify\n")
        for row, verdict in zip(rows, ours):
            a, b = verdict["score"] == 1, math_verify_says(row["gold"], row["pred"])
            both += a == b
            if a == b:
                continue
            differ += 1
            f.write("\t".join([row["set"], str(row["row"]), row["rule"],
                               {True: "equal", False: "different", None: "?"}[row["equal"]],
                               "equal" if a else "different" if verdict["status"] == "ok"
                               else verdict["status"], "equal" if b else "different"]) + "\n")
            print(row["set"], row["row"], row["rule"], row["gold"], "|", row["pred"], "|", a, b,
                  verdict["reason"], flush=True)
    wrong = sum(1 for r, v in zip(rows, ours)
                if r["equal"] is not None and (v["score"] == 1) != r["equal"])
    print(f"{len(rows)} pairs, {both} agree, {differ} differ; "
          f"{wrong} of hone's verdicts are not what the rule says")


if __name__ == "__main__":
    main()
