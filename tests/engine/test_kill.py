"""SIGKILL at steps of a commit and at other instants, then a resume: the same bits as without."""

from autofr.testing import KillContract
from autofr.testing.killing import elastic_search


class TestSmallSearch(KillContract):
    pass


class TestElasticSearch(KillContract):
    """One entry of slices, and a Pareto set, in every checkpoint."""

    search = staticmethod(elastic_search)
    kills = 8
