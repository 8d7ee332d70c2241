"""MLflow, and its only writer: searches, evaluations."""

from autofr.tracking.search import Tracker
from autofr.tracking.store import flatten, metric_name, tracking_uri

__all__ = ["Tracker", "flatten", "metric_name", "tracking_uri"]
