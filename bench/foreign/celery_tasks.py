"""Celery: a chain of four tasks. Run by the interpreter that has the package, as worker and by the client."""

import sys

from celery import Celery, chain
from celery.signals import worker_ready

Value = dict[str, str]
app = Celery("bench")
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    result_expires=3600,
    worker_prefetch_multiplier=32,
    worker_send_task_events=False,
    worker_redirect_stdouts=False,
    broker_connection_retry_on_startup=True,
    broker_pool_limit=10,
)


@app.task(name="nothing")
def nothing(value: Value) -> Value:
    """Do nothing."""
    return value


@app.task(name="last", ignore_result=False)
def last(value: Value) -> Value:
    """Do nothing, and keep the result, of which the client hears."""
    return value


@app.task(name="fail")
def fail(value: Value) -> Value:
    """Fail for good."""
    raise ValueError("there is none left")


@app.task(name="undo")
def undo(value: Value) -> Value:
    """Do nothing."""
    return value


def forward(value: Value, saga: str) -> None:
    """Start four tasks, one after the other."""
    chain(nothing.s(value), nothing.s(), nothing.s(), last.s().set(task_id=saga)).apply_async()


def compensating(value: Value, saga: str) -> None:
    """Start three tasks, of which the last fails, whereupon two undos run."""
    undoing = chain(undo.si(value), last.si(value).set(task_id=saga))
    chain(nothing.s(value), nothing.s(), fail.s()).apply_async(link_error=undoing)


def connect(url: str) -> None:
    """Use this Valkey, for messages and for results."""
    app.conf.update(broker_url=f"redis+socket://{url}", result_backend=f"redis+socket://{url}")


@worker_ready.connect
def tell(**about: object) -> None:
    """Tell the harness."""
    sys.stdout.write("ready.\n")
    sys.stdout.flush()


if __name__ == "__main__":
    connect(sys.argv[1])
    app.worker_main(["worker", "--loglevel", "CRITICAL", "--without-gossip", "--without-mingle", "--without-heartbeat",
                     *sys.argv[2:]])  # fmt: skip
