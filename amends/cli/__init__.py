"""The command line. Exit codes: 0 done, 1 the answer is no, 2 usage, 3 unavailable."""

import sys

from amends import ownership

NO, USAGE, UNAVAILABLE = 1, 2, 3
_CODES = {
    "ArchiveError": NO,
    "DefinitionError": NO,
    "MigrationError": NO,
    "DemoError": NO,
    "MovedError": NO,
    "RefusedError": NO,
    "InUseError": NO,
    "NoApplicationError": USAGE,
    "SettingsError": USAGE,
    "ShadowedError": USAGE,
    "ListenError": UNAVAILABLE,
    "NotMigratedError": UNAVAILABLE,
    "StoreUnavailable": UNAVAILABLE,
    "TransportUnavailable": UNAVAILABLE,
    "UnavailableError": UNAVAILABLE,
    "StartError": UNAVAILABLE,
    "EmbeddedError": UNAVAILABLE,
}
_REMEDIES = {
    "StoreUnavailable": "the database does not answer: {}\n  remedy: start it, or correct DATABASE_URL",
    "TransportUnavailable": "Redis does not answer: {}\n  remedy: start it, or correct REDIS_URL",
}


def main() -> None:
    """Run a command. What goes wrong in a way that we know is one message and an exit code, no traceback."""
    try:
        ownership.check()  # before anything of ours is imported that another's could stand for
        from amends.cli.app import app

        app()
    except Exception as error:
        code = _CODES.get(type(error).__name__)
        if code is None:
            raise
        sys.stderr.write(_REMEDIES.get(type(error).__name__, "{}").format(error) + "\n")
        sys.exit(code)
