import json
import multiprocessing
import os
import signal
import time

import pytest

from experiments.sweeping.store import Store
from hwmodels.errors import UserError

KEY, OTHER = "a" * 20, "b" * 20


def counted(folder):
    """Make an entry, leaving a trace of having done so."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"made-{os.getpid()}").touch()
    time.sleep(0.05)
    return {"value": 7}


def _ensure(path, gate):
    gate.wait()
    Store(path).ensure("cost", KEY, counted)


def _hold(path, held):
    with Store(path).lock("cost", KEY):
        held.set()
        time.sleep(60)


def test_what_is_made_is_found_again(tmp_path):
    store = Store(tmp_path / "s")
    assert store.read("cost", KEY) is None
    assert store.ensure("cost", KEY, counted)[1]
    record, made = Store(tmp_path / "s").ensure("cost", KEY, counted)
    assert record["value"] == 7
    assert not made


@pytest.mark.filterwarnings("ignore:.*fork")
def test_processes_make_an_entry_once(tmp_path):
    context = multiprocessing.get_context("fork")
    gate = context.Barrier(4)
    workers = [context.Process(target=_ensure, args=(tmp_path / "s", gate)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert len(list(Store(tmp_path / "s").folder("cost", KEY).glob("made-*"))) == 1


@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_killed_process_lets_go_of_its_lock(tmp_path):
    context = multiprocessing.get_context("fork")
    store, held = Store(tmp_path / "s"), context.Event()
    worker = context.Process(target=_hold, args=(tmp_path / "s", held))
    worker.start()
    assert held.wait(20)
    with store.lock("cost", KEY, wait=False) as mine:
        assert not mine
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    with store.lock("cost", KEY, wait=False) as mine:
        assert mine


def test_an_entry_that_failed_half_way_is_not_there(tmp_path):
    store = Store(tmp_path / "s")

    def fails(folder):
        counted(folder)
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError):
        store.ensure("cost", KEY, fails)
    assert store.read("cost", KEY) is None
    assert [entry.finished for entry in store.entries()] == [False]


def test_a_damaged_record_is_made_again(tmp_path):
    store = Store(tmp_path / "s")
    store.ensure("cost", KEY, counted)
    (store.folder("cost", KEY) / "done.json").write_text('{"val')
    assert store.ensure("cost", KEY, counted)[1]


def test_a_store_can_be_moved(tmp_path):
    Store(tmp_path / "s").ensure("cost", KEY, counted)
    (tmp_path / "s").rename(tmp_path / "t")
    assert Store(tmp_path / "t").read("cost", KEY)["value"] == 7
    assert str(tmp_path) not in "".join(p.read_text() for p in (tmp_path / "t").rglob("*.json"))


def test_trimming_removes_what_is_unfinished_old_or_too_much_but_nothing_in_use(tmp_path):
    store = Store(tmp_path / "s")
    for key, age in ((KEY, 1000), (OTHER, 10), ("c" * 20, 5000)):
        store.ensure("cost", key, counted)
        (store.folder("cost", key) / "checkpoint").mkdir()
        (store.folder("cost", key) / "data").write_bytes(b"x" * 10_000)
        then = time.time() - age
        os.utime(store.folder("cost", key) / "done.json", (then, then))
    counted(store.folder("dense", KEY))
    assert [entry.stage for entry in store.trim()] == ["dense"]  # the unfinished one
    assert not list(store.path.rglob("checkpoint"))
    assert [entry.key for entry in store.trim(older_than_s=2000)] == ["c" * 20]
    with store.lock("cost", KEY):
        assert [entry.key for entry in store.trim(keep_bytes=0)] == [OTHER]
        assert store.read("cost", KEY) is not None
    assert [entry.key for entry in store.trim(keep_bytes=0)] == [KEY]
    assert store.entries() == []


def test_a_store_of_a_newer_version_is_refused(tmp_path):
    Store(tmp_path / "s")
    (tmp_path / "s" / "store.json").write_text(json.dumps({"schema": "ohmweave.store/2"}))
    with pytest.raises(UserError, match=r"ohmweave\.store/2.*update ohmweave"):
        Store(tmp_path / "s")


def test_folders_that_are_no_store(tmp_path):
    with pytest.raises(UserError, match="no store"):
        Store(tmp_path / "missing", create=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        Store(tmp_path / "file")
    with pytest.raises(UserError, match="Cannot write"):
        Store(tmp_path / "file" / "below")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="no store"):
        Store(tmp_path / "other")
