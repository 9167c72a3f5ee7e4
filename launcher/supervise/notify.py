"""Messages of a run to its user: at its first checkpoint, when it has failed, and when it has finished.

A message is sent once, also if the job is queued again: events.jsonl says which were sent. A message that cannot be sent
does not affect the run; the log of the job says why.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import suppress

from launcher.config.notify import Target, targets_of
from launcher.errors import LauncherError
from launcher.launching.secrets import conceal, secrets_of
from launcher.run import RunDir
from launcher.run.events import EventReader
from launcher.run.events.checkpoints import Saved
from launcher.run.events.supervisor import Notified

FIRST_CHECKPOINT, FAILED, FINISHED = "first checkpoint", "failed", "finished"
_LOOK_S = 5.0
_SEND_S = 15.0
"""Timeout of one message."""
_SENDMAIL = ("/usr/sbin/sendmail", "/usr/lib/sendmail")


class Notifier:
    """Sends the messages of one run."""

    def __init__(self, run: RunDir, items: list[str]) -> None:
        self.run = run
        # the trials of a sweep would send a message each
        self.targets = [] if run.path.parent.name.startswith("sweep_") else targets_of(items, os.environ)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="notify", daemon=True)

    def start(self) -> None:
        """Watches for the first checkpoint from now on."""
        if self.targets:
            self._thread.start()

    def close(self) -> None:
        """Ends the watch; a checkpoint that came last is still reported."""
        if self._thread.is_alive():
            self._over.set()
            self._thread.join(_SEND_S * len(self.targets))

    def tell(self, what: str, text: str) -> None:
        """Sends a message to every target that has not received it."""
        if not self.targets:
            return
        text = conceal(text, secrets_of(os.environ))
        attempts = self.run.attempts()
        sent = {
            event.target
            for event in self.run.read_events(Notified)
            # a run that was resumed can fail a second time
            if event.what == what and (what != FAILED or event.attempt == attempts)
        }
        for target in self.targets:
            if target.shown in sent:
                continue
            try:
                _send(target, f"{self.run.name}: {what}", text)
            except _Unsent as error:
                told = f"launcher: the message '{what}' was not sent to {target.shown}: {error}"
                print(told, file=sys.stderr, flush=True)
                continue
            with suppress(OSError):  # a full disk: the message can come twice
                self.run.note(Notified(attempt=attempts, what=what, target=target.shown))

    def _watch(self) -> None:
        reader = EventReader(self.run.events, Saved)
        while True:
            over = self._over.wait(_LOOK_S)
            with suppress(OSError, LauncherError):
                if saved := reader.read():
                    self.tell(
                        FIRST_CHECKPOINT, f"The first checkpoint is committed, at step {saved[0].step}."
                    )
                    return
            if over:
                return


class _Unsent(Exception):
    """Why a message was not sent, without the target's address."""


def _send(target: Target, subject: str, text: str) -> None:
    if not target.address:
        raise _Unsent("its variable is not set in the job; export it where you launch")
    if target.address.startswith("mailto:"):
        _mail(target.address.removeprefix("mailto:"), subject, text)
    else:
        _post(target.address, subject, text)


def _mail(to: str, subject: str, text: str) -> None:
    """By sendmail, else by mail, whichever the host has."""
    sendmail, mail = shutil.which("sendmail"), shutil.which("mail") or shutil.which("mailx")
    if not mail:  # /usr/sbin is often not on the PATH of a user
        sendmail = sendmail or next((one for one in _SENDMAIL if os.access(one, os.X_OK)), None)
    if sendmail:
        command = [sendmail, "-i", "--", to]
        content = f"To: {to}\nSubject: {subject}\nContent-Type: text/plain; charset=utf-8\n\n{text}\n"
    elif mail:
        command, content = [mail, "-s", subject, to], f"{text}\n"
    else:
        raise _Unsent(
            f"{socket.gethostname()} has neither sendmail nor mail; use a hook, or a host with one of them"
        )
    try:
        done = subprocess.run(command, input=content, capture_output=True, text=True, timeout=_SEND_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _Unsent(f"{command[0]}: {error}") from None
    if done.returncode:
        raise _Unsent(
            f"{command[0]} ended with exit code {done.returncode}: {' '.join(done.stderr.split())[:200]}"
        )


def _post(url: str, subject: str, text: str) -> None:
    """As JSON in the shape of Slack's (text) and Discord's (content) hooks."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen  # imported here: only a run with a hook needs them

    body = json.dumps({"text": f"{subject}\n{text}", "content": f"{subject}\n{text}"}).encode()
    request = Request(url, data=body, headers={"Content-Type": "application/json", "User-Agent": "launcher"})
    try:
        with urlopen(request, timeout=_SEND_S):
            return
    except HTTPError as error:  # its text can hold the address
        raise _Unsent(f"the server answered {error.code}") from None
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None)
        raise _Unsent(f"{type(reason or error).__name__}; can {socket.gethostname()} reach it?") from None
