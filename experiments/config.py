"""The configuration: one TOML file, every key also a flag, validated once, with the way out in every message."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, replace
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import Field, Strict, TypeAdapter, ValidationError

from experiments.sections.chip import AdcErrors as AdcErrors
from experiments.sections.chip import Crossbar as Crossbar
from experiments.sections.chip import DacErrors as DacErrors
from experiments.sections.chip import DeviceSection as DeviceSection
from experiments.sections.chip import Hardware as Hardware
from experiments.sections.chip import MappingSection as MappingSection
from experiments.sections.compression import COUNTED_KEYS as COUNTED_KEYS
from experiments.sections.compression import Budget as Budget
from experiments.sections.compression import Compress as Compress
from experiments.sections.compression import Effect as Effect
from experiments.sections.compression import Gates as Gates
from experiments.sections.compression import LevelSet as LevelSet
from experiments.sections.compression import Prune as Prune
from experiments.sections.messages import sentences
from experiments.sections.running import Data as Data
from experiments.sections.running import Network as Network
from experiments.sections.running import Report as Report
from experiments.sections.running import Simulate as Simulate
from experiments.sections.running import Train as Train
from experiments.sections.section import section
from hwmodels.errors import UserError, suggestion


@section
class Config:
    """A whole run: network → compression → placement → simulation and cost → report."""

    seed: Annotated[int, Strict(), Field(ge=0, lt=2**32)] = 0
    """Seed of everything random: data split and order, initial weights, devices."""
    network: Network = field(default_factory=Network)
    data: Data = field(default_factory=Data)
    train: Train = field(default_factory=Train)
    compress: Compress = field(default_factory=Compress)
    crossbar: Crossbar = field(default_factory=Crossbar)
    device: DeviceSection = field(default_factory=DeviceSection)
    mapping: MappingSection = field(default_factory=MappingSection)
    hardware: Hardware = field(default_factory=Hardware)
    simulate: Simulate = field(default_factory=Simulate)
    report: Report = field(default_factory=Report)

    def resolved(self) -> dict[str, Any]:
        """Every key with its value, plain types only; keys without a value (None) are left out."""
        return _without_none(asdict(self))  # type: ignore[call-overload]

    def digest(self) -> str:
        """Hash of the resolved configuration, 8 hex digits: it names the run's folder."""
        text = json.dumps(self.resolved(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def toml(self) -> str:
        """The resolved configuration as a TOML file that can be run again."""
        return tomli_w.dumps(self.resolved())


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, tuple | list):
        return [_without_none(item) for item in value]
    return value


def load(path: Path) -> Config:
    """Read and validate a configuration file.

    Raises UserError that names the file and, for each mistake, the key, the value, what is allowed and the
    nearest valid spelling.
    """
    values = read(path)
    if "sweep" in values:
        raise UserError(f"{path} holds a [sweep]: run it with `ohmweave sweep {path}`.")
    return validated(values, str(path))


def read(path: Path) -> dict[str, Any]:
    """The values of a TOML file, not yet checked against any key; UserError where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"There is no configuration file {str(path)!r}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The configuration file {str(path)!r} cannot be read: {error}") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not valid TOML: {error}") from None


_CONFIG = TypeAdapter(Config)


def validated(values: Mapping[str, Any], where: str) -> Config:
    """The configuration of plain values; UserError with a line per mistake, each beginning with `where`."""
    try:
        return _CONFIG.validate_python(dict(values))
    except ValidationError as error:
        raise UserError("\n".join(f"{where}: {line}" for line in sentences(error, Config))) from None


PATTERNS: dict[str, type] = {"prune": Prune, "budget": Budget, "levels": LevelSet, "gates": Gates}
"""Keys of [compress] that hold a section for every pattern of layers."""


def with_flagged_patterns(config: Config, args: Sequence[str]) -> Config:
    """Make room for patterns of layers that only the flags name: --compress.prune.fc1.column 0.5."""
    made = {name: dict(getattr(config.compress, name)) for name in PATTERNS}
    for arg in args:
        head, _, rest = arg.partition("=")[0].rpartition(".")[0].removeprefix("--compress.").partition(".")
        if head in made:
            made[head].setdefault(rest, PATTERNS[head]())
    return replace(config, compress=replace(config.compress, **made))


def example_names() -> list[str]:
    """Names of the packaged configurations, for `ohmweave run NAME`."""
    return sorted(path.stem for path in _examples_folder().glob("*.toml"))


def find(name_or_path: str) -> Path:
    """The file of a configuration: a path, or the name of a packaged one (`digits`).

    Raises UserError with the nearest packaged name when there is neither.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    packaged = _examples_folder() / f"{name_or_path}.toml"
    if packaged.is_file() and Path(name_or_path).name == name_or_path:
        return packaged
    raise UserError(
        f"There is no configuration file {name_or_path!r}, and no packaged one of that name. "
        f"{suggestion(path.stem, example_names())}"
    )


def _examples_folder() -> Path:
    # An installed wheel carries the examples inside the package; a checkout has them beside it.
    inside = Path(__file__).parent / "examples"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "examples"
