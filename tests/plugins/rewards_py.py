"""rewards_py.py: reward functions of every form that hone-reward-py serves, and with flaws."""

import asyncio
import math
import sys


def texts(completions, **kwargs):
    assert all(isinstance(c, str) for c in completions)
    return [float(len(c)) for c in completions]


def messages(prompts, completions, **kwargs):
    assert all(p[-1]["role"] == "user" for p in prompts)
    assert all(len(c) == 1 and c[0]["role"] == "assistant" for c in completions)
    return [len(c[0]["content"]) for c in completions]


def columns(prompts, completions, completion_ids, level, answer, trainer_state, **kwargs):
    assert len(level) == len(answer) == len(prompts) == len(completions)
    assert "prompt" not in kwargs and kwargs["source"] == ["book"] * len(level)
    assert trainer_state.global_step == 3 and trainer_state.max_steps == 9
    return [lv + len(ids) + (a == "7") for lv, ids, a in zip(level, completion_ids, answer)]


def bare(completions):
    return [1] * len(completions)


def old_name(completions_ids, **kwargs):
    return [float(len(ids)) for ids in completions_ids]


def some(completions, **kwargs):
    return [None if c == "" else True for c in completions]


def noted(completions, log_extra, log_metric, **kwargs):
    print("a reward may print")
    log_extra("length", [len(c) for c in completions])
    log_extra("word", completions)
    log_metric("mean", 0.5)
    return [0.25 for _ in completions]


async def slow(prompts, completions, **kwargs):
    await asyncio.sleep(0.001)
    return [0.5 for _ in completions]


class Callable:
    def __init__(self, base=0.0):
        self.base = base

    async def __call__(self, completions, **kwargs):
        return [self.base for _ in completions]


callable_object = Callable(0.75)


def weighed(completions, weight, **kwargs):
    return [weight for _ in completions]


def raises(completions, **kwargs):
    raise KeyError("no dictionary today")


def fewer(completions, **kwargs):
    return [1.0]


def odd(completions, **kwargs):
    return [math.nan, math.inf, "high", 0.5][: len(completions)]


def leaves(completions, **kwargs):
    sys.exit(3)


def compute_score(data_source, solution_str, ground_truth, extra_info, bonus=0.0):
    if solution_str == "":
        raise ValueError("nothing to score")
    assert data_source == "book/7" and extra_info["index"] == 4
    return {"score": float(solution_str == ground_truth["target"]) + bonus, "acc": True, "pred": "x"}


async def compute_async(data_source, solution_str, ground_truth, extra_info=None):
    await asyncio.sleep(0.001)
    return 1.0 if solution_str == "7" else 0.0


def compute_batch(data_sources, solution_strs, ground_truths, extra_infos):
    return [(float(len(s)), "ignored") for s in solution_strs]


def gym(answer, entry):
    assert entry["metadata"]["difficulty"] == 2
    return 0.01 if answer is None else float(answer == entry["answer"])


def unclear(a, b):
    return 0.0
