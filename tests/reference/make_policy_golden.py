"""Makes tests/golden/policy_*: tiny random DeepSeek-V3 and Llama policies with their logits,
loss and gradients, computed by transformers in float32 with eager attention.

Made with Python 3.11, torch 2.13.0, transformers 5.23.0, safetensors (as torch needs it).
Run from the root of the tree: python tests/reference/make_policy_golden.py [WORD]
makes those whose name holds WORD.

Each folder holds config.json and model.safetensors as save_pretrained writes them, and
golden.safetensors with
  ids            [n, T]     I64  token ids; the sequences are independent
  logits         [n, T, V]  F32
  loss           []         F32  mean over all n * (T - 1) positions of -log p(next token)
  grad.<tensor>  its shape  F32  d loss / d tensor, by the name the tensor has on disk;
                                 of a tied head the sum, under model.embed_tokens.weight
e_score_correction_bias has no gradient. The router's choice is clear at every position: the
script stops where a decision is closer than MARGIN.
"""

import json
import os
import shutil
import sys

import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import (DeepseekV3Config, DeepseekV3ForCausalLM, LlamaConfig,
                          LlamaForCausalLM)

assert torch.__version__.split("+")[0] == "2.13.0", torch.__version__
assert transformers.__version__ == "5.23.0", transformers.__version__

MARGIN = 2e-4
OUT = os.path.join(os.path.dirname(__file__), "..", "golden")

BASE = dict(
    vocab_size=53, hidden_size=40, intermediate_size=36, moe_intermediate_size=14,
    num_hidden_layers=3, num_attention_heads=3, q_lora_rank=None, kv_lora_rank=20,
    qk_rope_head_dim=6, qk_nope_head_dim=10, v_head_dim=12, n_routed_experts=6,
    n_shared_experts=1, num_experts_per_tok=2, n_group=1, topk_group=1,
    first_k_dense_replace=1, max_position_embeddings=64, bos_token_id=1, eos_token_id=2,
    pad_token_id=0,
)

YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, beta_fast=4.0, beta_slow=1.0,
            mscale=1.0, mscale_all_dim=1.0, original_max_position_embeddings=16)

# name: (what differs from BASE, n sequences, T)
POLICIES = {
    # no low-rank queries, one group
    "plain": (dict(), 2, 24),
    # low-rank queries, limited groups, experts chosen with a bias
    "groups": (dict(q_lora_rank=18, n_routed_experts=16, n_group=4, topk_group=2,
                    num_experts_per_tok=3, moe_intermediate_size=10, n_shared_experts=2,
                    num_hidden_layers=2, hidden_size=32), 2, 25),
    # longer than the original context, both mscales
    "yarn": (dict(q_lora_rank=18, rope_parameters=YARN, qk_rope_head_dim=8,
                  num_hidden_layers=2), 2, 40),
    # attention_factor comes from factor alone; no rounding of the ramp; another theta
    "yarn_plain": (dict(rope_parameters=dict(
        rope_type="yarn", rope_theta=500.0, factor=2.5, beta_fast=3.0, beta_slow=0.5,
        truncate=False, original_max_position_embeddings=16),
        qk_rope_head_dim=10, num_hidden_layers=2, num_attention_heads=2), 2, 40),
    # two very different eps: this one, and the fixed 1e-6 of the latent norms
    "eps": (dict(rms_norm_eps=1e-3, q_lora_rank=7, hidden_size=33, num_hidden_layers=2,
                 rope_parameters=dict(rope_type="default", rope_theta=777.0)), 2, 23),
    "eps5": (dict(rms_norm_eps=1e-5, num_hidden_layers=2, hidden_size=32), 1, 17),
    "tied": (dict(tie_word_embeddings=True, num_hidden_layers=2), 2, 24),
    # shared experts of width 0, which transformers keeps as empty tensors
    "unshared": (dict(n_shared_experts=0, first_k_dense_replace=0, num_hidden_layers=2,
                      n_routed_experts=5, num_experts_per_tok=3), 2, 21),
    "half_split": (dict(rope_interleave=False, norm_topk_prob=False,
                        routed_scaling_factor=1.5, n_shared_experts=2, q_lora_rank=11,
                        num_hidden_layers=2), 2, 24),
    "dense": (dict(first_k_dense_replace=2, num_hidden_layers=2, num_attention_heads=5,
                   vocab_size=61, intermediate_size=47), 3, 19),
}

LLAMA_BASE = dict(
    vocab_size=47, hidden_size=36, intermediate_size=40, num_hidden_layers=2,
    num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=64,
    bos_token_id=1, eos_token_id=2, pad_token_id=0,
)

LLAMAS = {
    # three heads of queries share a key; the head is the embedding
    "llama_grouped": (dict(tie_word_embeddings=True, rms_norm_eps=1e-5, hidden_size=48,
                           rope_parameters=dict(rope_type="default",
                                                rope_theta=100000.0)), 2, 24),
    # a key for each head, a head of its own
    "llama_plain": (dict(num_attention_heads=3, num_key_value_heads=None), 2, 23),
    # heads wider than hidden_size / num_attention_heads, one key for all of them
    "llama_wide": (dict(num_attention_heads=4, num_key_value_heads=1, head_dim=14,
                        hidden_size=28, num_hidden_layers=3), 2, 19),
    # heads narrower than that; a small theta turns fast; more positions than a block
    "llama_theta": (dict(num_attention_heads=4, head_dim=6, hidden_size=40,
                         rms_norm_eps=1e-3,
                         rope_parameters=dict(rope_type="default", rope_theta=77.0)), 1, 61),
}


def randomize(model, seed):
    """Weights large enough for every part to matter: norms around 1, biases not 0. Latent
    projections and embeddings of "eps" are small, so that an eps shows."""
    g = torch.Generator().manual_seed(seed)
    small = model.config.rms_norm_eps > 1e-4
    for name, p in sorted(model.state_dict(keep_vars=True).items()):
        noise = torch.randn(p.shape, generator=g)
        if "layernorm" in name or name == "model.norm.weight":
            value = 1 + 0.2 * noise
        elif "e_score_correction_bias" in name:
            value = 0.15 * noise
        elif "embed_tokens" in name:
            std = 0.03 if small else 0.25 if model.config.tie_word_embeddings else 0.8
            value = std * noise
        elif small and ("kv_a_proj" in name or "q_a_proj" in name):
            value = 2e-4 * noise
        elif "mlp.gate.weight" in name:
            value = 1.5 / p.shape[-1] ** 0.5 * noise
        else:
            value = 1.2 / max(p.shape[-1], 1) ** 0.5 * noise
        p.data.copy_(value)


def router_margin(gate, x):
    """How far the nearest choice of the router is from going the other way."""
    with torch.no_grad():
        s = torch.sigmoid(x.reshape(-1, x.shape[-1]) @ gate.weight.T)
        c = (s + gate.e_score_correction_bias).view(len(s), gate.num_group, -1)
        top = c.sort(-1, descending=True).values
        group = top[..., :2].sum(-1).sort(-1, descending=True)
        margin = torch.tensor(1.0)
        if gate.topk_group < gate.num_group:
            margin = (group.values[:, gate.topk_group - 1] - group.values[:, gate.topk_group]).min()
        keep = torch.zeros_like(c[..., 0], dtype=torch.bool)
        keep.scatter_(1, group.indices[:, : gate.topk_group], True)
        c = c.masked_fill(~keep[..., None], -torch.inf).flatten(1).sort(-1, descending=True)[0]
        if gate.top_k < c.shape[1]:
            margin = torch.minimum(margin, (c[:, gate.top_k - 1] - c[:, gate.top_k]).min())
        return margin.item()


def disk_gradients(model, names):
    """Gradients by the names on disk; transformers fuses the experts in memory."""
    grads = {}
    for name, p in model.named_parameters():
        g = p.grad if p.grad is not None else torch.zeros_like(p)
        if name.endswith("experts.gate_up_proj") or name.endswith("experts.down_proj"):
            stem = name.rsplit(".", 1)[0]
            for e in range(g.shape[0]):
                if name.endswith("down_proj"):
                    grads[f"{stem}.{e}.down_proj.weight"] = g[e]
                else:
                    gate, up = g[e].chunk(2, dim=0)
                    grads[f"{stem}.{e}.gate_proj.weight"] = gate
                    grads[f"{stem}.{e}.up_proj.weight"] = up
        else:
            grads[name] = g
    wanted = {n for n in names if not n.endswith("e_score_correction_bias")}
    assert set(grads) == wanted, set(grads) ^ wanted
    return {n: g.contiguous().clone() for n, g in grads.items()}


def check_disk_names(path, model):
    """The split of the experts above is the one save_pretrained makes."""
    state = model.state_dict()
    with safe_open(path, "pt") as f:
        for name in f.keys():
            if ".experts." not in name:
                continue
            stem, e, part = name[: -len(".weight")].rsplit(".", 2)
            fused = state[f"{stem}.down_proj" if part == "down_proj" else f"{stem}.gate_up_proj"]
            want = fused[int(e)]
            if part != "down_proj":
                want = want.chunk(2, dim=0)[0 if part == "gate_proj" else 1]
            assert torch.equal(f.get_tensor(name), want), name
        return list(f.keys())


def deepseek(change):
    config = DeepseekV3Config(**{**BASE, **change,
                                 "num_key_value_heads": {**BASE, **change}["num_attention_heads"]})
    return DeepseekV3ForCausalLM._from_config(
        config, attn_implementation="eager", experts_implementation="eager")


def llama(change):
    return LlamaForCausalLM._from_config(LlamaConfig(**{**LLAMA_BASE, **change}),
                                         attn_implementation="eager")


def make(name, new, change, n, length, seed):
    for attempt in range(200):
        model = new(change).float().eval()
        config = model.config
        randomize(model, seed + 1000 * attempt)
        margins = []
        for module in model.modules():
            if type(module).__name__ == "DeepseekV3TopkRouter":
                module.register_forward_pre_hook(
                    lambda m, args: margins.append(router_margin(m, args[0])))
        g = torch.Generator().manual_seed(seed + 1000 * attempt + 1)
        # from 1: torch gives the padding token's embedding row no gradient
        ids = torch.randint(1, config.vocab_size, (n, length), generator=g)
        logits = model(ids, use_cache=False).logits
        if not margins or min(margins) > MARGIN:
            break
    else:
        raise SystemExit(f"{name}: the router is never clear")
    loss = torch.nn.functional.cross_entropy(
        logits[:, :-1].reshape(-1, config.vocab_size), ids[:, 1:].reshape(-1))
    loss.backward()
    folder = os.path.join(OUT, "policy_" + name)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    names = check_disk_names(os.path.join(folder, "model.safetensors"), model)
    golden = {"ids": ids, "logits": logits.detach(), "loss": loss.detach()}
    golden.update({"grad." + k: v for k, v in disk_gradients(model, names).items()})
    save_file(golden, os.path.join(folder, "golden.safetensors"),
              {"format": "pt"})
    os.remove(os.path.join(folder, "generation_config.json"))
    print(f"{name}: loss {loss.item():.6f}, margin {min(margins, default=1):.6f}, "
          f"attempt {attempt}, logits std {logits.std().item():.3f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    todo = [(name, deepseek, *args) for name, args in POLICIES.items()]
    todo += [(name, llama, *args) for name, args in LLAMAS.items()]
    for i, args in enumerate(todo):
        if word in args[0]:
            make(*args, 7 + i)
