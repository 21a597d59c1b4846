"""Ways that go round: points that lead back to themselves."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from sagas.sameness import Key

Leads = Mapping[Key, Sequence[tuple[Key, str]]]


def rounds(
    leads: Leads, among: Collection[Key], way: Callable[[Key], tuple[str, ...]]
) -> Iterator[tuple[str, tuple[str, ...], Key]]:
    """What happens again and again, the shortest way there with one round, and a point of it; once for each choice.

    Only points `among` these are looked at, in their order.
    """
    told: set[str] = set()
    for key in among:
        for other, choice in leads[key]:
            if not choice.endswith(" again") or choice in told:
                continue
            back = _path(leads, among, other, key)
            if back is not None:
                told.add(choice)
                yield choice, (*way(key), choice, *back, "… and so on"), key


def _path(leads: Leads, among: Collection[Key], start: Key, end: Key) -> tuple[str, ...] | None:
    """The shortest way from a point to another, within those that are looked at."""
    if start not in among:
        return None
    reached: dict[Key, tuple[Key, str] | None] = {start: None}
    waiting = [start]
    for key in waiting:
        if key == end:
            break
        for other, choice in leads[key]:
            if other in among and other not in reached:
                reached[other] = (key, choice)
                waiting.append(other)
    if end not in reached:
        return None
    found: list[str] = []
    step = reached[end]
    while step is not None:
        key, choice = step
        found.append(choice)
        step = reached[key]
    return tuple(reversed(found))
