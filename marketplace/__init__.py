"""The shipped application: documents become plans, approved plans become tasks. Written as a user would."""

from pathlib import Path

from amends import App
from marketplace.agents.settings import AgentSettings
from marketplace.jobs import executions
from marketplace.routes import ROUTES
from marketplace.sagas.analysis import analysis
from marketplace.sagas.approval import approval

application = App(
    "marketplace",
    sagas=[analysis, approval],
    routes=ROUTES,
    migrations=Path(__file__).parent / "migrations",
    projections=[executions],
    settings=AgentSettings,
)
