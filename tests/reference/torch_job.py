"""One job of bench_torch.py in PyTorch and transformers: a process that makes a model, warms up,
prints one line of JSON, and then, for each line on stdin, runs the job once and prints the
seconds a round took.

    python tests/reference/torch_job.py JOB     JOB is JSON, see bench_torch.py
"""
import contextlib
import json
import logging
import os
import sys
import time

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig
from transformers.generation.configuration_utils import CompileConfig

MIN_SECONDS = 0.3  # of one measurement, as in hone bench


def make_model(job):
    torch.manual_seed(1)
    config = dict(job["config"])
    config = AutoConfig.for_model(config.pop("model_type"), **config)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(config, name, None)
    kwargs = {"attn_implementation": job["attention"]}
    if config.model_type == "deepseek_v3":
        kwargs["experts_implementation"] = job["experts"]
    dtype = torch.bfloat16 if job["mode"] == "bf16" else torch.float32
    return AutoModelForCausalLM.from_config(config, dtype=dtype, **kwargs)


def precision(job):
    if job["mode"] == "autocast":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return contextlib.nullcontext()


def train_round(job, model):
    """Gradient of job["micro"] tokens, every position a target, in job["split"] parts; clip;
    AdamW."""
    n = job["micro"] // job["seq"]
    ids = torch.randint(model.config.vocab_size, (n, job["seq"] + 1))
    opt = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.01, fused=True)
    model.train()

    def part_loss(ids):
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        return torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum") / (n * job["seq"])

    if job["compile"]:
        part_loss = torch.compile(part_loss, mode=job["compile"], dynamic=False)

    def one_round():
        total = 0.0
        opt.zero_grad(set_to_none=True)
        for part in ids.chunk(job["split"]):
            with precision(job):
                loss = part_loss(part)
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        return total

    return one_round


def rollout_round(job, model):
    """job["sequences"] completions of job["tokens"] tokens, 8 a prompt, sampled at
    temperature 1."""
    prompts = torch.randint(model.config.vocab_size, (job["sequences"] // 8, job["prompt"]))
    ids = prompts.repeat_interleave(8, 0)
    how = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0,
           "max_new_tokens": job["tokens"], "use_cache": True}
    if job["cache"] == "static":
        how["cache_implementation"] = "static"
    if job["compile"]:
        how["compile_config"] = CompileConfig(mode=job["compile"], fullgraph=False)
        how["compile_config"]._compile_all_devices = True
    how = GenerationConfig(**how)
    model.eval()

    def one_round():
        with torch.inference_mode(), precision(job):
            out = model.generate(ids, attention_mask=torch.ones_like(ids),
                                 generation_config=how)
        assert out.shape == (job["sequences"], job["prompt"] + job["tokens"]), out.shape
        return 0.0

    return one_round


def timed(one_round, rounds):
    start = time.perf_counter()
    for _ in range(rounds):
        one_round()
    return (time.perf_counter() - start) / rounds


def main():
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    logging.disable(logging.WARNING)
    model = make_model(job)
    one_round = {"train": train_round, "rollout": rollout_round}[job["job"]](job, model)
    loss = one_round()
    once = timed(one_round, 1)
    rounds = max(1, int(MIN_SECONDS / once))
    print(json.dumps({
        "torch": torch.__version__, "transformers": transformers.__version__,
        "parameters": sum(p.numel() for p in model.parameters()), "loss": loss,
        "rounds": rounds}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(timed(one_round, rounds)), flush=True)
    os._exit(0)  # no tear-down of the compiler's workers


if __name__ == "__main__":
    main()
