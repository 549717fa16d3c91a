"""experiments/rewards/gym_scorer.py: a scorer with the interface of reasoning-gym's data sets;
hone-reward-py runs it as it is, and those of the package too.

    hone reward check --command '["hone-reward-py", "gym_scorer.py"]'
"""


def score_answer(answer, entry):
    """Right, or the same letters in another order."""
    oracle = entry["answer"]
    if answer is None:
        return 0.0
    if answer == oracle:
        return 1.0
    return 0.2 if sorted(answer) == sorted(oracle) else 0.01
