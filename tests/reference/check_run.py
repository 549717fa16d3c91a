"""Checks a run that hone made against transformers: DIR/final loads, its tokenizer gives the
recorded ids, the recorded greedy completions are what transformers generates, and the
log-probabilities of the recorded episodes of an early step agree with its checkpoint's.

    python tests/reference/check_run.py DIR [N]

transformers 5.23.0, torch 2.13.0. Run by hand; prints what it compared, exits 1 on a mismatch.
"""
import sqlite3
import struct
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

run, n = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 50
torch.manual_seed(0)
db = sqlite3.connect(f"file:{run}/run.db?mode=ro", uri=True)
bad = 0


def load(folder):
    tok = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                                 attn_implementation="eager")
    return tok, model.eval()


# 1. greedy completions of the last evaluation
tok, model = load(f"{run}/final")
last = db.execute("select id, step from eval_runs where mode='greedy' order by step desc").fetchone()
rows = db.execute("select p.prompt, e.text, e.n_completion from eval_episodes e join problems p "
                  "on p.id = e.problem_id where e.eval_id = ? order by e.idx limit ?",
                  (last[0], n)).fetchall()
for prompt, text, length in rows:
    ids = tok(prompt, return_tensors="pt").input_ids
    with torch.no_grad():
        out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False,
                             max_new_tokens=length)
    got = tok.decode(out[0, ids.shape[1]:], skip_special_tokens=True)
    if got != text:
        bad += 1
        print(f"{prompt!r}: hone {text!r}, transformers {got!r}")
print(f"{len(rows) - bad} of {len(rows)} greedy completions of step {last[1]} are the same")

# 2. ids and log-probabilities of episodes, from the checkpoint that drew them
worst, tokens, wrong_ids = 0.0, 0, 0
steps = [r[0] for r in db.execute("select distinct g.step from groups g order by g.step")]
for step in steps:
    try:
        tok, model = load(f"{run}/checkpoints/step-{step - 1}")
    except OSError:
        continue
    rows = db.execute("select p.prompt, e.ids, e.logps, e.n_prompt, e.n_completion from episodes e "
                      "join groups g on g.id = e.group_id join problems p on p.id = g.problem_id "
                      "where g.step = ? order by e.id limit ?", (step, n)).fetchall()
    for prompt, blob, logps, n_prompt, n_completion in rows:
        ids = list(struct.unpack(f"<{n_prompt + n_completion}i", blob))
        want = torch.tensor(struct.unpack(f"<{n_completion}f", logps))
        wrong_ids += tok(prompt).input_ids != ids[:n_prompt]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        logp = torch.log_softmax(logits, -1)
        got = torch.stack([logp[i - 1, ids[i]] for i in range(n_prompt, len(ids))])
        worst = max(worst, (got - want).abs().max().item())
        tokens += n_completion
    print(f"step {step}: log-probabilities of {tokens} tokens differ by at most {worst:.2g} so far")
print(f"{wrong_ids} prompts with other ids")
sys.exit(bool(bad or wrong_ids or worst > 1e-4 or tokens == 0))
