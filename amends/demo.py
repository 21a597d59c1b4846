"""`amends demo`: the whole story on a terminal, on real servers, over HTTP.

Two documents are uploaded and analysed; the first plan is approved and a worker is killed in the middle of a step; the
second meets a failure for good and is undone in order. Then both histories are printed and every promise is checked.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from amends.application import load_applications
from amends.embedded import remove
from amends.embedded_processes import ending_with_us
from amends.settings import environment

T = TypeVar("T")

STEP_SECONDS = 20.0
START_SECONDS = 90.0
LOOK_SECONDS = 0.02
SLOW = "approval.tasks=sleep:2"
BROKEN = "approval.assignment=fail"
OURS = ("AMENDS_", "DATABASE_", "REDIS_", "QUEUE_", "OPENAI_", "PG")


class DemoError(Exception):
    """The story went otherwise than it should."""


def bare_environment() -> dict[str, str]:
    """The environment without anything that is set about Amends: the story is told on defaults and embedded servers."""
    return {name: value for name, value in environment().items() if not name.startswith(OURS)}


@dataclass
class Story:
    """What is shown, and kept for `--json`."""

    quiet: bool
    began: float = field(default_factory=time.monotonic)
    facts: dict[str, Any] = field(default_factory=dict[str, Any])

    def say(self, text: str = "") -> None:
        """Show a line with the time since the beginning."""
        if not self.quiet:
            sys.stdout.write(f"{time.monotonic() - self.began:6.1f} s  {text}\n" if text else "\n")
            sys.stdout.flush()

    def measured(self, name: str, seconds: float, goal: float) -> None:
        """Keep a time, and show it beside its goal."""
        self.facts.setdefault("seconds", {})[name] = round(seconds, 4)
        self.say(f"  {name}: {seconds * 1000:,.0f} ms (goal: under {goal * 1000:,.0f} ms)")


class Running:
    """An `amends up` that was started for the story."""

    def __init__(self, folder: Path, faults: str, workers: int, *, keep: bool = False) -> None:
        told = {**bare_environment(), "AMENDS_DEVELOPMENT": "1", "AMENDS_FAULTS": faults, "AMENDS_SAGAS": "marketplace"}
        command = (sys.executable, "-m", "amends", "up", "--port", "0", "--data-dir", str(folder), "--workers")
        arguments = (*command, str(workers))
        self._log = folder / "up.log"
        folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603 - ourselves
                arguments if keep else ending_with_us(arguments), env=told, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        self._path = folder / "runtime.json"
        self.runtime: dict[str, Any] = {}

    def wait(self) -> None:
        """Wait until it is ready."""
        self.runtime = until(self._read, START_SECONDS, "amends up is not ready", self._tail)
        self._connection = http.client.HTTPConnection(str(self.runtime["url"]).removeprefix("http://"), timeout=30)

    def pids(self, prefix: str) -> dict[str, int]:
        """The processes whose names begin so."""
        found: dict[str, int] = json.loads(self._path.read_text("utf-8"))["pids"]
        return {name: pid for name, pid in found.items() if name.startswith(prefix)}

    def call(
        self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        """Ask the API; the status and the document."""
        headers = {"Authorization": f"Bearer {self.runtime['api_key']}", "Content-Type": content_type}
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())

    def end(self) -> int:
        """Drain and end it; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def _read(self) -> dict[str, Any] | None:
        if self.process.poll() is not None:
            raise DemoError(f"amends up ended:\n{self._tail()}")
        if not self._path.exists():
            return None
        found: dict[str, Any] = json.loads(self._path.read_text("utf-8"))
        return found

    def _tail(self) -> str:
        return "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-15:])


@dataclass
class Stage:
    """Where the story happens: a folder, and each `amends up` that was started in it."""

    folder: Path
    keep: bool
    running: list[Running] = field(default_factory=list[Running])

    def start(self, faults: str, workers: int, *, last: bool = False) -> Running:
        """Start one; whatever happens from now on, it is known and can be ended."""
        one = Running(self.folder, faults, workers, keep=last and self.keep)
        self.running.append(one)
        one.wait()
        return one

    def clear(self) -> None:
        """End what runs, and remove the folder."""
        for one in self.running:
            if one.process.poll() is None:
                one.end()
        remove(self.folder)


def run_demo(*, as_json: bool, keep: bool) -> int:
    """Tell the story; 0 when it ends well. SIGTERM ends it as Ctrl-C does: nothing is left running."""
    signal.signal(signal.SIGTERM, _interrupt)
    story = Story(quiet=as_json)
    stage = Stage(Path(tempfile.mkdtemp(prefix="amends-demo-")), keep)
    stage.folder.chmod(0o755)
    kept = False
    try:
        _tell(story, stage)
        kept = keep
    finally:
        if not kept:
            stage.clear()
    if kept:
        last = stage.running[-1]
        story.facts |= {"url": last.runtime["url"], "pid": last.process.pid, "folder": str(stage.folder)}
        story.say(f"It keeps running at {last.runtime['url']} (data and key: {stage.folder})")
        story.say(f"  end it with: kill {last.process.pid}; then remove its data: rm -r {stage.folder}")
    story.facts["took"] = round(time.monotonic() - story.began, 2)
    story.say(f"Done in {story.facts['took']:.1f} s.")
    if as_json:
        sys.stdout.write(json.dumps(story.facts, indent=2) + "\n")
    return 0


def _interrupt(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _tell(story: Story, stage: Stage) -> None:
    story.say("Starting PostgreSQL, Valkey, the API, an orchestrator and two workers")
    first = stage.start(SLOW, workers=2)
    samples = _samples()
    story.say()
    plans = [
        _upload(story, first, samples / "relatorio-de-vendas.xlsx", ["Mercado Livre", "Amazon"]),
        _upload(story, first, samples / "listing-audit.pdf", ["Amazon", "eBay"]),
    ]
    _show_plan(story, first, plans[0])
    story.say()
    story.say("Approving the first plan; each step that creates tasks is slowed down, and its worker is killed")
    killed = _approve(story, first, plans[0])
    _kill_worker(story, first, killed)
    done = _ended(first, killed)
    _expect(done["status"] == "completed", f"the saga is {done['status']}, not completed")
    tasks = _plan(first, plans[0])["tasks"]
    _expect(len({task["position"] for task in tasks}) == len(tasks) > 0, "the tasks are not there exactly once")
    story.say(f"  finished all the same: {len(tasks)} tasks, each once")
    first.end()
    story.say()
    story.say("Starting again on the same data; now the step that assigns tasks fails for good")
    second = stage.start(BROKEN, workers=2)
    undone = _approve(story, second, plans[1])
    done = _ended(second, undone)
    _expect(done["status"] == "compensated", f"the saga is {done['status']}, not compensated")
    plan = _plan(second, plans[1])
    _expect(plan["tasks"] == [] and plan["status"] == "pending", "something of the undone approval is left")
    story.say(f"  undone in order: no task is left, the plan is {plan['status']} again")
    second.end()
    third = stage.start("", workers=1, last=True)
    _measure(story, third, samples)
    for title, saga_id in (("The approval whose worker was killed", killed), ("The approval that was undone", undone)):
        _print_timeline(story, third, title, saga_id)
    _check(story, stage.folder)


def _upload(story: Story, running: Running, path: Path, channels: list[str]) -> str:
    boundary = "amends-demo-boundary"
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="channels"\r\n\r\n{name}\r\n' for name in channels]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n\r\n'
    body = "".join(parts).encode() + head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    status, found = running.call(
        "POST", "/api/marketplace/analysis/upload", body, f"multipart/form-data; boundary={boundary}"
    )
    _expect(status == 202, f"the upload answers {status}: {found}")
    plan_id = str(found["planId"])
    until(lambda: _plan(running, plan_id)["status"] == "pending", STEP_SECONDS, "the analysis does not end")
    story.say(f"{path.name}: uploaded, analysed for {', '.join(channels)}")
    return plan_id


def _show_plan(story: Story, running: Running, plan_id: str) -> None:
    for found in _plan(running, plan_id)["plan"]["opportunities"][:4]:
        story.say(f"  {found['channel']:<14} {found['priority']:<6} {found['title']}")
        story.say(f"                 {found['reason'][:96]}")


def _approve(story: Story, running: Running, plan_id: str) -> str:
    began = time.monotonic()
    body = b'{"action": "approve", "approvedBy": "ana@example.com"}'
    status, found = running.call("PATCH", f"/api/marketplace/analysis/{plan_id}", body)
    _expect(status == 202, f"the approval answers {status}: {found}")
    story.say(f"  202 after {(time.monotonic() - began) * 1000:.0f} ms: job {found['jobId']}")
    return str(found["jobId"])


def _kill_worker(story: Story, running: Running, saga_id: str) -> None:
    """Kill whoever runs the slow step; the event that it has begun names the worker."""

    def worker_of_tasks() -> str | None:
        for entry in running.call("GET", f"/api/sagas/{saga_id}/events")[1]["items"]:
            if entry["type"] == "StepStarted" and entry["data"]["step"] == "tasks":
                return str(entry["data"]["worker"])
        return None

    worker = until(worker_of_tasks, STEP_SECONDS, "the step does not begin")
    pid = int(worker.rpartition("/")[2].partition("-")[0])
    name = next((name for name, known in running.pids("worker").items() if known == pid), worker)
    os.kill(pid, signal.SIGKILL)
    story.say(f"  SIGKILL to {name} (process {pid}) in the middle of step tasks")
    began = time.monotonic()
    until(lambda: _step(running, saga_id, "tasks")["attempt"] > 1, STEP_SECONDS, "nobody takes the lost step over")
    story.facts.setdefault("seconds", {})["lost step scheduled again"] = round(time.monotonic() - began, 2)
    story.say(f"  the step is scheduled again {time.monotonic() - began:.1f} s later, as attempt 2")


def _measure(story: Story, running: Running, samples: Path) -> None:
    story.say()
    story.say("Measuring one approval without any trouble")
    plan_id = _upload(story, running, samples / "exportacao-de-anuncios.csv", ["Mercado Livre", "Magalu"])
    began = time.monotonic()
    body = b'{"action": "approve", "approvedBy": "ana@example.com"}'
    _, found = running.call("PATCH", f"/api/marketplace/analysis/{plan_id}", body)
    story.measured("enqueue", time.monotonic() - began, 0.1)
    committed = time.monotonic()
    until(lambda: _job(running, found["jobId"])["status"] == "completed", STEP_SECONDS, "the job does not end")
    story.measured("commit to completion", time.monotonic() - committed, 5.0)
    began = time.monotonic()
    _job(running, found["jobId"])
    story.measured("status poll", time.monotonic() - began, 0.05)


def _print_timeline(story: Story, running: Running, title: str, saga_id: str) -> None:
    story.say()
    story.say(f"{title} ({saga_id})")
    entries = running.call("GET", f"/api/sagas/{saga_id}/events?limit=1000")[1]["items"]
    story.facts.setdefault("sagas", {})[saga_id] = [entry["sentence"] for entry in entries]
    for entry in entries:
        story.say(f"  {entry['createdAt'][11:23]}  {entry['sequenceNumber']:>3}  {entry['sentence']}")


def _check(story: Story, folder: Path) -> None:
    command = [sys.executable, "-m", "amends", "doctor", "--invariants", "--json", "--data-dir", str(folder)]
    checked = subprocess.run(  # noqa: S603 - ourselves
        command, env=bare_environment(), capture_output=True, text=True, check=False, timeout=60
    )
    _expect(checked.returncode == 0, f"doctor finds something wrong:\n{checked.stdout}{checked.stderr}")
    found = json.loads(checked.stdout)["invariants"]
    story.facts["invariants"] = found
    story.say()
    story.say(f"Invariants: {found['checked']} checked on {found['sagas']} sagas, {len(found['violations'])} violated")


def _plan(running: Running, plan_id: str) -> dict[str, Any]:
    found: dict[str, Any] = running.call("GET", f"/api/marketplace/analysis/{plan_id}")[1]
    _expect(found.get("status") != "failed", f"the analysis failed: {found.get('error')}")
    return found


def _job(running: Running, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = running.call("GET", f"/api/marketplace/jobs/{job_id}")[1]
    return found


def _step(running: Running, saga_id: str, name: str) -> dict[str, Any]:
    steps: list[dict[str, Any]] = running.call("GET", f"/api/sagas/{saga_id}")[1]["steps"]
    return next(step for step in steps if step["step"] == name)


def _ended(running: Running, saga_id: str) -> Mapping[str, Any]:
    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = running.call("GET", f"/api/sagas/{saga_id}")[1]
        return found if found["status"] in ("completed", "compensated", "failed") else None

    return until(ended, STEP_SECONDS, "the saga does not end")


def _samples() -> Path:
    application = load_applications(["marketplace"])[0]
    if application.migrations is None:
        raise DemoError("the marketplace application has no samples")
    return application.migrations.parent / "samples"


def until(ask: Callable[[], T | None], seconds: float, otherwise: str, evidence: Callable[[], str] | None = None) -> T:
    """Ask until there is an answer that is not false."""
    deadline = time.monotonic() + seconds
    while not (found := ask()):
        if time.monotonic() > deadline:
            raise DemoError(f"{otherwise} after {seconds:g} s" + (f":\n{evidence()}" if evidence else ""))
        time.sleep(LOOK_SECONDS)
    return found


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DemoError(otherwise)
