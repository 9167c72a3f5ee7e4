"""How often to save, and the share of the wall time that is then useful training."""

import math

DAY_S = 86_400
LARGEST_EXPONENT = 700.0  # of e in a double


def mean_time_between_failures_s(nodes: int, per_1000_node_days: float) -> float:
    """Seconds between failures of a job on `nodes` nodes; infinite for a failure rate of 0.

    Source: the rate as Kokolis et al. report it, "Revisiting Reliability in Large-Scale Machine Learning Research
    Clusters" (arXiv 2410.21680), section 4: 6.5 failures per 1000 node-days on their larger cluster.
    """
    return 1000 * DAY_S / (nodes * per_1000_node_days) if per_1000_node_days > 0 else math.inf


def best_interval_s(save_s: float, mtbf_s: float) -> float:
    """Seconds of training between two saves that lose the least time; infinite for a failure rate of 0.

    `save_s` is how long one save blocks training. Source: Daly, "A higher order estimate of the optimum
    checkpoint interval for restart dumps" (FGCS 22, 2006), equation 37; its first term is Young's (CACM 17, 1974).
    """
    if math.isinf(mtbf_s):
        return math.inf
    if save_s >= 2 * mtbf_s:
        return mtbf_s
    ratio = save_s / (2 * mtbf_s)
    return math.sqrt(2 * save_s * mtbf_s) * (1 + math.sqrt(ratio) / 3 + ratio / 9) - save_s


def effective_training_time(interval_s: float, save_s: float, restart_s: float, mtbf_s: float) -> float:
    """Useful training / wall time, from 0 to 1, with a save every `interval_s` seconds of training.

    Times between failures are exponentially distributed; a failure costs `restart_s` and the training since the last save.
    Source: Daly (as above), equation 20.
    """
    if math.isinf(mtbf_s):
        return interval_s / (interval_s + save_s)
    if (restart_s + interval_s + save_s) / mtbf_s > LARGEST_EXPONENT:
        return 0.0
    lost = mtbf_s * math.exp(restart_s / mtbf_s) * math.expm1((interval_s + save_s) / mtbf_s)
    return interval_s / lost
