"""A JupyterLab of its own on loopback: own folders, own token, no look-ups beyond this machine."""

import os
import pathlib
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Lab:
    """Starts JupyterLab over a folder; use as a context. JUPYTER_PATH has extra kernels."""

    def __init__(self, notebooks, state, kernels=None):
        self.state = pathlib.Path(state)
        self.notebooks = notebooks
        self.token = secrets.token_hex(16)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "IPYTHON"))}
        for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"):
            env[f"JUPYTER_{name}"] = str(self.state / name.lower())
        env["JUPYTERLAB_SETTINGS_DIR"] = str(self.state / "settings")
        env["JUPYTERLAB_WORKSPACES_DIR"] = str(self.state / "workspaces")
        env["XDG_DATA_HOME"] = str(self.state / "data")  # the kernel's history
        env["IPYTHONDIR"] = str(self.state / "ipython")
        self.setting("apputils-extension/notification", '{"fetchNews": "false", "checkForUpdates": false}')  # no question over the picture
        self.setting("completer-extension/manager", '{"providerTimeout": 120000}')  # by default a kernel's names are dropped after a second
        if kernels:
            env["JUPYTER_PATH"] = str(kernels)
        self.env = env
        self.log = open(self.state / "lab.log", "w+")
        self.start()

    def setting(self, plugin, text):
        path = self.state / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def start(self):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/lab?token={self.token}"
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "jupyterlab", "--no-browser", "--expose-app-in-browser", "--allow-root",
                "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0",
                f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.notebooks}",
                "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
                "--LabApp.extension_manager=readonly",
            ],
            env=self.env, stdout=self.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=self.notebooks, start_new_session=True,
        )

    def text(self):
        self.log.flush()
        return pathlib.Path(self.log.name).read_text(errors="replace")

    def __enter__(self):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        end, starts = time.monotonic() + 300, 1
        while True:
            request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/status", headers={"Authorization": f"token {self.token}"})
            try:
                with opener.open(request, timeout=30) as answer:
                    if answer.status == 200:
                        return self
            except OSError:
                pass
            if self.process.poll() is not None and starts < 4:  # somebody else took the port in between
                starts += 1
                self.start()
                continue
            if self.process.poll() is not None or time.monotonic() > end:
                self.__exit__()
                raise AssertionError("JupyterLab did not start:\n" + self.text())
            time.sleep(0.1)

    def __exit__(self, *_):
        for sig, seconds in ((signal.SIGTERM, 15), (signal.SIGKILL, 10)):
            if self.process.poll() is None:
                os.killpg(self.process.pid, sig)  # the session that was started above: Lab and its kernels
                try:
                    self.process.wait(seconds)
                except subprocess.TimeoutExpired:
                    continue
        if not self.log.closed:
            self.log.flush()
            self.log.close()


def kernel_prefix(godwit, folder):
    """Installs the Go kernel below folder and returns the path for JUPYTER_PATH."""
    done = subprocess.run([godwit, "kernel", "install", "--prefix", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return pathlib.Path(folder) / "share" / "jupyter"


def strip(text):
    """Text without the colours of a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
