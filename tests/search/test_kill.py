"""SIGKILL at every step of a commit and at random instants, then a resume: the same bits as without."""

from autofr.testing import KillContract


class TestSmallSearch(KillContract):
    pass
