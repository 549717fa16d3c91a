"""experiments/rewards/letters.py: a reward as a program that answers lines: the share of the
answer's letters that the prompt has, and how many they are.

    hone reward check --command '["python3", "experiments/rewards/letters.py"]'
"""

import json
import re
import sys


def score(prompt, text):
    found = re.findall(r"<answer>(.*?)</answer>", text, re.DOTALL)
    if not found or not found[-1]:
        return {"status": "unparsable", "reason": "no answer"}
    answer = found[-1]
    known = sum(letter in prompt for letter in answer)
    return {
        "score": known / len(answer),
        "reason": f"{known} of {len(answer)}",
        "parts": {"letters": len(answer)},
    }


def answer(request):
    if request["type"] == "hello":
        return {"hone_reward": 1, "name": "letters", "version": "1", "deterministic": True}
    prompt = request["problem"]["prompt"]
    return {
        "id": request["id"],
        "results": [score(prompt, sample["text"]) for sample in request["samples"]],
    }


def main():
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
