"""The command `ohmweave devices`: the list, one device with its picture, and fitting a device from measurements."""

from __future__ import annotations

from pathlib import Path

from experiments import catalogue
from hwmodels import Device, DeviceFit, UserError, fit_device

USAGE = """\
usage: ohmweave devices [NAME] [--figure FILE]
       ohmweave devices fit DATA --out DEVICE.toml

  NAME           a device preset, or the path of a device file (.toml) or of measurements (.csv)
  --figure FILE  draw the programmed conductances of its levels, and a non-linear I–V (.svg, .png, .pdf)
  fit DATA       a device file from a CSV file of measured states or readings (docs/devices.md says which columns),
                 with a picture of the fit and its residuals (.svg and .png) beside it
"""


def run(args: list[str]) -> int:
    """Run `ohmweave devices` with these arguments; returns the exit code."""
    if {"-h", "--help"} & set(args):
        print(USAGE, end="")
        return 0
    names, flags = _split([arg for arg in args if arg not in ("-q", "--quiet", "-v", "--verbose")])
    if names[:1] == ["fit"]:
        return _fit(names[1:], flags)
    _only(flags, "--figure")
    if len(names) > 1:
        raise UserError(f"ohmweave devices [NAME] takes no {names[1]!r}.")
    if not names:
        if flags:
            raise UserError("Which device? ohmweave devices NAME --figure FILE.")
        print(catalogue.devices())
        return 0
    return _show(names[0], flags.get("--figure"))


def _show(name: str, figure: str | None) -> int:
    """One device as a table, and its picture."""
    text = catalogue.device(name)
    if figure is not None:
        from experiments.reporting import device_figures

        path = device_figures.save(device_figures.distributions(Device.load(name)), Path(figure))
        text += f"\nPicture: {path}"
    print(text)
    return 0


def _fit(names: list[str], flags: dict[str, str]) -> int:
    """Fit a device, and write it with a picture."""
    _only(flags, "--out")
    if len(names) != 1 or "--out" not in flags:
        raise UserError("ohmweave devices fit takes one file of measurements and --out DEVICE.toml.")
    out = Path(flags["--out"])
    if out.suffix.lower() != ".toml":
        raise UserError(f"A device file ends in .toml, not {out.name!r}.")
    found = fit_device(names[0], name=out.stem)
    from experiments.reporting import device_figures

    pictures = [device_figures.save(device_figures.fit(found), out.with_suffix(kind)) for kind in (".svg", ".png")]
    found.write(out)
    print(_summary(found))
    print(f"Device: {out}\nPicture: {' and '.join(str(path) for path in pictures)}")
    return 0


def _summary(found: DeviceFit) -> str:
    """The levels of a fit, in µS."""
    columns = ("level", "target [µS]", "readings", "mean [µS]", "σ [µS]", "bias [µS]", "KS p-value")
    keys = ("target_s", "g_mean_s", "g_sigma_s", "bias_s")
    rows = []
    for row in found.table.to_dict("records"):
        target, mean, sigma, bias = (_known(row[key] * 1e6) for key in keys)
        rows.append(
            (str(row["level"]), target, str(row["readings"] or "–"), mean, sigma, bias, _known(row["ks_pvalue"]))
        )
    return "\n".join([catalogue.as_table(columns, rows), *(f"Note: {note}." for note in found.notes)])


def _known(value: float) -> str:
    return f"{value:.4g}" if value == value else "–"


def _split(args: list[str]) -> tuple[list[str], dict[str, str]]:
    """Names, and flags with their values (`--flag VALUE` or `--flag=VALUE`)."""
    names, flags, rest = [], {}, iter(args)
    for arg in rest:
        if not arg.startswith("-"):
            names.append(arg)
            continue
        flag, given, value = arg.partition("=")
        flags[flag] = value if given else next(rest, "")
        if not flags[flag]:
            raise UserError(f"{flag} needs a value.")
    return names, flags


def _only(flags: dict[str, str], allowed: str) -> None:
    """Refuse a flag that means nothing here."""
    for flag in flags:
        if flag != allowed:
            raise UserError(f"ohmweave devices takes no {flag!r} here; it takes {allowed}.")
