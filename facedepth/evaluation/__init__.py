"""Scores of a model on a data set, reports of them, and models side by side on one face."""

from .comparison import compare
from .evaluating import evaluate
from .report import REPORT_FILES, Report, score_table

__all__ = ["REPORT_FILES", "Report", "compare", "evaluate", "score_table"]
