"""Be one of two ranks that are on devices of two kinds.

Started by torchrun in tests/engine/test_distributed.py: test_devices_of_two_kinds.
"""

import os

import torch

from autofr import AutofrError
from autofr.compute.mesh import Shape, joined

try:
    with joined(Shape(data=2), 1, torch.device("cpu" if os.environ["RANK"] == "0" else "meta")):
        print("joined")
except AutofrError as error:
    print(f"rank {os.environ['RANK']}: {error}")
