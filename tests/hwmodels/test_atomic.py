import pytest

from hwmodels import atomic


def test_a_file_is_whole_or_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "report.html"
    atomic.write(path, b"old")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        atomic.write(path, b"new")
    assert [item.name for item in path.parent.iterdir()] == ["report.html"]
    assert path.read_bytes() == b"old"


def test_text_is_utf_8(tmp_path):
    atomic.write(tmp_path / "x", "Ω")
    assert (tmp_path / "x").read_bytes() == "Ω".encode()
    with pytest.raises(UnicodeEncodeError):
        atomic.write(tmp_path / "x", "\ud800")
    assert (tmp_path / "x").read_text() == "Ω"
