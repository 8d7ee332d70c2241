"""MLflow, and its only writer: searches, evaluations."""

from autofr.tracking.store import flatten, metric_name, tracking_uri
from autofr.tracking.tracker import Tracker

__all__ = ["Tracker", "flatten", "metric_name", "tracking_uri"]
