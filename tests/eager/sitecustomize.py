"""Let no process that a test starts stand back: beside other work, one of the lowest priority would never end.

tests/conftest.py puts this folder on ``PYTHONPATH``, so that Python imports this module at its start.
"""

import os

os.nice = lambda increment: 0
if hasattr(os, "sched_setscheduler"):
    os.sched_setscheduler = lambda pid, policy, param: None
