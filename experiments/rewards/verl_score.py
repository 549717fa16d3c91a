"""experiments/rewards/verl_score.py: a scorer as verl calls it; hone-reward-py runs it as it is.

    hone reward check --command '["hone-reward-py", "verl_score.py"]'
"""


def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    """The answer must be the truth; the format alone is worth a little."""
    head, tag, rest = solution_str.rpartition("<answer>")
    answer, end, _ = rest.partition("</answer>")
    if not tag or not end:
        return 0.0
    right = answer == ground_truth
    return {"score": 1.0 if right else 0.1, "acc": right, "answer_length": len(answer)}
