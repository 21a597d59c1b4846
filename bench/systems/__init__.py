"""The systems that are measured: how each is started, and what it keeps."""

from bench.systems.amends import Amends
from bench.systems.bullmq import Bullmq
from bench.systems.celery import Celery
from bench.systems.dbos import Dbos
from bench.systems.floor import Floor
from bench.systems.restate import Restate
from bench.systems.system import System

__all__ = ["SYSTEMS"]

SYSTEMS: dict[str, System] = {
    "amends": Amends(api=False),
    "amends-api": Amends(api=True),
    "amends-aged": Amends(api=False, aged=True),
    "dbos": Dbos(),
    "restate": Restate(),
    "bullmq-always": Bullmq("always"),
    "bullmq-everysec": Bullmq("everysec"),
    "celery": Celery(),
    "floor": Floor(),
}
