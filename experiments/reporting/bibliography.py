"""Which publications a run or a sweep rests on, as a BibTeX file: of its device, its components and its methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hwmodels import references

METHODS: dict[str, tuple[str, ...]] = {
    "admm": ("boyd2011admm", "yuan2019admm"),
    "parents": ("ye2018progressive",),
    "gates": ("lee2022joint",),
    "slr": ("gurevin2021slr",),
    "steps": ("ye2019compression",),
    "purify": ("ye2019compression",),
    "distill": ("hinton2015distilling",),
    "chips": ("salmon2011philox",),
    "latin-hypercube": ("mckay1979lhs",),
    "tpe": ("akiba2019optuna", "bergstra2011tpe"),
    "nsga2": ("akiba2019optuna", "deb2002nsga2"),
    "exact": ("sobol2001",),
    "estimated": ("sobol2001", "kelley1935"),
}
"""What a method is published as."""


def bibtex(sources: Iterable[str], methods: Iterable[str]) -> str:
    """A BibTeX file of the publications that source strings name, and of methods (keys of `METHODS`)."""
    keys = [key for source in dict.fromkeys(sources) for key in references.resolve(source)]
    keys += [key for method in methods for key in METHODS[method]]
    known = [key for key in references.references() if key in set(keys)]
    return "% Publications of the devices, components and methods behind the numbers.\n\n" + references.bibtex(known)


def of_run(record: Mapping[str, Any]) -> str:
    """The publications of a run: what its sources and assumptions name, and its methods."""
    section = record["config"].get("compress") or {}
    methods = _of_compression(section)
    methods += ["chips"] if record["accuracy"]["crossbar_seeds"] else []
    return bibtex([*(row["source"] for row in record["sources"]), *record["assumptions"]], methods)


def of_sweep(about: Mapping[str, Any] | None, swept: Mapping[str, Iterable[object]], *, exact: bool) -> str:
    """The publications of a sweep.

    about: as `sweeping.about` reads it; swept: key → its values; exact: whether shares of variance are of a complete
    grid. Device presets and libraries count that the configuration or a swept key names. Raises UserError for one that
    is not there any more.
    """
    from hwmodels import Device, Library

    config = (about or {}).get("config") or {}
    settings = (about or {}).get("settings") or {}
    sources: list[str] = []
    for name in _named(config, swept, "device", "preset"):
        sources += Device.load(name).sources.values()
    for name in _named(config, swept, "hardware", "library"):
        sources += [number.source for _, _, number in Library.load(name).quantities()]
    compress = config.get("compress") or {}
    methods = _of_compression(compress)
    methods += ["chips", "exact" if exact else "estimated"]
    methods += ["latin-hypercube"] if settings.get("method") == "latin-hypercube" else []
    methods += [settings.get("sampler", "tpe")] if settings.get("method") == "search" else []
    return bibtex(sources, methods)


def _of_compression(section: Mapping[str, Any]) -> list[str]:
    """Keys of `METHODS` that a [compress] section asks for."""
    if not any(section.get(key) for key in ("quantise", "prune", "budget", "target")):
        return []
    methods = ["admm"]
    methods += [name for name in (section.get("method"), section.get("solver")) if name in ("parents", "gates", "slr")]
    methods += ["steps"] if (section.get("steps") or 1) > 1 else []
    methods += ["purify"] if section.get("purify") is not None else []  # 0.0 still removes what no path reads
    return methods + (["distill"] if section.get("distill") else [])


def _named(config: Mapping[str, Any], swept: Mapping[str, Iterable[object]], section: str, key: str) -> list[str]:
    values = swept.get(f"{section}.{key}")
    if values is not None:
        return list(dict.fromkeys(map(str, values)))
    value = (config.get(section) or {}).get(key)
    return [str(value)] if value else []
