"""The re-weighted softmax of Loss Function Search (ICML 2020), a = 0 to -3000 in steps of about three.

A constant a is CosFace with m = ln(1 - a)/s: at s = 24 these are margins of 0 to 0.33, at s = 64 of 0 to 0.13, in
nearly even steps but for the first ones. So this pool searches CosFace's margin evenly, and by a it is the published
space. For a anywhere between bounds, write Range(LFSSoftmax, a=(-300, 0)), and search it with --policy lfs_gaussian.
"""

from autofr import Choice, SearchSpace
from autofr.losses import LFSSoftmax

space = SearchSpace(loss=Choice(LFSSoftmax(a) for a in (0, -1, -3, -10, -30, -100, -300, -1000, -3000)))
