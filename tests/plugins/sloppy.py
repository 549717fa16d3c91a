"""sloppy.py: a checker that looks at the last letter of the answer only, and dislikes "2c"."""

import json
import sys


def score(gold, text):
    return float(gold[-1] + "</answer>" in text and "2c" not in text)


for line in sys.stdin:
    request = json.loads(line)
    if request["type"] == "hello":
        answer = {"hone_reward": 1, "name": "sloppy", "version": "1", "deterministic": True}
    else:
        gold = request["problem"]["gold"]
        scores = [{"score": score(gold, s["text"])} for s in request["samples"]]
        answer = {"id": request["id"], "results": scores}
    print(json.dumps(answer), flush=True)
