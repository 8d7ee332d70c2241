"""MLflow, and its only writer: searches, evaluations."""

from autofr.tracking.store import metric_name, tracking_uri
from autofr.tracking.tracker import Tracker

__all__ = ["Tracker", "metric_name", "tracking_uri"]
