"""Networks, and the checkpoint files they are kept in."""

from .checkpoint import load_model, save_model
from .decoder import add_head_mask
from .encoder_weights import load_encoder
from .network import LEAST_SIZE, DepthNetwork, check_network, evaluation_mode, uncompiled
from .registry import BEST, MODELS, ModelEntry, create_model, has_weights, list_models, shipped_weights

__all__ = [
    "BEST", "LEAST_SIZE", "MODELS", "DepthNetwork", "ModelEntry", "add_head_mask", "check_network", "create_model",
    "evaluation_mode", "has_weights", "list_models", "load_encoder", "load_model", "save_model", "shipped_weights",
    "uncompiled",
]
