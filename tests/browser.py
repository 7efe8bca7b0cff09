"""Chromium without a window, steered through its debugging pipe: enough to open a page and ask it questions."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

COMMANDS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--remote-debugging-pipe"),
    # A microphone that beeps, and nobody to ask; sound may begin without a press.
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
    "--autoplay-policy=no-user-gesture-required",
)


class Page:
    """A page of a running browser. `errors` collects what the console would show in red."""

    def __init__(self, commands: Any, answers: Any) -> None:
        self._commands, self._answers = commands, answers
        self._number, self._session = 0, None
        self.errors: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def another(self) -> "Page":
        """Returns another page of the same browser, as a second window is. The two are asked in turn."""
        return Page(self._commands, self._answers)

    def call(self, method: str, **params: Any) -> dict:
        """Returns the browser's answer to a command of its protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, place: Path | str, *, width: int, height: int = 900) -> None:
        """Opens a file or an address, as a screen of that size in CSS pixels shows it, and waits until it is loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Page.navigate", url=place if isinstance(place, str) else place.as_uri())
        loaded = "document.readyState === 'complete' ? done() : addEventListener('load', () => done())"
        self.ask(f"new Promise((done) => {loaded})")

    def ask(self, expression: str) -> Any:
        """Returns the value of a JavaScript expression; of a promise, what it comes to."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def choose_file(self, selector: str, path: Path) -> None:
        """Does what a user does who chooses a file."""
        document = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def wait(self, expression: str, seconds: float = 60) -> None:
        """Waits until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.ask(expression):
            assert time.monotonic() < end, (expression, self.ask("document.body.innerText"), self.errors)
            time.sleep(0.1)

    def picture(self, path: Path) -> None:
        """Keeps what the page looks like, all of it, as a PNG."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def _read(self) -> dict:
        message = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "the browser has gone"
            message += byte
        answer = json.loads(message)
        method, params = answer.get("method"), answer.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.errors.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])
        return answer


@contextlib.contextmanager
def browse(folder: Path) -> Iterator[Page]:
    """Runs a browser with its profile in `folder`."""
    command = next(filter(None, map(shutil.which, COMMANDS)))
    (from_us, to_browser), (from_browser, to_us) = os.pipe(), os.pipe()
    # The browser reads commands from descriptor 3 and answers on 4.
    wrapper = f'exec "$@" 3<&{from_us} 4>&{to_us}'
    arguments = ["bash", "-c", wrapper, "bash", command, *FLAGS, f"--user-data-dir={folder / 'profile'}"]
    process = subprocess.Popen(arguments, pass_fds=(from_us, to_us), stderr=subprocess.DEVNULL)
    os.close(from_us)
    os.close(to_us)
    try:
        with os.fdopen(to_browser, "wb") as commands, os.fdopen(from_browser, "rb") as answers:
            yield Page(commands, answers)
    finally:
        process.terminate()
        process.wait()
