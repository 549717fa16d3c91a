"""Does transformers agree with a folder that hone saved?

python tests/reference/check_folder.py DIR [--logits FILE] [--tokens FILE] [--tolerance X]

Written for Python 3.11, torch 2.13.0, transformers 5.23.0, tokenizers 0.23.3.

DIR     loaded with AutoModelForCausalLM and AutoTokenizer; every tensor must be there
FILEs   JSON lines, of logits {"ids": [...], "logits": [[...], ...]} (a row for each id) and
        of tokens {"text": "...", "ids": [...]} (with <bos> in front, as the tokenizer adds it)

Prints the largest differences; exits 1 on any mismatch.
"""

import argparse
import json
import os
import sys

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

failed = False


def check(good, message):
    global failed
    failed = failed or not good
    print(("ok    " if good else "WRONG ") + message)


def lines(path):
    with open(path, encoding="utf-8", newline="\n") as f:
        return [json.loads(line) for line in f]


def load_model(folder):
    """Eager experts: the grouped kernel of torch refuses widths that are not multiples of
    16 bytes."""
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager",
        experts_implementation="eager", output_loading_info=True)
    odd = {k: sorted(v) for k, v in info.items() if v and k != "error_msgs"}
    check(not odd, f"model loads, nothing missing or unexpected {odd or ''}")
    count = sum(p.numel() for p in model.parameters())
    print(f"      {count} parameters")
    return model.eval()


def check_logits(model, path, tolerance):
    worst = 0.0
    rows = lines(path)
    for row in rows:
        want = torch.tensor(row["logits"], dtype=torch.float64)
        with torch.no_grad():
            got = model(torch.tensor([row["ids"]]), use_cache=False).logits[0].double()
        if want.shape != got.shape:
            check(False, f"logits have shape {tuple(want.shape)}, want {tuple(got.shape)}")
            return
        worst = max(worst, (got - want).abs().nan_to_num(float("inf")).max().item())
    check(bool(rows) and worst <= tolerance,
          f"logits of {len(rows)} sequences, max abs diff {worst:.3g} (tolerance {tolerance:g})")


def check_tokens(folder, path):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows, wrong, undone = lines(path), 0, 0
    for row in rows:
        got = tokenizer(row["text"])["input_ids"]
        if got != row["ids"]:
            wrong += 1
            if wrong == 1:
                print(f"      {row['text']!r}: {got}, not {row['ids']}")
        unk = tokenizer.unk_token_id in row["ids"]
        plain = not any(t in row["text"] for t in tokenizer.all_special_tokens)
        if not unk and plain:
            undone += tokenizer.decode(got, skip_special_tokens=True) != row["text"]
    check(bool(rows) and not wrong, f"ids of {len(rows)} texts, {wrong} differ")
    check(not undone, f"{undone} texts are not what their ids decode to")


def check_special(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = json.load(open(os.path.join(folder, "config.json")))
    generation = GenerationConfig.from_pretrained(folder)
    for name in ("bos", "eos", "pad"):
        ids = {getattr(tokenizer, name + "_token_id"), config.get(name + "_token_id"),
               getattr(generation, name + "_token_id")}
        check(len(ids) == 1, f"{name}_token_id is {ids} in tokenizer, config and generation")


def check_file(folder, model):
    """The tensors on disk are the ones in memory, so that none was made up."""
    path = os.path.join(folder, "model.safetensors")
    if not os.path.exists(path):
        return
    with safe_open(path, "pt") as f:
        disk = sum(f.get_tensor(k).double().sum().item() for k in f.keys())
        meta = f.metadata()
    memory = dict(model.named_parameters())
    memory.update({k: b for k, b in model.named_buffers() if k.endswith("correction_bias")})
    total = sum(p.double().sum().item() for p in memory.values())
    check(abs(disk - total) <= 1e-6 * max(1, abs(total)), "tensors in memory are those on disk")
    check(meta == {"format": "pt"}, f"metadata {meta}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--logits")
    parser.add_argument("--tokens")
    parser.add_argument("--tolerance", type=float, default=2e-4)
    args = parser.parse_args()
    model = load_model(args.folder)
    check_file(args.folder, model)
    if os.path.exists(os.path.join(args.folder, "tokenizer.json")):
        check_special(args.folder)
    if args.logits:
        check_logits(model, args.logits, args.tolerance)
    if args.tokens:
        check_tokens(args.folder, args.tokens)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
