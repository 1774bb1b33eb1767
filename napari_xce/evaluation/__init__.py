"""How good the predictions are: matching, F1 with intervals, thresholds, masks."""

from napari_xce.evaluation.instances import dice, instance_score
from napari_xce.evaluation.matching import match_points
from napari_xce.evaluation.scores import Score, bootstrap_score, score_detections
from napari_xce.evaluation.thresholds import F1Curve, best_threshold, f1_curve

__all__ = [
    "F1Curve",
    "Score",
    "best_threshold",
    "bootstrap_score",
    "dice",
    "f1_curve",
    "instance_score",
    "match_points",
    "score_detections",
]
