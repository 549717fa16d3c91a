#!/usr/bin/env python3
"""run.py HONE [--only WORDS] [--timing]: every program of python.txt and other.txt through
`hone score --checker code`, against an expected value that nobody can guess and that lies
about outside: in a file, in the environment, behind sockets. After each comes an honest
program, in the same sandbox. Prints TAP.

A program fails the sandbox (`not ok`) when it scores, when the sandbox breaks, when the honest
program after it does not pass, when a process, a file or a signal of it is seen outside, or,
with --timing, when its verdict comes more than 200 ms after its deadline."""
import argparse, json, os, re, secrets, signal, socket, subprocess, sys, tempfile, threading

HERE = os.path.dirname(os.path.abspath(__file__))
MARK = "hone-hostile-" + secrets.token_hex(4)
NONCE = str(secrets.randbelow(9 * 10**11) + 10**11)
GUESS = str(secrets.randbelow(9 * 10**11) + 10**11)
contacts = []

# What an honest program finds: nothing that another has left.
HONEST = """import os, sys
def clean():
    left = set(os.listdir("/tmp")) - {"main.py"}
    sys.path_hooks, os.fork
    return not left and os.getpid() == 1 and len(os.listdir("/dev/shm")) == len(os.listdir("/tmp"))
def solve(n): return n * n if clean() else -1
if __name__ == "__main__": print(solve(int(input())))
"""


def programs():
    for name in "python.txt", "other.txt":
        text = open(os.path.join(HERE, name)).read()
        for part in re.split(r"^### ", text, flags=re.M)[1:]:
            title, source = part.split("\n", 1)
            words, what = title.split(": ", 1)
            language, _, name = words.rpartition(" ")
            yield language or "python3", name, what, source.rstrip() + "\n"


def fill(source, words):
    return re.sub("@([A-Z]+)@", lambda m: str(words[m[1]]), source)


def rows_of(language, source):
    """(how, row) for each way in which the program runs."""
    ways = {"stdin": {"tests": [{"input": "7\n", "output": NONCE}]}}
    if language == "python3":
        ways["call"] = {"test_list": ["assert solve(7) == " + NONCE]}
        loop = "for i in range(1):\n    assert solve(i) == " + NONCE
        ways["script"] = {"test_list": [loop]}
    for how, row in ways.items():
        yield how, dict(row, language=language, pred=source)


def honest_rows():
    loop = "for i in range(3):\n    assert solve(i) == i * i"
    tests = [{"input": "7\n", "output": "49"}], ["assert solve(7) == 49"], [loop]
    # whatever else this machine does meanwhile
    return [{"tests": t, "pred": HONEST, "timeout": 120} for t in tests]


def listen(family, where):
    """Whoever gets through is told the value, and noted."""
    s = socket.socket(family, socket.SOCK_STREAM)
    s.bind(where)
    s.listen(64)

    def serve():
        while True:
            c, _ = s.accept()
            contacts.append(family)
            c.sendall(NONCE.encode())
            c.close()

    threading.Thread(target=serve, daemon=True).start()
    return s


def outside():
    """What of the marked programs can be seen outside."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if MARK.encode() in open("/proc/%s/cmdline" % pid, "rb").read():
                found.append("process " + pid)
        except OSError:
            pass
    for folder in "/tmp", "/var/tmp", "/dev/shm", "/usr/bin", "/etc", "/", "/dev":
        if MARK in " ".join(os.listdir(folder)):
            found.append("a file in " + folder)
    for kind, key in ("shm", "0x00004242"), ("msg", "16962"), ("sem", "16962"):
        try:
            lines = open("/proc/sysvipc/" + kind).read().split("\n")[1:]
        except OSError:
            continue
        if any(line.split()[:1] == ["16962"] for line in lines):
            found.append("a %s of System V" % kind)
    return found + ["a connection"] * len(contacts) + ["a signal"] * len(signals)


signals = []


def score(hone, folder, rows, timeout):
    path = os.path.join(folder, "rows.jsonl")
    with open(path, "w") as f:
        f.writelines(json.dumps(row) + "\n" for row in rows)
    options = {"timeout": timeout, "compile_timeout": 4 * timeout}
    command = [hone, "score", "--checker", "code", "--data", path, "--json"]
    command += ["--options", json.dumps(options)]
    env = dict(os.environ, SECRET_VALUE=NONCE)
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return lines[:-1], done.stderr.strip()


def judge(how, row, verdict, timing, timeout):
    if verdict["status"] not in ("ok", "unparsable") or verdict["score"] != 0:
        return "%s: %s %s: %s" % (how, verdict["status"], verdict["score"], verdict["reason"])
    compiled = row["language"] in ("c", "cpp")
    limit = timeout * 1000 + 200 + compiled * 4 * timeout * 1000
    if timing and verdict["ms"] > limit:
        return "%s: its verdict took %.0f ms" % (how, verdict["ms"])
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("hone")
    parser.add_argument("--only", default="")
    parser.add_argument("--timing", action="store_true")
    parser.add_argument("--timeout", type=float, default=1)
    args = parser.parse_args()
    signal.signal(signal.SIGUSR1, lambda *a: signals.append(a))
    folder = tempfile.mkdtemp(prefix="hostile-")
    secret = os.path.join(folder, "expected")
    open(secret, "w").write(NONCE)
    port = listen(socket.AF_INET, ("0.0.0.0", 0)).getsockname()[1]
    listen(socket.AF_UNIX, "\0" + MARK)
    words = dict(MARK=MARK, GUESS=GUESS, SECRET=secret, PID=os.getpid(), PORT=port, SOCKET=MARK)
    words["HOST"] = socket.gethostbyname(socket.gethostname())
    chosen = [p for p in programs() if not args.only or p[1] in args.only.split()]
    failures, number, slowest = 0, 0, 0
    for language, name, what, source in chosen:
        number += 1
        ways = list(rows_of(language, fill(source, words)))
        rows = list(honest_rows()) # the interpreter starts with the first
        for how, row in ways:
            rows += [row] + list(honest_rows())
        verdicts, err = score(args.hone, folder, rows, args.timeout)
        if "not on this machine" in err:
            print("ok %d - %s %s # SKIP %s is not installed" % (number, language, name, language))
            continue
        wrong = [] if verdicts else [err]
        for i, verdict in enumerate(verdicts):
            how, row = ways[max(i - 3, 0) // 4]
            if i >= 3 and (i - 3) % 4 == 0:
                wrong.append(judge(how, row, verdict, args.timing, args.timeout))
                if language not in ("c", "cpp"): # which are compiled first
                    slowest = max(slowest, verdict["ms"] - args.timeout * 1000)
            elif verdict["score"] != 1:
                wrong.append("%s: the honest program after it: %s" % (how, verdict["reason"]))
        wrong = list(filter(None, wrong + outside()))
        failures += bool(wrong)
        print("%sok %d - %s %s: %s" % ("not " * bool(wrong), number, language, name, what))
        for line in wrong:
            print("# " + line)
        sys.stdout.flush()
        contacts.clear(), signals.clear()
    print("1..%d" % number)
    print("# %d programs, %d got through; the latest verdict %.0f ms past its deadline" % (number, failures, slowest))
    os.remove(secret)
    subprocess.run(["rm", "-rf", folder])
    sys.exit(failures > 0 or number == 0)


main()
