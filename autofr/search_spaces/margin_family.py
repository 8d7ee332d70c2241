"""Five families of margin loss at three margins each: which way of asking, and how much.

ArcFace and CosFace ask the same of every image. AdaFace asks less of images with short embeddings (poor ones, masked
ones perhaps), ElasticFace draws the margin anew for each face, and MV-Softmax presses the classes that a face is
mistaken for. Fifteen options want a larger population, or more generations, than nine.
"""

from autofr import Choice, SearchSpace
from autofr.losses import AdaFace, ArcFace, CosFace, ElasticFace, MVSoftmax

MARGINS = (0.2, 0.3, 0.4)

FAMILIES = (ArcFace, CosFace, AdaFace, ElasticFace, MVSoftmax)

space = SearchSpace(loss=Choice(family(m) for family in FAMILIES for m in MARGINS))
