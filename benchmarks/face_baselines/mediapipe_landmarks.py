"""MediaPipe's face mesh on a folder of pictures: run by ``benchmarks.face_baselines`` with a Python that has it.

``python mediapipe_landmarks.py IMAGES OUT.npz`` needs mediapipe 0.10.21 and nothing of this project: the wheel holds
its models, and wants an older NumPy than others here do.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image


def main(folder: str, out: str) -> None:
    """Write (478 or 468, 3) landmarks by stem, and the mesh's edges under the name ``edges``."""
    import mediapipe

    solution = mediapipe.solutions.face_mesh
    found = {"edges": np.array(sorted(solution.FACEMESH_TESSELATION))}
    with solution.FaceMesh(static_image_mode=True, max_num_faces=1, min_detection_confidence=0.3) as tracker:
        for path in sorted(Path(folder).glob("*.png")):
            faces = tracker.process(np.array(Image.open(path).convert("RGB"))).multi_face_landmarks
            if faces:
                found[path.stem] = np.array([[point.x, point.y, point.z] for point in faces[0].landmark])
    np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
