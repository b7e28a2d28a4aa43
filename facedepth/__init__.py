"""facedepth: a 3D face from one photo.

    import facedepth as fd
    face = fd.predict(fd.load_model("face_small"), "me.jpg")
    face.mesh().save("me.glb")

Conventions (axes, units, pixel centres, kinds of depth) are in ``facedepth.camera``. Where to find what:

| about | modules |
|---|---|
| the ground | checks, paths, camera, sample, depth |
| files of pictures, depth and meshes | io, exr, mesh, layouts |
| a depth map into 3D | geometry, outline, mesh_page (HTML) |
| data to learn from | data, synthetic (made here), framing, transforms, batches |
| networks and their checkpoints | models |
| a photo into a prediction | prediction (its face found, framed, predicted; its files) |
| scores | metrics, evaluation (reports, models side by side) |
| training | losses, training (fit, its settings, LoRA, a live picture) |
| what is shown | figures, films, viewer (sliders) |
| the command line | cli, verbs, demo |
"""

from .camera import Camera, Crop
from .checks import InputError
from .data import EG3DFaces, Joined, PairedFolder, copy_to_local_disk, rerender, split
from .evaluation import Report, compare, evaluate, score_table
from .films import turntable
from .mesh import Mesh, PointCloud
from .models import add_head_mask, create_model, list_models, load_encoder, load_model, save_model
from .prediction import Prediction, predict
from .sample import Sample
from .synthetic import SyntheticFaces, generate
from .training import LiveTraining, LossWeights, TrainConfig, TrainingStopped, fit
from .viewer import PhotoUpload, explore, show, show_mesh, show_samples, show_training

__all__ = [
    "Camera", "Crop", "EG3DFaces", "InputError", "Joined", "LiveTraining", "LossWeights", "Mesh", "PairedFolder",
    "PhotoUpload", "PointCloud", "Prediction", "Report", "Sample", "SyntheticFaces", "TrainConfig", "TrainingStopped",
    "add_head_mask", "compare", "copy_to_local_disk", "create_model", "evaluate", "explore", "fit", "generate",
    "list_models", "load_encoder", "load_model", "predict", "rerender", "save_model", "score_table", "show",
    "show_mesh", "show_samples", "show_training", "split", "turntable",
]
