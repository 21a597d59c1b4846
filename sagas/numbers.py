"""The numbers of the protocol that decisions rest on, with their defaults; settings may change them."""

from sagas.records import record


@record
class Numbers:
    """Seconds and counts. `poison` is how many lost workers, `lost_max` how many lost commands, end a step."""

    lease_seconds: float = 4.0
    poison: int = 3
    lost_max: int = 10
    retry_after_seconds_max: float = 3600.0
    refusal_seconds_max: float = 30.0
    repairs_max: int = 3
    signals_max: int = 100


DEFAULT_NUMBERS = Numbers()
