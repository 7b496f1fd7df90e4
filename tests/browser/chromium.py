"""A Chromium without a window, spoken to by its DevTools protocol over a pipe.

Nothing but the standard library and a `chromium` on PATH (or named by the environment variable CHROMIUM).
"""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

PATIENCE = 30.0
"""Seconds to wait for anything."""

KEYS = {"Tab": 9, "Enter": 13, " ": 32, "End": 35, "Home": 36, "ArrowRight": 39, "ArrowDown": 40}


def find():
    """The browser's program, or None."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if name and (path := shutil.which(name))), None)


def _description(details):
    return details.get("exception", {}).get("description", details["text"])


class Chromium:
    """One browser with one page; a context manager.

    `problems` collects what the page complains of (errors on the console, exceptions, failed requests), `requests` URLs.
    """

    def __init__(self):
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()

        def give_pipes():  # it reads from descriptor 3 and writes to 4
            spare_in, spare_out = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(spare_in, 3)
            os.dup2(spare_out, 4)

        flags = ("--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                 "--mute-audio", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
                 "--force-color-profile=srgb", "--font-render-hinting=none", "--window-size=1280,900")  # fmt: skip
        self._process = subprocess.Popen(
            [find(), *flags, f"--user-data-dir={self._profile.name}", "about:blank"],
            preexec_fn=give_pipes,  # noqa: PLW1509 - no threads yet
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out = ours_in, ours_out
        self._number, self._rest, self._answers, self._session = 0, b"", {}, None
        self.problems, self.requests = [], []
        target = next(t for t in self("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self._session = self("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __call__(self, method, **params):
        """Sends a command and returns its answer."""
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        data = json.dumps({"id": self._number, "method": method, "params": params} | session).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        number, until = self._number, time.monotonic() + PATIENCE
        while number not in self._answers:
            self._read(until - time.monotonic(), method)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _read(self, seconds, what):
        ready, _, _ = select.select([self._in], [], [], max(0, seconds))
        if not ready:
            raise TimeoutError(f"{what}: the browser did not answer")
        data = os.read(self._in, 1 << 20)
        if not data:
            raise RuntimeError(f"{what}: the browser has ended")
        *messages, self._rest = (self._rest + data).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self._notice(message["method"], message["params"])

    def _notice(self, method, params):
        if method == "Runtime.exceptionThrown":
            self.problems.append(_description(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in {"error", "warning", "assert"}:
            self.problems.append(" ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in {"error", "warning"}:
            self.problems.append(params["entry"]["text"] + " " + params["entry"].get("url", ""))
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def evaluate(self, expression):
        """The value of an expression of JavaScript, awaited."""
        options = {"awaitPromise": True, "returnByValue": True, "userGesture": True}
        result = self("Runtime.evaluate", expression=expression, **options)
        if "exceptionDetails" in result:
            raise RuntimeError(_description(result["exceptionDetails"]))
        return result["result"].get("value")

    def text(self, selector):
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")

    def focus(self, selector):
        self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")

    def wait(self, expression, seconds=PATIENCE):
        """Waits until an expression is true, and returns its value."""
        until = time.monotonic() + seconds
        while (value := self._value_now(expression)) in (None, False, 0, ""):  # an element comes as {}
            if time.monotonic() > until:
                raise TimeoutError(f"never true: {expression}\n{self.problems}")
            time.sleep(0.02)
        return value

    def _value_now(self, expression):
        """None where the page is just being left for another one."""
        try:
            return self.evaluate(expression)
        except RuntimeError as e:
            if "navigated" not in str(e):
                raise
            return None

    def size(self, width, height=900, *, dark=False, mobile=False):
        """The size of the window in CSS pixels, and the colours that the reader prefers."""
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, path, fragment=""):
        """Opens a file and waits until it has loaded; returns the seconds that it took."""
        self("Page.navigate", url="about:blank")
        self.wait("location.href === 'about:blank'")
        began = time.monotonic()
        self("Page.navigate", url=Path(path).resolve().as_uri() + fragment)
        self.wait("location.protocol === 'file:' && document.readyState === 'complete'")
        return time.monotonic() - began

    def key(self, name):
        common = {"key": name, "code": "Space" if name == " " else name, "windowsVirtualKeyCode": KEYS[name]}
        text = {"Enter": {"text": "\r"}, " ": {"text": " "}}.get(name, {})
        self("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **common, **text)
        self("Input.dispatchKeyEvent", type="keyUp", **common)

    def write(self, text):
        self("Input.insertText", text=text)

    def click(self, selector):
        """Clicks into the middle of the first element that fits."""
        x, y = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center'}});"
            " const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path, *, whole=False):
        """Writes a PNG of the window, or of the whole page."""
        size = self("Page.getLayoutMetrics")
        window, content = size["cssLayoutViewport"], size["cssContentSize"]
        clip = {"x": 0, "y": 0 if whole else self.evaluate("scrollY"), "scale": 1, "width": window["clientWidth"]}
        clip["height"] = min(8000, content["height"]) if whole else window["clientHeight"]
        data = self("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=whole)["data"]
        Path(path).write_bytes(base64.b64decode(data))

    def processor_seconds(self):
        """Seconds that the browser's processes have used."""
        children, ticks = {}, 0
        for process in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = process.read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append((int(process.parent.name), *map(int, fields[11:13])))
        todo = [one for one in children.get(os.getpid(), []) if one[0] == self._process.pid]
        while todo:
            process, user, system = todo.pop()
            ticks += user + system
            todo += children.get(process, [])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """Bytes of JavaScript in use, after a collection."""
        self("HeapProfiler.collectGarbage")
        return self("Runtime.getHeapUsage")["usedSize"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            self._session = None
            self("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._profile.cleanup()
