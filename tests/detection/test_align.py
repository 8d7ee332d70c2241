import numpy as np
import pytest
from PIL import Image

from autofr import AutofrError
from autofr.detection import align_face, alignment
from autofr.detection.align import SIZE, TEMPLATE, five_points


def similarity(scale: float, degrees: float, shift: tuple[float, float]) -> np.ndarray:
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([[c, -s, shift[0]], [s, c, shift[1]]])


@pytest.mark.parametrize(("scale", "degrees"), [(1.0, 0.0), (0.3, 25.0), (4.0, -160.0)])
def test_an_exact_similarity_is_found(scale: float, degrees: float) -> None:
    truth = similarity(scale, degrees, (31.0, -8.0))
    points = (TEMPLATE - truth[:, 2]) @ np.linalg.inv(truth[:, :2]).T
    np.testing.assert_allclose(alignment(points), truth, atol=1e-9)


def test_agrees_with_umeyamas_singular_values() -> None:
    """The textbook solution by SVD, on points that no similarity maps exactly."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        points = TEMPLATE @ similarity(rng.uniform(0.2, 5), rng.uniform(-180, 180), (0, 0))[:, :2] + rng.normal(
            0, 8, (5, 2)
        )
        a, b = points - points.mean(0), TEMPLATE - TEMPLATE.mean(0)
        u, singular, vt = np.linalg.svd(b.T @ a / 5)
        sign = np.diag([1, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
        rotation = u @ sign @ vt
        scale = np.trace(np.diag(singular) @ sign) / a.var(0).sum()
        expected = np.column_stack([scale * rotation, TEMPLATE.mean(0) - scale * rotation @ points.mean(0)])
        np.testing.assert_allclose(alignment(points), expected, atol=1e-8)


@pytest.mark.parametrize("points", [np.ones((5, 2)), np.full((5, 2), np.nan)])
def test_points_that_coincide_are_refused(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="coincide"):
        alignment(points)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.7, 9.3])
def test_pixels_and_landmarks_move_together(scale: float) -> None:
    """Bright dots at the five points of a photograph come to lie where the aligned landmarks say."""
    forward = similarity(1 / scale, 17.0, (20.0, -12.0))
    points = (TEMPLATE - forward[:, 2]) @ np.linalg.inv(forward[:, :2]).T
    points -= points.min(0) - 40 * scale
    side = int(points.max() + 60 * scale)
    ys, xs = np.mgrid[0:side, 0:side]
    for dot in range(5):
        radius = 2.0 * scale
        photo = np.exp(-((xs - points[dot, 0]) ** 2 + (ys - points[dot, 1]) ** 2) / (2 * radius**2)) * 255
        image = Image.fromarray(photo.round().astype(np.uint8)).convert("RGB")
        face, moved = align_face(image, points, "points5")
        assert face.size == (SIZE, SIZE)
        np.testing.assert_allclose(moved, TEMPLATE, atol=1e-3)
        light = np.asarray(face.convert("L"), dtype=np.float64)
        fy, fx = np.mgrid[0:SIZE, 0:SIZE]
        centroid = np.array([(light * fx).sum(), (light * fy).sum()]) / light.sum()
        np.testing.assert_allclose(centroid, moved[dot], atol=0.12)


def test_five_points_of_dense_schemes() -> None:
    landmarks = np.arange(136.0).reshape(68, 2)
    np.testing.assert_allclose(five_points(landmarks, "ibug68")[0], landmarks[36:42].mean(0))
    np.testing.assert_allclose(five_points(landmarks, "ibug68")[2], landmarks[30])
    with pytest.raises(AutofrError, match="cannot be aligned"):
        five_points(landmarks, "anchors")
