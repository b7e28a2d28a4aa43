"""LoRA: small trainable matrices beside the attention of a transformer whose own weights stay fixed.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021; the layers are those of ``peft``.
"""

from __future__ import annotations

from copy import deepcopy

from torch import nn

from ..checks import InputError
from ..models import DepthNetwork

_ATTENTION = r"blocks\.\d+\.attn\.(qkv|proj)"  # timm's transformers


def add_adapters(model: DepthNetwork, rank: int, *, decoder_learns: bool) -> None:
    """Put adapters of that rank beside the attention of the model's encoder, in place. At first they change nothing.

    From then on only they are trained, and the decoder if ``decoder_learns``; the encoder's own weights stay fixed. The
    last layer of a network with a head mask is trained in any case: an added mask starts with uninformative weights.

    Raises:
        InputError: the encoder is not a transformer; peft is not installed, or refuses to work here.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise InputError('LoRA needs the package peft: pip install ".[lora]" in the clone') from None
    try:
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=_ATTENTION), model.encoder)
    except ValueError:
        raise InputError(
            f"LoRA: expected a network with a transformer, such as dpt_large, got {model.name!r}; set learns='all'"
        ) from None
    except ImportError as error:  # peft checks packages that nothing here needs, and refuses old ones
        raise InputError(
            f"LoRA: peft refuses a package that is installed here ({error}); uninstall that (pip uninstall torchao), "
            "or update it, then restart the kernel"
        ) from None
    mask_learns = bool(model.options.get("head_mask"))
    for name, parameter in model.named_parameters():
        beside = decoder_learns and not name.startswith("encoder.")
        wanted = beside or (mask_learns and name.startswith("head.out."))
        parameter.requires_grad_(".lora_" in name or (wanted and parameter.requires_grad))


def merge_adapters(model: DepthNetwork) -> None:
    """Add what the adapters learnt to the model's own weights, remove them and make all weights trainable, in place.

    A model without adapters is left as it is.
    """
    adapted = _adapted(model)
    for parent, name, layer in adapted:
        layer.merge()
        setattr(parent, name, layer.get_base_layer())
    if adapted:
        del model.encoder.peft_config  # else peft warns of a second set when adapters are added again
        model.requires_grad_(True)


def merged(model: DepthNetwork) -> DepthNetwork:
    """The model as a plain network with the same output: itself, or a merged copy where it has adapters."""
    if not _adapted(model):
        return model
    plain = deepcopy(model)
    merge_adapters(plain)
    return plain


def _adapted(model: nn.Module) -> list[tuple[nn.Module, str, nn.Module]]:
    """Every layer with an adapter: the module it is in, its name there, the layer."""
    return [
        (parent, name, layer) for parent in model.modules() for name, layer in parent.named_children()
        if hasattr(layer, "lora_A")
    ]
