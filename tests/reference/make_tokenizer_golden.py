"""Makes tests/golden/tokenizer_*.json and the vectors beside them.

Made with Python 3.11, tokenizers 0.23.3. Run from the root of the tree:
python tests/reference/make_tokenizer_golden.py

tokenizer_NAME.json is what the library prints for the tokenizer that tests/test_tokenizer.c
makes under the same name. tokenizer_NAME.jsonl has a line a text: ids without and with what
the post-processor adds, and what decoding those gives with special tokens kept and skipped.
"""

import json
import os
import random

import tokenizers
from tokenizers import Tokenizer

assert tokenizers.__version__ == "0.23.3", tokenizers.__version__

OUT = os.path.join(os.path.dirname(__file__), "..", "golden")
SPECIAL = ["<pad>", "<bos>", "<eos>", "<unk>"]
MATHS = "0123456789+-*/()=, \nabcdefghijklmnopqrstuvwxyz"
ODD = "ab<> \t\n\r\b\f\x01\x7f\"\\/éß日本語😀\u2028\ufeff\U0010ffff"

# name: (alphabet or None for bytes, tags)
TOKENIZERS = {
    "chars": (MATHS, ["<think>", "</think>", "<answer>", "</answer>"]),
    "plain": ("cba", []),
    "odd": (ODD, ["<a", "<ab", "<ab>b", "日本", "b", "b b", "é\n"]),
    "bytes": (None, ["<think>", "</think>", "<think", "a b"]),
}

TEXTS = [
    "", " ", "\n", "a", "abc", "3,44,9=>98", "<think>1+2=3</think><answer>3</answer>",
    "<think><think></think></think>", "<<think>>", "<think", "think>", "</think", "<thin<think>k>",
    "<a", "<ab", "<ab>", "<ab>b", "<<a<ab<ab>b>b", "<a<", "ab b b b", "b bb b", "日本語", "日日本本",
    "é", "é\n", "éé\né", "e\u0301", "ß日本語😀", "😀😀", "👩‍👩‍👧", "\ufeffa", "\u2028", "Ω≈ç", "zzz", "Zz",
    "<eos>", "<bos>a<eos>", "<pad><pad>", "<unk>", "a<unk>b", "<EOS>", "<bos", "<bos><bos>",
    "  a  b  ", "\t\r\n", "a\tb", "\"\\/\b\f\x01\x7f", "It's 12 o'clock; isn't it?", "x" * 300,
    "\U0010ffff", "\u0080\u00a0\u00ad\u0100", "Ġ", "Ċ", "1\u00a02", "\u0661\u0662", "ﬁ", "İ",
]


def pieces(alphabet, tags):
    vocab = SPECIAL + tags
    if alphabet is not None:
        return vocab + [c for c in sorted(set(alphabet)) if c not in tags]
    keep = {*range(33, 127), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    other = iter(range(0x100, 0x200))
    return vocab + [chr(b if b in keep else next(other)) for b in range(256)]


def make(alphabet, tags):
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False,
                  "use_regex": False}
    bos, a, b = ({"SpecialToken": {"id": "<bos>", "type_id": 0}},
                 {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}})
    return Tokenizer.from_str(json.dumps({
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [
            {"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": i < len(SPECIAL)}
            for i, t in enumerate(SPECIAL + tags)],
        "normalizer": None,
        "pre_tokenizer": byte_level if alphabet is None else None,
        "post_processor": {
            "type": "TemplateProcessing", "single": [bos, a], "pair": [bos, a, b],
            "special_tokens": {"<bos>": {"id": "<bos>", "ids": [1], "tokens": ["<bos>"]}}},
        "decoder": byte_level if alphabet is None else {"type": "Fuse"},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": "<unk>",
            "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
            "byte_fallback": False, "ignore_merges": False,
            "vocab": {p: i for i, p in enumerate(pieces(alphabet, tags))}, "merges": []},
    }))


def random_texts(alphabet, tags, rng):
    bits = SPECIAL + 3 * tags + list(alphabet or MATHS) + ["<", ">", "é", "日", "☃"]
    bits += [t[:n] for t in SPECIAL + tags for n in range(1, len(t))]
    return ["".join(rng.choice(bits) for _ in range(rng.randint(1, 30))) for _ in range(60)]


if __name__ == "__main__":
    for name, (alphabet, tags) in TOKENIZERS.items():
        tokenizer = make(alphabet, tags)
        with open(os.path.join(OUT, f"tokenizer_{name}.json"), "w", newline="") as f:
            f.write(tokenizer.to_str(pretty=True))
        with open(os.path.join(OUT, f"tokenizer_{name}.jsonl"), "w", newline="") as f:
            for text in TEXTS + random_texts(alphabet, tags, random.Random(name)):
                ids = tokenizer.encode(text, add_special_tokens=False).ids
                ids_bos = tokenizer.encode(text).ids
                line = {"text": text, "ids": ids, "ids_bos": ids_bos,
                        "decoded": tokenizer.decode(ids_bos, skip_special_tokens=False),
                        "decoded_skip": tokenizer.decode(ids_bos, skip_special_tokens=True)}
                print(json.dumps(line, ensure_ascii=False), file=f)
        print(name, tokenizer.get_vocab_size())
