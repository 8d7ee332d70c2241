"""CosFace margins 0.05 to 0.45 by 0.05: the same pool as arcface_margins, with the margin on the cosine.

CosFace asks the same of every face, near its centre or far; ArcFace asks less of those near it. Which of the two suits
a set is not known beforehand, and neither is how large a margin its size and its noise allow.
"""

from autofr import Choice, SearchSpace
from autofr.losses import CosFace

space = SearchSpace(loss=Choice(CosFace(m / 100) for m in range(5, 50, 5)))
