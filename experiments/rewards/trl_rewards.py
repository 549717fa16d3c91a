"""experiments/rewards/trl_rewards.py: reward functions as TRL calls them; hone-reward-py runs
them as they are.

    hone reward check --command '["hone-reward-py", "trl_rewards.py:close"]'
"""

import asyncio
import difflib
import re


def answer_of(completion):
    found = re.search(r"<answer>(.*?)</answer>", completion)
    return found.group(1) if found else ""


def close(completions, ground_truth, **kwargs):
    """How alike the answer and the truth are."""
    return [
        difflib.SequenceMatcher(None, answer_of(completion), truth).ratio()
        for completion, truth in zip(completions, ground_truth)
    ]


def short(completion_ids, **kwargs):
    """One for no tokens, none for many."""
    return [1 / (1 + len(ids)) for ids in completion_ids]


async def polite(prompts, completions, **kwargs):
    """Waits for somebody else's judgement, who has nothing to say of prompts with an `a`."""
    await asyncio.sleep(0.001)
    return [
        None if "a" in prompt.partition(" ")[2] else float("please" not in completion)
        for prompt, completion in zip(prompts, completions)
    ]
