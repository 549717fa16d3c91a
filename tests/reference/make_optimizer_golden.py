"""Makes tests/golden/adamw_steps.safetensors and tests/golden/adamw_rates.json: updates of
torch.optim.AdamW with torch.nn.utils.clip_grad_norm_, and learning rates of transformers.

Made with Python 3.11, torch 2.13.0, transformers 5.23.0, safetensors (as torch needs it).
Run from the root of the tree: python tests/reference/make_optimizer_golden.py

adamw_steps.safetensors, for each case c of CASES and tensor t of SHAPES:
  settings.c      [6]         F32  lr, weight_decay, beta1, beta2, epsilon, max_grad_norm
  norm.c          [STEPS]     F32  gradient norm before clipping
  start.c.t       shape       F32  the weights
  grad.c.t        [STEPS, n]  F32  gradients
  weight.c.t      [STEPS, n]  F32  weights after each step
Weight decay is on matrices only. max_grad_norm 0: no clipping. Some norms are below the
limit and some above.

adamw_rates.json: a list of {schedule, warmup_steps, max_steps, learning_rate, rates}, rates
of step 0, 1, ... past the end.
"""

import json
import os

import torch
import transformers
from safetensors.torch import save_file
from transformers import get_scheduler

assert torch.__version__.split("+")[0] == "2.13.0", torch.__version__
assert transformers.__version__ == "5.23.0", transformers.__version__

OUT = os.path.join(os.path.dirname(__file__), "..", "golden")
STEPS = 8
SHAPES = {"matrix": (5, 7), "vector": (33,), "wide": (3, 17)}
CASES = {  # lr, weight_decay, beta1, beta2, epsilon, max_grad_norm
    "torch": (1e-2, 0.01, 0.9, 0.999, 1e-8, 1.0),
    "strong": (3e-3, 0.5, 0.8, 0.95, 1e-6, 0.0),
    "sharp": (1e-3, 0.1, 0.9, 0.99, 1e-8, 0.2),
    "soft": (1e-2, 0.0, 0.9, 0.999, 0.1, 1.0),
}


def steps(name, settings, out, seed):
    lr, decay, beta1, beta2, eps, max_norm = settings
    g = torch.Generator().manual_seed(seed)
    params = {k: torch.nn.Parameter(torch.randn(s, generator=g)) for k, s in SHAPES.items()}
    groups = [
        {"params": [p for p in params.values() if p.dim() == 2], "weight_decay": decay},
        {"params": [p for p in params.values() if p.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=(beta1, beta2), eps=eps)
    out["settings." + name] = torch.tensor(settings)
    out.update({f"start.{name}.{k}": p.detach().clone() for k, p in params.items()})
    grads = {k: [] for k in params}
    weights = {k: [] for k in params}
    norms = []
    for step in range(STEPS):
        size = 0.03 * 2.0 ** (step % 4)  # norms of about 0.3, 0.7, 1.3, 2.6
        for k, p in params.items():
            p.grad = size * torch.randn(p.shape, generator=g)
            grads[k].append(p.grad.flatten().clone())
        # with no limit it only measures
        norms.append(torch.nn.utils.clip_grad_norm_(params.values(), max_norm or 1e30))
        optimizer.step()
        for k, p in params.items():
            weights[k].append(p.detach().flatten().clone())
    out["norm." + name] = torch.stack(norms)
    for k in params:
        out[f"grad.{name}.{k}"] = torch.stack(grads[k])
        out[f"weight.{name}.{k}"] = torch.stack(weights[k])
    print(name, "norms", [round(n.item(), 3) for n in norms])


def rates(schedule, warmup, last, lr):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    name = {"constant": "constant_with_warmup"}.get(schedule, schedule)
    s = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=last)
    got = []
    for _ in range(last + 3):
        got.append(s.get_last_lr()[0])
        optimizer.step()
        s.step()
    return {"schedule": schedule, "warmup_steps": warmup, "max_steps": last,
            "learning_rate": lr, "rates": got}


if __name__ == "__main__":
    torch.set_num_threads(1)
    tensors = {}
    for i, (case, settings) in enumerate(CASES.items()):
        steps(case, settings, tensors, 11 + i)
    save_file(tensors, os.path.join(OUT, "adamw_steps.safetensors"), {"format": "pt"})
    table = [rates(schedule, warmup, last, lr)
             for schedule in ("constant", "cosine", "linear")
             for warmup, last, lr in ((0, 7, 1e-3), (3, 11, 2e-5), (5, 6, 1.0))]
    with open(os.path.join(OUT, "adamw_rates.json"), "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join("  " + json.dumps(row) for row in table) + "\n]\n")
