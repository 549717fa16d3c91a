#!/usr/bin/env python3
"""mbpp.py HONE FILE: the references of MBPP pass, and with one small mistake each (a constant, a
bound, an operator) they fail, unless the tests cannot tell. Every verdict on a mistaken program
is held against plain python3 with the same asserts; survivors are listed."""
import ast, concurrent.futures, copy, json, os, resource, subprocess, sys, tempfile

COMPARE = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq}
COMPARE.update({ast.NotEq: ast.Eq})
BINARY = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult}
BINARY.update({ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv})


def places(tree):
    """(node, change) for each mistake that can be made, constants and bounds first."""
    nodes = list(ast.walk(tree))
    for n in nodes:
        if isinstance(n, ast.Constant) and type(n.value) in (int, float):
            yield lambda n=n: setattr(n, "value", n.value + 1)
    for n in nodes:
        if isinstance(n, ast.Compare) and type(n.ops[0]) in COMPARE:
            yield lambda n=n: n.ops.__setitem__(0, COMPARE[type(n.ops[0])]())
    for n in nodes:
        if isinstance(n, (ast.BinOp, ast.AugAssign)) and type(n.op) in BINARY:
            yield lambda n=n: setattr(n, "op", BINARY[type(n.op)]())
    for n in nodes:
        if isinstance(n, ast.Constant) and type(n.value) is str:
            yield lambda n=n: setattr(n, "value", n.value + "x")
    for n in nodes:
        if isinstance(n, ast.Return) and n.value:
            yield lambda n=n: setattr(n, "value", ast.List([n.value], ast.Load()))


def mistaken(row):
    tree = ast.parse(row["code"])
    changes = list(places(tree))
    # another one from task to task, of the first kind that there is
    first = [c for c in changes if c.__code__ is changes[0].__code__]
    first[row["task_id"] % len(first)]()
    return ast.unparse(ast.fix_missing_locations(tree))


def score(hone, rows, key):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as f:
        f.writelines(json.dumps(row) + "\n" for row in rows)
        f.flush()
        command = [hone, "score", "--checker", "code", "--data", f.name, "--pred-key", key]
        command += ["--json", "--threads", "2", "--options", '{"timeout": 10}']
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    print("%s: %d of %d pass, %s a second" % (key, lines[-1]["correct"], len(rows), lines[-1]["checks_per_s"]))
    return lines[:-1]


def limit():
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (10, 10))


def plain(row):
    """Whether python3 itself runs the program and all asserts to the end."""
    tests = row["test_list"] + row["challenge_test_list"]
    source = "\n".join([row["mistaken"], row["test_setup_code"]] + tests)
    command = ["/usr/bin/python3", "-I", "-S", "-c", source]
    quiet = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as cwd:
        try:
            return subprocess.run(command, timeout=20, preexec_fn=limit, cwd=cwd, **quiet).returncode == 0
        except subprocess.TimeoutExpired:
            return False


def main():
    hone, path = sys.argv[1:]
    rows = [json.loads(line) for line in open(path)]
    for row in rows:
        row["mistaken"] = mistaken(row)
    failed = [(r["task_id"], v["reason"]) for r, v in zip(rows, score(hone, rows, "code")) if v["score"] < 1]
    verdicts = score(hone, rows, "mistaken")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        python = list(pool.map(plain, rows))
    survivors = [r["task_id"] for r, v in zip(rows, verdicts) if v["score"] == 1]
    apart = [(r["task_id"], p, v["reason"]) for r, v, p in zip(rows, verdicts, python) if p != (v["score"] == 1)]
    print("references that fail:", failed or "none")
    print("mistaken programs that pass: %d: %s" % (len(survivors), survivors))
    print("verdicts other than python3's:", apart or "none")
    sys.exit(bool(failed or apart))


main()
