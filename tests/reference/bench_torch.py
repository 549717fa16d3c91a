"""hone beside PyTorch: the jobs of `hone bench` with the same models and shapes, in turns.

    python tests/reference/bench_torch.py [--preset NAME] [--job train|rollout]
        [--dtype f32|bf16] [--rounds 3] [--log FILE]
    python tests/reference/bench_torch.py --tune ... [--set KEY=VALUE[,VALUE...]]...
    python tests/reference/bench_torch.py --table FILE

Run by hand from the root of the tree, with ./hone built. Written for Python 3.11,
torch 2.13.0, transformers 5.23.0; both are logged.

Each round measures hone, then torch, in one window (bench_window.py); the torch process has
compiled and warmed up before. train: 2,048 tokens in sequences of 256, every position a
target: forward, backward, clipping, AdamW (fused). rollout: 64 completions of 48 tokens, 8 a
prompt of 64, at temperature 1; transformers.generate for torch. The models are the
presets of cli/bench_preset.c, read from there.

--tune measures torch alone, over all combinations of --set, and hone not at all: that is how
BEST below was found. mode is f32, autocast (bf16 with f32 weights) or bf16 (weights and
moments too). --log appends a line of JSON for every measurement; --table prints the medians
of such a file.
"""
import argparse
import itertools
import json
import os
import re
import statistics
import subprocess
import sys

import bench_window

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
PRESETS = ("tiny-moe", "moe-30m", "llama-135m")
SHAPE = {"micro": 2048, "seq": 256, "sequences": 64, "prompt": 64, "tokens": 48}
DEFAULT = {"mode": "f32", "attention": "sdpa", "experts": "grouped_mm", "compile": "",
           "split": 1, "cache": "dynamic", "malloc": "jemalloc"}
BEST = {  # by --tune
    ("tiny-moe", "train", "f32"): {"experts": "eager", "compile": "default"},
    ("tiny-moe", "train", "bf16"): {"mode": "autocast"},
    ("tiny-moe", "rollout", "bf16"): {"mode": "bf16"},
    ("moe-30m", "train", "bf16"): {"mode": "autocast"},
    ("moe-30m", "rollout", "bf16"): {"mode": "bf16"},
    ("llama-135m", "train", "bf16"): {"mode": "bf16"},
    ("llama-135m", "rollout", "bf16"): {"mode": "bf16"},
}


def preset_configs():
    """{name: config.json}, from the strings of cli/bench_preset.c."""
    with open(os.path.join(ROOT, "cli", "bench_preset.c"), encoding="utf-8") as f:
        body = f.read().split("configs[] = {", 1)[1].split("\n};", 1)[0]
    text = "".join(s.replace('\\"', '"') for s in re.findall(r'"((?:[^"\\]|\\.)*)"', body))
    decoder, out, at = json.JSONDecoder(), [], 0
    while at < len(text):
        config, at = decoder.raw_decode(text, at)
        out.append(config)
    return dict(zip(PRESETS, out, strict=True))


class Torch:
    """A torch_job.py that is ready to measure."""

    def __init__(self, case, setting, threads):
        preset, job, _ = case
        env = bench_window.torch_environment(setting["malloc"], threads)
        what = dict(SHAPE, **setting, job=job, threads=threads, config=preset_configs()[preset])
        self.child = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "torch_job.py"), json.dumps(what)], env=env,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.child.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError("torch_job.py gave up")
        self.about = json.loads(line)

    def seconds(self, repeat=1):
        """Of a round, the median of `repeat`; and the share of waiting."""
        watch, out = bench_window.Watch(self.child.pid), []
        for _ in range(repeat):
            self.child.stdin.write("\n")
            self.child.stdin.flush()
            out.append(json.loads(self.child.stdout.readline()))
        return statistics.median(out), watch.share()

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def hone_seconds(case, threads, repeat):
    preset, job, dtype = case
    out, waited = bench_window.run_watched(
        [os.path.join(ROOT, "hone"), "bench", job, "--preset", preset, "--dtype", dtype,
         "--threads", str(threads), "--repeat", str(repeat), "--json"])
    return statistics.median(json.loads(out)["jobs"][0]["seconds"]), waited


def tokens(job):
    return SHAPE["micro"] if job == "train" else SHAPE["sequences"] * SHAPE["tokens"]


def compare(o, case):
    setting = dict(DEFAULT, **BEST.get(case, {}))
    torch, _ = bench_window.window(lambda: (Torch(case, setting, o.threads), 0.0))
    repeat = 1 if case[0] == "llama-135m" else 3

    def both():
        ours, waited = hone_seconds(case, o.threads, repeat)
        theirs, waited_too = torch.seconds(repeat)
        return (ours, theirs), max(waited, waited_too)

    for _ in range(o.rounds):
        (ours, theirs), waited = bench_window.quiet_window(both)
        bench_window.log_line(o.log, {
            "preset": case[0], "job": case[1], "dtype": case[2], "hone": tokens(case[1]) / ours,
            "pytorch": tokens(case[1]) / theirs, "waited": round(waited, 4), "setting": setting,
            **torch.about})
    torch.close()


def tune(o, case):
    keys = [s.partition("=")[0] for s in o.set]
    values = [s.partition("=")[2].split(",") for s in o.set]
    for choice in itertools.product(*values):
        setting = dict(DEFAULT, **dict(zip(keys, choice)))
        setting["split"] = int(setting["split"])
        try:
            torch, _ = bench_window.window(lambda: (Torch(case, setting, o.threads), 0.0))
        except RuntimeError as e:
            print(f"{case} {dict(zip(keys, choice))}: {e}", file=sys.stderr)
            continue
        for _ in range(o.rounds):
            s, waited = bench_window.window(torch.seconds)
            bench_window.log_line(o.log, {
                "preset": case[0], "job": case[1], "dtype": case[2],
                "tune": dict(zip(keys, choice)), "pytorch": tokens(case[1]) / s,
                "waited": round(waited, 4), **torch.about})
        torch.close()


def print_table(path):
    rows = [r for r in bench_window.read_log(path) if "hone" in r]
    print("| preset | job | type | hone, tokens/s | PyTorch, tokens/s | ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    for case in itertools.product(PRESETS, ("train", "rollout"), ("f32", "bf16")):
        mine = [r for r in rows if (r["preset"], r["job"], r["dtype"]) == case]
        if not mine:
            continue
        ours, theirs = [r["hone"] for r in mine], [r["pytorch"] for r in mine]
        ratio = statistics.median(ours) / statistics.median(theirs)
        print(f"| {' | '.join(case)} | {bench_window.spread(ours)} | "
              f"{bench_window.spread(theirs)} | {ratio:.2f} |")
    print(f"\n{len(rows)} windows, waiting at most {100 * max(r['waited'] for r in rows):.1f} %")


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--preset", choices=PRESETS, action="append")
    p.add_argument("--job", choices=("train", "rollout"), action="append")
    p.add_argument("--dtype", choices=("f32", "bf16"), action="append")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--log")
    p.add_argument("--tune", action="store_true")
    p.add_argument("--set", action="append", default=[])
    p.add_argument("--table", metavar="FILE")
    o = p.parse_args()
    if o.table:
        print_table(o.table)
        return
    for case in itertools.product(o.preset or PRESETS, o.job or ("train", "rollout"),
                                  o.dtype or ("f32", "bf16")):
        (tune if o.tune else compare)(o, case)


if __name__ == "__main__":
    main()
