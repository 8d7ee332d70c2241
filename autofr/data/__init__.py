"""Face sets: folders of identities, and drawn faces."""

from autofr.data.faces import Faces, split_by_identity
from autofr.data.folder import load_folder, scan_folder
from autofr.data.synthetic import synthetic_faces

__all__ = ["Faces", "load_folder", "scan_folder", "split_by_identity", "synthetic_faces"]
