"""The quickstart's GRPO step beside TRL's GRPOTrainer, in turns.

    python tests/reference/bench_trl.py [--model runs/quickstart/checkpoints/step-260]
        [--rounds 3] [--steps 5] [--log FILE]
    python tests/reference/bench_trl.py --whole [--model DIR] [--log FILE]
    python tests/reference/bench_trl.py --tune [--set KEY=VALUE[,VALUE...]]...

Run by hand from the root of the tree, with ./hone built and `make quickstart` done: both start
from what its cold start left. Both take the same prompts in the same order: 32 a step, 8
completions each, at most 48 tokens, temperature 1, the dapo loss, no KL term, one update with
clipping and AdamW. Written for Python 3.11, torch 2.13.0, transformers 5.23.0, trl 1.16.0;
what is there is logged.

hone's time is step_time of its run.db, the commit of all episodes included. TRL's is from the
trainer's on_step_begin to on_step_end: generation, rewards, forward, backward, update. The
first steps of either are not counted. Each round measures --steps steps of hone, then one of
TRL, in one window (bench_window.py). --whole is the whole stage: hone's 150 steps, TRL's 150
steps from the same weights on the same prompts, hone's 150 steps once more. --tune measures TRL alone for all combinations of --set;
BEST is what that found.
"""
import argparse
import contextlib
import itertools
import json
import os
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

import bench_window

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
WARM_UP = 2
STEPS = 150  # of the stage
METRICS = ("step_time", "completions/mean_length", "reward")
BEST = {"experts": "eager", "bf16": "", "compile": "", "cache": "dynamic",
        "continuous": "", "malloc": "jemalloc"}


def experiment_of_steps(model, steps):
    """The quickstart's reinforcement stage alone, on weights of its cold start."""
    with open(os.path.join(ROOT, "experiments/quickstart/experiment.json"),
              encoding="utf-8") as f:
        x = json.load(f)
    stage = next(s for s in x["stages"] if s["type"] == "grpo")
    return dict(x, model={"path": os.path.abspath(model)}, stages=[dict(stage, max_steps=steps)],
                problems={"train": x["problems"]["train"]})


def run_hone(experiment, read):
    """What read(database) makes of a run of it, and the share of waiting."""
    with tempfile.TemporaryDirectory() as tmp:
        with open(f"{tmp}/experiment.json", "w", encoding="utf-8") as f:
            json.dump(experiment, f)
        _, waited = bench_window.run_watched(
            [os.path.join(ROOT, "hone"), "train", f"{tmp}/experiment.json", "--out",
             f"{tmp}/run"])
        with contextlib.closing(sqlite3.connect(f"{tmp}/run/run.db")) as db:
            return read(db), waited


def read_prompts(db):
    return db.execute("select p.prompt, p.gold from groups g join problems p "
                      "on p.id = g.problem_id order by g.step, g.prompt_no").fetchall()


def read_metrics(db):
    """Medians over the steps after the first ones."""
    value = {}
    for name in METRICS:
        rows = db.execute("select value from metrics where name = ? and step > ?",
                          (name, WARM_UP)).fetchall()
        value[name] = statistics.median(r[0] for r in rows)
    return value


class Trl:
    """A process of this file with --serve, which has made its first steps."""

    def __init__(self, o, setting, n=None):
        n = n or WARM_UP + o.rounds * bench_window.TRIES
        experiment = experiment_of_steps(o.model, n)
        prompts, _ = run_hone(experiment, read_prompts)
        what = {"setting": setting, "model": o.model, "stage": experiment["stages"][0],
                "prompts": prompts}
        env = bench_window.torch_environment(setting["malloc"], os.cpu_count())
        self.child = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), "--serve"], env=env, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        self.child.stdin.write(json.dumps(what) + "\n")
        self.child.stdin.flush()
        self.about = self.read()
        for _ in range(WARM_UP):
            self.step()

    def read(self):
        line = self.child.stdout.readline()
        if not line:
            raise RuntimeError("GRPOTrainer gave up")
        return json.loads(line)

    def step(self):
        watch = bench_window.Watch(self.child.pid)
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return self.read(), watch.share()

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def right(completions, gold, **_):
    found = [re.fullmatch(r".*<answer>([a-z]*)</answer>.*", c, re.S) for c in completions]
    return [float(bool(m) and m[1] == g) for m, g in zip(found, gold)]


def serve():
    """TRL's side. What to do comes as a line of JSON; then for each line a step is made and a
    line printed."""
    import datasets
    import torch
    import transformers
    import trl

    what = json.loads(sys.stdin.readline())
    setting, stage, folder, rows = (what[k] for k in ("setting", "stage", "model", "prompts"))
    real_stdout, sys.stdout = sys.stdout, sys.stderr
    batch = stage["num_prompts"] * stage["num_generations"]
    torch.set_num_threads(os.cpu_count())

    def say(value):
        print(json.dumps(value), file=real_stdout, flush=True)

    class InTurns(transformers.TrainerCallback):
        start = 0.0

        def on_step_begin(self, args, state, control, **kwargs):
            if not sys.stdin.readline():
                os._exit(0)
            self.start = time.perf_counter()

        def on_step_end(self, args, state, control, **kwargs):
            seconds = time.perf_counter() - self.start
            value = {k: v[-1] for k, v in trainer._metrics["train"].items() if v}
            say({"step_time": seconds, **{k: value[k] for k in METRICS[1:]}})

    config = trl.GRPOConfig(
        output_dir=tempfile.mkdtemp(), use_cpu=True, bf16=bool(setting["bf16"]), seed=1,
        per_device_train_batch_size=batch, gradient_accumulation_steps=1,
        num_generations=stage["num_generations"], shuffle_dataset=False,
        max_completion_length=stage["max_completion_length"], temperature=1.0, top_k=0,
        beta=0.0, epsilon=0.2, loss_type="dapo", scale_rewards="group", max_grad_norm=1.0,
        learning_rate=stage["learning_rate"], lr_scheduler_type="cosine", warmup_steps=10,
        max_steps=STEPS, gradient_checkpointing=False, optim="adamw_torch_fused",
        torch_compile=bool(setting["compile"]), report_to="none", save_strategy="no",
        logging_steps=1000, disable_tqdm=True,
        cache_implementation="static" if setting["cache"] == "static" else None,
        use_transformers_continuous_batching=bool(setting["continuous"]))
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa",
        experts_implementation=setting["experts"])
    trainer = trl.GRPOTrainer(
        model=model, reward_funcs=right, args=config, callbacks=[InTurns()],
        processing_class=transformers.AutoTokenizer.from_pretrained(folder),
        train_dataset=datasets.Dataset.from_dict(
            {"prompt": [r[0] for r in rows], "gold": [r[1] for r in rows]}))
    say({"torch": torch.__version__, "transformers": transformers.__version__,
         "trl": trl.__version__})
    trainer.train()


def compare(o):
    trl, _ = bench_window.window(lambda: (Trl(o, BEST), 0.0))
    experiment = experiment_of_steps(o.model, o.steps + WARM_UP)

    def both():
        ours, waited = run_hone(experiment, read_metrics)
        theirs, waited_too = trl.step()
        return (ours, theirs), max(waited, waited_too)

    rows = []
    for _ in range(o.rounds):
        (ours, theirs), waited = bench_window.quiet_window(both)
        rows.append({"hone": ours, "trl": theirs, "waited": round(waited, 4)})
        bench_window.log_line(o.log, dict(rows[-1], setting=BEST, **trl.about))
    trl.close()
    for key in METRICS:
        print(f"{key:24} hone {bench_window.spread([r['hone'][key] for r in rows])}"
              f"   TRL {bench_window.spread([r['trl'][key] for r in rows])}")
    ratio = [statistics.median(r[side]["step_time"] for r in rows) for side in ("trl", "hone")]
    print(f"ratio of the step times {ratio[0] / ratio[1]:.1f}, "
          f"waiting at most {100 * max(r['waited'] for r in rows):.1f} %")


def read_stage(db):
    """Step times and rewards of all steps, in order."""
    return [dict(zip(METRICS, r)) for r in db.execute(
        "select max(value) filter (where name = 'step_time'),"
        " max(value) filter (where name = 'completions/mean_length'),"
        " max(value) filter (where name = 'reward') from metrics group by step order by step")]


def whole(o):
    experiment = experiment_of_steps(o.model, STEPS)
    before, _ = run_hone(experiment, read_stage)
    trl = Trl(o, BEST, STEPS)
    theirs = [trl.step()[0] for _ in range(STEPS - WARM_UP)]
    trl.close()
    after, _ = run_hone(experiment, read_stage)
    ours = before[WARM_UP:] + after[WARM_UP:]
    for name, rows in (("hone", before), ("TRL", theirs), ("hone again", after)):
        bench_window.log_line(o.log, {"whole": name, "rows": rows, **trl.about})
        print(f"{name:11} step_time mean {statistics.fmean(r['step_time'] for r in rows):.4f}, "
              f"median {statistics.median(r['step_time'] for r in rows):.4f}, reward of the last "
              f"ten {statistics.fmean(r['reward'] for r in rows[-10:]):.3f}")
    ratios = [f(r["step_time"] for r in theirs) / f(r["step_time"] for r in ours)
              for f in (statistics.fmean, statistics.median)]
    print(f"ratio of the means {ratios[0]:.1f}, of the medians {ratios[1]:.1f}")


def tune(o):
    keys = [s.partition("=")[0] for s in o.set]
    for choice in itertools.product(*[s.partition("=")[2].split(",") for s in o.set]):
        setting = dict(zip(keys, choice))
        try:
            trl, _ = bench_window.window(lambda: (Trl(o, dict(BEST, **setting)), 0.0))
        except RuntimeError as e:
            print(f"{setting}: {e}", file=sys.stderr)
            continue
        for _ in range(o.rounds):
            value, waited = bench_window.window(trl.step)
            bench_window.log_line(o.log, {"tune": setting, "waited": round(waited, 4), **value})
        trl.close()


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--model", default="runs/quickstart/checkpoints/step-260")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--steps", type=int, default=5)
    p.add_argument("--log")
    p.add_argument("--whole", action="store_true")
    p.add_argument("--tune", action="store_true")
    p.add_argument("--set", action="append", default=[])
    p.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    o = p.parse_args()
    if o.serve:
        serve()
    elif o.tune:
        tune(o)
    elif o.whole:
        whole(o)
    else:
        compare(o)


if __name__ == "__main__":
    main()
