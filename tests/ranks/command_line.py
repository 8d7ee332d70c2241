"""The command line on every rank, which loses one, or is told to stop, in a training step.

Started by torchrun in tests/engine/test_distributed.py: ``killed COMMITS ARGUMENTS`` by
test_a_rank_is_killed_and_the_job_goes_on, ``stopped COMMITS ARGUMENTS`` by test_another_number_of_processes_goes_on.
"""

import os
import signal
import sys

from tests.processes import at_a_step, command_line

how, commits, *arguments = sys.argv[1:]
if how == "killed" and os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    at_a_step(int(commits), lambda: os.kill(os.getpid(), signal.SIGKILL))
if how == "stopped" and os.environ["RANK"] == "0":
    at_a_step(int(commits), lambda: os.kill(os.getppid(), signal.SIGTERM))
sys.exit(command_line(arguments))
