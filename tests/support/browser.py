"""A real headless Chromium, driven through a pipe with the DevTools protocol."""

import base64
import json
import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from support.shells import require

_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    "--hide-scrollbars",
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # Like a desktop: a mouse that can hover.
    "--blink-settings=primaryHoverType=2,availableHoverTypes=2",
)


class Page:
    """One page, with all its requests and errors."""

    def __init__(self, commands: BinaryIO, answers: BinaryIO) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._commands = commands
        self._answers = answers
        self._number = 0
        self._session: dict[str, str] = {}
        target = self.send("Target.createTarget", url="about:blank")
        session = self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = {"sessionId": session["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: object) -> dict[str, Any]:
        """Send one command and wait for its response; record the events meanwhile."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params, **self._session}
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def open(self, file: Path, *, width: int = 1280, height: int = 1200) -> None:
        """Open a file, and wait until it is loaded."""
        self.resize(width, height)
        self.send("Page.navigate", url=file.absolute().as_uri())
        self.wait_for("location.protocol === 'file:' && document.readyState === 'complete'")

    def resize(self, width: int, height: int) -> None:
        """Resize the window, in pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **size)

    def run(self, script: str) -> Any:
        """Evaluate an expression in the page, and await a promise."""
        params = {"expression": script, "awaitPromise": True, "returnByValue": True}
        answer = self.send("Runtime.evaluate", userGesture=True, **params)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait up to 20 seconds for a condition in the page."""
        for _ in range(200):
            if self.run(f"new Promise(done => setTimeout(() => done({condition}), 100))"):
                return
        raise AssertionError(condition)

    def press(self, key: str, *, text: str = "") -> None:
        """Press and release a key."""
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, text=text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key)

    def point_at(self, selector: str) -> None:
        """Move the mouse over the first element that a selector finds."""
        box = self.run(f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()")
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=box["x"] + 9, y=box["y"] + 9)

    def draw(self, file: Path) -> None:
        """Save a screenshot as PNG."""
        shot = self.send("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(shot["data"]))

    def _read(self) -> dict[str, Any]:
        content = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "the browser has ended"
            content += byte
        answer: dict[str, Any] = json.loads(content)
        return answer

    def _note(self, event: dict[str, Any]) -> None:
        method, params = event["method"], event["params"]
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.complaints.append(json.dumps(params))


@contextmanager
def open_browser(profile: Path) -> Generator[Page]:
    """Open a browser with its own profile; skip the test if there is no browser."""
    chromium = require("chromium")
    read_commands, commands = os.pipe()
    answers, write_answers = os.pipe()
    # Chromium reads commands from descriptor 3 and answers on 4.
    script = f'exec "$@" 3<&{read_commands} 4>&{write_answers}'
    options = (*_OPTIONS, "--remote-debugging-pipe", f"--user-data-dir={profile}")
    browser = subprocess.Popen(
        ["bash", "-c", script, "bash", chromium, *options],
        pass_fds=(read_commands, write_answers),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(read_commands)
    os.close(write_answers)
    try:
        with os.fdopen(commands, "wb") as writer, os.fdopen(answers, "rb") as reader:
            yield Page(writer, reader)
    finally:
        browser.terminate()
        browser.wait(timeout=20)
