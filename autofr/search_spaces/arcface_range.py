"""Any ArcFace margin from 0 to 0.5: a parameter between bounds, for --policy lfs_gaussian or Optuna's samplers.

A pool of margins has neighbours that know nothing of each other; a distribution over the margin itself lends what one
member learned to all margins near its own.
"""

from autofr import Range, SearchSpace
from autofr.losses import ArcFace

space = SearchSpace(loss=Range(ArcFace, m=(0.0, 0.5)))
