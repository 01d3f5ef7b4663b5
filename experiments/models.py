"""Networks by name: the packaged ones, and the way to a user's own."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from experiments.networks import DigitsConv, LeNet5, convnet, resnet18, resnet20, vgg8, vgg8_half, vgg16
from experiments.sequence_networks import ImageSize, SpeechGRU, sides, vit_tiny_2, vit_tiny_4, vit_tiny_7
from hwmodels.errors import UserError, suggestion, unknown
from mapping.rewriting import rewritable, rewritten

_SQUARE: dict[str, Callable[[int, int, int], nn.Module]] = {
    "convnet": convnet,
    "digits-conv": DigitsConv,
    "lenet5": LeNet5,
    "resnet18": resnet18,
    "resnet20": resnet20,
    "vgg16": vgg16,
    "vgg8": vgg8,
    "vgg8-half": vgg8_half,
}
"""in_channels, classes, pixels each way of a square image -> network."""
_ANY_SIZE: dict[str, Callable[[int, int, ImageSize], nn.Module]] = {
    "speech-gru": SpeechGRU,
    "vit-tiny-2": vit_tiny_2,
    "vit-tiny-4": vit_tiny_4,
    "vit-tiny-7": vit_tiny_7,
}
"""The same for images that need not be square."""


def names() -> tuple[str, ...]:
    """Names of the packaged networks."""
    return tuple(sorted((*_SQUARE, *_ANY_SIZE)))


def build(
    name: str,
    *,
    in_channels: int,
    classes: int,
    image_size: ImageSize,
    seed: int = 0,
    weights: str | os.PathLike[str] | None = None,
) -> nn.Module:
    """A network for images (n, in_channels, height, width), in evaluation mode, on the CPU.

    name: a packaged network, or the user's own as "package.module:factory", looked for in the current folder and
    among the installed packages. The factory is called with those of in_channels, classes and image_size that it takes
    as keyword arguments, so with none if it takes none. image_size: pixels each way, or (height, width) of images that
    are not square (a spectrogram's bands and frames). seed: of the first weights; torch's global generator is left as
    it was. weights: a safetensors file for all of the state.
    Raises UserError for an unknown name, a packaged network of square images for others, a factory that fails or gives
    something else than a module, a network that does not turn such images into (n, classes), and weights that are
    missing, left over, of another shape or not finite.

    Recurrent layers and nn.MultiheadAttention are linear layers under the names that a placement has for them
    (`gru.weight_ih_l0`, `attention.q_proj`; `mapping.rewriting`), so that training, compression plans and arrays speak
    of the same layers. A weights file may name their tensors so or as torch does.

    Weights of convolutions stand in memory with their channels last, which trains up to 1.7 times faster on a processor
    (LeNet-5, one thread); where the network's forward does not work so (it takes a `view` of activations), as ever.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if ":" in name:
            model = _user_network(name, in_channels=in_channels, classes=classes, image_size=image_size)
        else:
            model = _packaged(name, in_channels, classes, image_size)
        model.eval()
        shape = (in_channels, *sides(image_size))
        _check_scores(name, model, shape, classes)
        _channels_last(model, shape)
    model = rewritten(model) if weights is None else _with_weights(model, Path(weights).expanduser())
    _check_finite(dict(model.state_dict()), f"the network {name!r}")
    return model


def _with_weights(model: nn.Module, path: Path) -> nn.Module:
    """The rewritten network with the weights of a file, whose tensors have torch's own names or those of the layers."""
    if rewritable(model) and _read_weights(path).keys() == model.state_dict().keys():
        load_weights(model, path)
        return rewritten(model)
    model = rewritten(model)
    load_weights(model, path)
    return model


def _packaged(name: str, in_channels: int, classes: int, image_size: ImageSize) -> nn.Module:
    if name in _ANY_SIZE:
        return _ANY_SIZE[name](in_channels, classes, image_size)
    if name not in _SQUARE:
        raise _unknown_network(name)
    height, width = sides(image_size)
    if height != width:
        fitting = ", ".join(sorted(_ANY_SIZE))
        raise UserError(f"{name} takes square images, not {height} × {width} pixels; these take any: {fitting}.")
    return _SQUARE[name](in_channels, classes, height)


def _channels_last(model: nn.Module, shape: tuple[int, int, int]) -> None:
    """Put the channels of convolution weights last in memory, if the network's forward lets activations be so too."""
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    try:
        with torch.no_grad():
            model(torch.zeros(2, *shape))
    except RuntimeError:
        model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def load_weights(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Set all of a model's state (parameters and buffers) from a safetensors file, in place.

    Raises UserError naming the file and the tensor: missing or unexpected tensors, another shape, whole numbers
    where real ones belong or the other way round, values that are not finite, a damaged file.
    """
    path = Path(path).expanduser()
    found = _read_weights(path)
    wanted = dict(model.state_dict())
    missing, surplus = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing or surplus:
        parts = [f"lacks {_listed(missing)}"] * bool(missing) + [f"has {_listed(surplus)} too many"] * bool(surplus)
        raise UserError(f"{path} does not fit the network: it {' and '.join(parts)}.")
    for key, tensor in found.items():
        if tensor.shape != wanted[key].shape:
            raise UserError(
                f"{path}: tensor {key!r} has the shape {tuple(tensor.shape)}, the network's {tuple(wanted[key].shape)}."
            )
        if tensor.is_floating_point() != wanted[key].is_floating_point():
            raise UserError(f"{path}: tensor {key!r} is {tensor.dtype}, the network's {wanted[key].dtype}.")
    _check_finite(found, str(path))
    model.load_state_dict(found)


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"There is no weights file {path}; network.weights names a safetensors file.")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is no intact safetensors file: {error}") from error


@contextmanager
def importable(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Make modules in `folder` importable while the block runs: the one place that touches the import path."""
    entry = str(Path(folder).resolve())
    sys.path.insert(0, entry)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(entry)


def source_file(name: str) -> Path | None:
    """The file of a user's network "package.module:factory"; None when it cannot be found (`build` says why)."""
    with importable(Path.cwd()):
        try:
            found = importlib.util.find_spec(name.partition(":")[0])
        except (ImportError, ValueError, AttributeError):
            return None
    return Path(found.origin) if found is not None and found.origin else None


def _user_network(name: str, **given: Any) -> nn.Module:
    """What the user's factory "package.module:factory" makes."""
    module_name, _, attribute = name.partition(":")
    # The factory may import more of the folder when it is called.
    with importable(Path.cwd()):
        factory = _factory(name, _user_module(name, module_name), attribute)
        try:
            model = factory(**_accepted(name, factory, given))
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"{name} failed with {_own_words(error)}.") from error
    if not isinstance(model, nn.Module):
        raise UserError(f"{name} gave a {type(model).__name__}, not a torch.nn.Module.")
    return model


def _user_module(name: str, module_name: str) -> ModuleType:
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise UserError(f"{name!r} is no network: write package.module:factory.")
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise UserError(f"Importing {module_name} failed with {_own_words(error)}.") from error
        raise UserError(
            f"There is no module {error.name!r} in {Path.cwd()} or among the installed packages "
            f"(network.name = {name!r})."
        ) from None
    except Exception as error:
        raise UserError(f"Importing {module_name} failed with {_own_words(error)}.") from error


def _factory(name: str, module: ModuleType, attribute: str) -> Callable[..., Any]:
    factory = getattr(module, attribute, None) if attribute.isidentifier() else None
    if factory is None:
        own = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise UserError(
            f"{module.__name__} has no {attribute!r} (network.name = {name!r}). {suggestion(attribute, own)}"
        )
    if isinstance(factory, nn.Module):
        raise UserError(f"{name} is a network, not a function that makes one: write `def make(): return {attribute}`.")
    if not callable(factory):
        raise UserError(f"{name} is a {type(factory).__name__}, not a function or class that makes a network.")
    return factory


def _accepted(name: str, factory: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
    """Those of the given keyword arguments that the factory takes; UserError when it requires others."""
    parameters = inspect.signature(factory).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return given
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    others = [p for p in parameters if p.kind is not p.VAR_POSITIONAL and (p not in named or p.name not in given)]
    required = [p.name for p in others if p.default is p.empty]
    if required:
        raise UserError(
            f"{name} requires {', '.join(map(repr, required))}; a network's factory is given "
            f"{', '.join(map(repr, given))} and nothing else: set the others a default."
        )
    return {p.name: given[p.name] for p in named if p.name in given}


def _own_words(error: Exception) -> str:
    """The user's exception: type, message, and the place in their code."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} ({error.filename}, line {error.lineno})"
    foreign = (__file__, "importlib", "site-packages")
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not any(part in frame.filename for part in foreign)]
    place = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {error}{place}"


def _unknown_network(name: str) -> UserError:
    error = unknown("network", name, names())
    return UserError(f"{error} Your own network is package.module:factory.")


def _check_scores(name: str, model: nn.Module, image: tuple[int, ...], classes: int) -> None:
    """UserError unless the model turns two images into two rows of class scores."""
    try:
        with torch.no_grad():
            scores = model(torch.zeros(2, *image))
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"The network {name!r} cannot take images of (channels, height, width) = {image}: {_own_words(error)}."
        ) from error
    shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
    if shape != (2, classes):
        raise UserError(
            f"The network {name!r} turns two images into {shape}; {classes} classes need scores (2, {classes})."
        )


def _check_finite(tensors: dict[str, Tensor], where: str) -> None:
    for key, tensor in tensors.items():
        wrong = ~torch.isfinite(tensor)
        if wrong.any():
            first = tuple(wrong.nonzero()[0].tolist())
            raise UserError(
                f"Tensor {key!r} of {where} holds {int(wrong.sum())} values that are not finite, "
                f"the first one ({tensor[first].item()}) at {first}."
            )


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return f"{', '.join(map(repr, keys[:3]))}{more}"
