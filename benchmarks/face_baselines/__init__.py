"""How good the networks are beside a face mesh tracker, the mean face and an ellipsoid, on pictures with known depth.

``python -m benchmarks.face_baselines --data data/standin --model weights.safetensors -o outputs/baselines``
"""
