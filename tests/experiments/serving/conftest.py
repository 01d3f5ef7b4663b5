"""A real browser, driven as its developer tools are: JSON messages over two pipes (the Chrome DevTools protocol)."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import time

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FIRST = 32
"""Pipes are moved past this number, so that none is 3 or 4, where the browser looks for its own."""
PATIENCE_S = 120


class Tab:
    """One page: go to an address, ask it for values, move the mouse, type; `complaints`: what went wrong in it."""

    def __init__(self, profile, width, *, dark=False):
        ours, theirs = zip(*(self._pipe() for _ in range(2)), strict=True)
        (there, self._in), (self._out, back) = (ours[0], theirs[0]), (ours[1], theirs[1])

        def place():
            os.dup2(there, 3)
            os.dup2(back, 4)

        command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        command += [f"--user-data-dir={profile}", f"--window-size={width},900", "about:blank"]
        command += ["--blink-settings=preferredColorScheme=0"] if dark else []
        self._process = subprocess.Popen(
            command, preexec_fn=place, pass_fds=(3, 4), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(there)
        os.close(back)
        self._rest, self._number, self._session, self.complaints = b"", 0, None, []
        page = next(each for each in self.call("Target.getTargets")["targetInfos"] if each["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
        )

    @staticmethod
    def _pipe():
        made = os.pipe()
        moved = tuple(fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, FIRST) for each in made)
        for each in made:
            os.close(each)
        return moved

    def call(self, method, **parameters):
        """Send a command and wait for its result; what the page complains of meanwhile is kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._in, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _next(self):
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._out], [], [], PATIENCE_S)
            assert ready, "the browser says nothing"
            read = os.read(self._out, 1 << 16)
            assert read, "the browser has ended"
            self._rest += read
        text, _, self._rest = self._rest.partition(b"\0")
        answer = json.loads(text)
        told = answer.get("params", {})
        if answer.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(told["exceptionDetails"].get("text"))
        elif answer.get("method") == "Log.entryAdded":
            self.complaints.append(f"{told['entry']['text']} {told['entry'].get('url')}")
        elif answer.get("method") == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(told["args"]))
        return answer

    def go(self, address):
        """Open a page and wait until it is loaded."""
        self.call("Page.navigate", url=address)
        self.wait_for(f"location.href === {json.dumps(address)} && document.readyState === 'complete'")

    def value(self, expression):
        """What an expression is in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, (expression, answer)
        return answer["result"].get("value")

    def wait_for(self, expression):
        """Wait until an expression is true in the page."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.value(f"Boolean({expression})"):
            assert time.monotonic() < deadline, expression
            time.sleep(0.05)

    def place(self, selector):
        """Middle of an element in the window, scrolled into view."""
        found = self.value(
            f"(() => {{ const it = document.querySelector({json.dumps(selector)});"
            " it.scrollIntoView({block: 'center', behavior: 'instant'}); const box = it.getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        return found[0], found[1]

    def hover(self, selector):
        """Move the mouse onto an element."""
        x, y = self.place(selector)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x - 1, y=y)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector):
        """Press and let go the left button on an element."""
        x, y = self.place(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text):
        """Type into what has the focus, key by key."""
        for letter in text:
            self.call("Input.dispatchKeyEvent", type="keyDown", text=letter)
            self.call("Input.dispatchKeyEvent", type="keyUp", text=letter)

    def close(self):
        """End the browser."""
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)


@pytest.fixture
def open_tab(tmp_path):
    """Open a tab of a width, in a browser of its own; skips where there is none."""
    if BROWSER is None:
        pytest.skip("no Chromium here")
    tabs = []

    def opened(width, *, dark=False):
        tabs.append(Tab(tmp_path / f"profile{len(tabs)}", width, dark=dark))
        return tabs[-1]

    yield opened
    for tab in tabs:
        tab.close()
