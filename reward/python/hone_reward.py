#!/usr/bin/env python3
"""Scores for hone by a reward function that was written for TRL, verl or reasoning-gym.

    hone-reward-py TARGET [--style STYLE] [--conversational yes|no] [--factory] ...

TARGET is FILE.py, FILE.py:NAME, MODULE:NAME or MODULE. The function is called as its own
trainer would call it, and need not know of hone:

    trl     f(prompts, completions, completion_ids, **columns) -> list of float or None
    verl    compute_score(data_source, solution_str, ground_truth, extra_info) -> float or dict
    gym     score_answer(answer, entry) -> float

It reads requests on standard input and answers on standard output, a JSON object a line
(docs/write-a-reward.md of hone has the protocol). Standard library only.
"""

import argparse
import hashlib
import importlib
import importlib.util
import inspect
import json
import math
import os
import re
import sys
import traceback
import types

PROTOCOL = 1
MAX_PARTS = 8
MAX_PART_BYTES = 31
GOLD_NAMES = ("gold", "ground_truth", "answer", "solution")


class Usage(Exception):
    """A target or a command line that cannot be served; its text is for the user."""


# ---- finding the function -----------------------------------------------------------


def load_module(where):
    """The module of a file or of a dotted name, and what its version is."""
    if where.endswith(".py") or os.sep in where:
        if not os.path.isfile(where):
            raise Usage(f"{where}: no such file")
        folder, file = os.path.split(os.path.abspath(where))
        sys.path.insert(0, folder)  # as Python does for a script
        name = re.sub(r"\W", "_", os.path.splitext(file)[0])
        if name in sys.stdlib_module_names or name in sys.modules:
            name = "reward_" + name
        spec = importlib.util.spec_from_file_location(name, where)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses and pickle look there
        spec.loader.exec_module(module)
        with open(where, "rb") as f:
            return module, "sha256:" + hashlib.sha256(f.read()).hexdigest()[:16]
    from importlib import metadata  # slow to load, and no file needs it

    module = importlib.import_module(where)
    package = where.partition(".")[0]
    try:
        distributions = metadata.packages_distributions().get(package, [package])
        return module, metadata.version(distributions[0])
    except metadata.PackageNotFoundError:
        return module, "0"


def parameters(function):
    """Names of its parameters, and whether it takes any keyword."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return [], True
    names = [p.name for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return names, any(p.kind == p.VAR_KEYWORD for p in found)


def style_of(function):
    """How it wants to be called, from the names of its parameters; None: unclear."""
    names, _ = parameters(function)
    if {"solution_str", "solution_strs"} & set(names):
        return "verl"
    if names[:2] == ["answer", "entry"]:
        return "gym"
    if {"completions", "completion_ids", "completions_ids", "prompts"} & set(names):
        return "trl"
    return None


def pick(module, where):
    """The one function of a module that looks like a reward."""
    own = {
        name: thing
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and inspect.isroutine(thing)
        and getattr(thing, "__module__", None) == module.__name__
        and style_of(thing)
    }
    if len(own) == 1:
        return next(iter(own.values()))
    for name in ("compute_score", "score_answer", "reward_func"):
        if name in own:
            return own[name]
    if not own:
        raise Usage(f"{where}: no function with the parameters of a reward; name one: {where}:NAME")
    raise Usage(f"{where}: more than one reward, {', '.join(sorted(own))}; name one: {where}:NAME")


def by_dataset(module):
    """reasoning-gym scores each row by the dataset that its metadata name."""
    known = {}

    def score_answer(answer, entry):
        name = (entry.get("metadata") or {}).get("source_dataset")
        if not name:
            raise ValueError("the row has no metadata.source_dataset")
        if name not in known:
            known[name] = module.get_score_answer_fn(name)
        return known[name](answer=answer, entry=entry)

    return score_answer


def find_function(target, factory, options):
    """The function of TARGET, its name and its version."""
    where, colon, name = target.rpartition(":")
    if not colon:
        where, name = target, ""
    module, version = load_module(where)
    if name:
        function = module
        for part in name.split("."):
            if not hasattr(function, part):
                raise Usage(f"{where}: it has no {name}")
            function = getattr(function, part)
    elif where == "reasoning_gym":
        function = by_dataset(module)
    else:
        function = pick(module, where)
    if factory:
        function = function(**options)
    if not callable(function):
        raise Usage(f"{target}: is not a function")
    name = name or getattr(function, "__name__", type(function).__name__)
    return function, name.rpartition(".")[2], version


# ---- results ------------------------------------------------------------------------


def number(value):
    """A finite float of whatever is one (numpy and torch scalars too), or ValueError."""
    if isinstance(value, (str, bytes)):
        raise ValueError(f"{value!r:.60} is no score")
    try:
        score = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r:.60} is no score") from None
    if not math.isfinite(score):
        raise ValueError("its score is not a number" if score != score else "its score is infinite")
    return score


def said(why):
    """A reason that hone can read: text of Unicode, not too long."""
    return str(why)[:300].encode("utf-8", "replace").decode()


def crashed(why):
    return {"status": "crashed", "reason": said(why)}


def add_part(parts, name, value):
    """Numbers beside the score; what is none, or is one too many, is left out."""
    if isinstance(value, (str, bytes)) or value is None or len(parts) >= MAX_PARTS:
        return
    try:
        value = number(value)
    except ValueError:
        return
    name = str(name).encode("utf-8", "replace")[:MAX_PART_BYTES].decode(errors="ignore")
    if name:
        parts[name] = value


def result(value):
    """One sample's result, as the protocol has it, from a score, a dict or None."""
    parts = {}
    if isinstance(value, dict):
        for key, extra in value.items():
            if key not in ("score", "reward"):
                add_part(parts, key, extra)
        if "score" not in value and "reward" not in value:
            return crashed("it returned a dict without score")
        value = value["score"] if "score" in value else value["reward"]
    elif isinstance(value, (tuple, list)) and value:
        value = value[0]
    if value is None:
        return None
    try:
        return {"score": number(value), "parts": parts}
    except ValueError as e:
        return crashed(e)


# ---- calling it ---------------------------------------------------------------------


def without(row, *names):
    return {key: value for key, value in row.items() if key not in names}


class Reward:
    def __init__(self, function, style, options, conversational):
        self.function, self.style, self.options = function, style, options
        self.conversational = conversational
        self.names, self.any = parameters(function)
        self.loop = None

    def finish(self, value):
        """The value of a coroutine, or of a list of them, all at once, on one loop for good."""
        many = isinstance(value, list)
        if not inspect.isawaitable(value) and not (many and any(map(inspect.isawaitable, value))):
            return value
        import asyncio  # slow to load, and most functions need it not

        if not self.loop:
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)

        async def one(v):
            return await v if inspect.isawaitable(v) else v

        async def all_of(values):
            return await asyncio.gather(*map(one, values), return_exceptions=True)

        return self.loop.run_until_complete(all_of(value) if many else one(value))

    def accepted(self, keywords):
        return keywords if self.any else {k: v for k, v in keywords.items() if k in self.names}

    def score(self, request):
        call = {"trl": self.score_trl, "verl": self.score_verl, "gym": self.score_gym}[self.style]
        return call(request, request["problem"], request["problem"]["columns"])

    # -- TRL: one call for the group

    def score_trl(self, request, problem, row):
        samples, extra = request["samples"], {}
        n = len(samples)
        prompt = row.get("prompt", problem["prompt"])
        completions = [s["text"] for s in samples]
        talk = self.conversational
        if talk is None:
            talk = isinstance(prompt, list)
        if talk:
            if not isinstance(prompt, list):
                prompt = [{"role": "user", "content": problem["prompt"]}]
            completions = [[{"role": "assistant", "content": text}] for text in completions]
        elif not isinstance(prompt, str):
            prompt = problem["prompt"]
        columns = without(row, "prompt", "completion", "completion_ids")
        for name in GOLD_NAMES:
            if name in self.names and name not in columns:
                columns[name] = problem["gold"]
        keywords = {
            "prompts": [prompt] * n,
            "completions": completions,
            "completion_ids": [s["ids"] for s in samples],
            "trainer_state": types.SimpleNamespace(
                global_step=request.get("step", 0), max_steps=request.get("max_steps", 0)
            ),
            "log_extra": lambda name, column: extra.__setitem__(name, list(column)),
            "log_metric": lambda name, value: extra.__setitem__(name, [value] * n),
            **{name: [value] * n for name, value in columns.items()},
            **self.options,
        }
        if "completions_ids" in self.names:
            keywords["completions_ids"] = keywords["completion_ids"]
        scores = list(self.finish(self.function(**self.accepted(keywords))))
        if len(scores) != n:
            raise ValueError(f"it returned {len(scores)} rewards for {n} completions")
        results = [result(score) for score in scores]
        for name, column in extra.items():
            for found, value in zip(results, column):
                if found and "parts" in found:
                    add_part(found["parts"], name, value)
        return results

    # -- verl and reasoning-gym: a call a sample, which may fail alone

    def each(self, calls):
        values = []
        for keywords in calls:
            try:
                values.append(self.function(**self.accepted({**keywords, **self.options})))
            except Exception as e:
                traceback.print_exc()
                values.append(e)
        return [
            crashed(f"{type(v).__name__}: {v}") if isinstance(v, Exception) else result(v)
            for v in self.finish(values)
        ]

    def score_verl(self, request, problem, row):
        truth = (row.get("reward_model") or {}).get("ground_truth", problem["gold"])
        texts = [s["text"] for s in request["samples"]]
        extra = row.get("extra_info")
        source = row.get("data_source", problem["kind"])
        if "solution_strs" in self.names:  # verl's batch manager
            n = len(texts)
            keywords = {
                "data_sources": [source] * n,
                "solution_strs": texts,
                "ground_truths": [truth] * n,
                "extra_infos": [extra] * n,
                **self.options,
            }
            scores = list(self.finish(self.function(**self.accepted(keywords))))
            if len(scores) != n:
                raise ValueError(f"it returned {len(scores)} scores for {n} solutions")
            return [result(score) for score in scores]
        return self.each(
            {
                "data_source": source,
                "solution_str": text,
                "ground_truth": truth,
                "extra_info": dict(extra) if isinstance(extra, dict) else extra,
            }
            for text in texts
        )

    def score_gym(self, request, problem, row):
        entry = {"question": problem["prompt"], "answer": problem["gold"], "metadata": {}, **row}
        return self.each(
            {"answer": last_answer(s["text"]), "entry": entry} for s in request["samples"]
        )


def last_answer(text):
    """What stands in the last <answer>...</answer>; None where there is none."""
    found = re.findall(r"<answer>(.*?)</answer>", text, re.DOTALL)
    return found[-1].strip() if found else None


# ---- the protocol -------------------------------------------------------------------


def take_streams():
    """The protocol moves away from 0 and 1, where the function may read and print."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    return requests, answers


def open_reward(args, options):
    function, name, version = find_function(args.target, args.factory, options)
    style = args.style or style_of(function)
    if not style:
        raise Usage(f"{args.target}: its parameters are of no known style; say --style")
    talk = {"yes": True, "no": False, None: None}[args.conversational]
    reward = Reward(function, style, {} if args.factory else options, talk)
    hello = {
        "hone_reward": PROTOCOL,
        "name": (args.name or name)[:63],
        "version": (args.version or version)[:63],
        "deterministic": args.deterministic,
    }
    return reward, hello


def answer(line, reward, args):
    """The reward, opened by the hello, and what to say."""
    request = json.loads(line)
    try:
        if request["type"] == "hello":
            return open_reward(args, request.get("options") or {})
        return reward, {"id": request["id"], "results": reward.score(request)}
    except Usage as e:
        return reward, {"error": said(e)}
    except Exception as e:
        traceback.print_exc()
        failed = {"error": said(f"{type(e).__name__}: {e}")}
        return reward, {"id": request["id"], **failed} if "id" in request else failed


def read_arguments():
    p = argparse.ArgumentParser(
        prog="hone-reward-py",
        description="Scores for hone by a reward function of TRL, verl or reasoning-gym.",
    )
    p.add_argument("target", help="FILE.py[:NAME] or MODULE[:NAME]")
    p.add_argument("--style", choices=("trl", "verl", "gym"), help="how it is called (its parameters say)")
    p.add_argument("--conversational", choices=("yes", "no"), help="messages or texts (the row's prompt says)")
    p.add_argument("--factory", action="store_true", help="call it with the entry's options for the function")
    p.add_argument("--deterministic", action="store_true", help="the same group always has the same scores")
    p.add_argument("--name", help="as recorded (the function's)")
    p.add_argument("--version", help="as recorded (a hash of the file; the package's)")
    return p.parse_args()


def main():
    args = read_arguments()
    requests, answers = take_streams()
    reward = None
    for line in requests:
        reward, reply = answer(line, reward, args)
        answers.write(json.dumps(reply, allow_nan=False).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
