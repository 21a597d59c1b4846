"""Why a saga is where it is: what it waits for, since when, down to its family, and what ends each wait."""

from collections.abc import Mapping
from typing import Any

from sagas.durations import age

View = Mapping[str, Any]
LOOKED_AT = ("failed", "unknown", "undo_failed", "retrying")


def explain(view: View, now: float, started_at: float, family: Mapping[str, View] | None = None) -> list[str]:
    """The lines of `amends explain`. `family` has the views of children and their children, by their ids."""
    key = f" ({view['key']})" if view["key"] else ""
    held = ", held" if view["held"] else ""
    old = f"{age(max(now - started_at, 0.0))} old"
    lines = [f"{view['definition']} {view['sagaId']}{key}, {view['status']}{held}, {old}, at version {view['version']}"]
    if view["held"] and view["heldSince"]:
        who = f" by {view['heldBy']}" if view["heldBy"] else ""
        ends = f"amends saga release {view['sagaId']} --reason …"
        lines.append(f"  held since {view['heldSince']}{who}: what ends it: {ends}")
    if view["error"]:
        lines.append(f"  error: {view['error']['type']}: {view['error']['message']}")
    for wait in sorted(view["waits"], key=lambda one: one["kind"] == "deadline"):
        lines += _wait(wait, family or {})
    for step in view["steps"]:
        if step["error"] and step["status"] in LOOKED_AT:
            error = step["error"]
            lines.append(f"  {_step_name(step)} is {step['status']}: attempt {error['attempt']}: {error['message']}")
    if not view["waits"]:
        lines.append("  waits for nothing: it has ended" if view["completedAt"] else "  waits for nothing")
    return lines


def children_of(view: View) -> list[str]:
    """The sagas that a saga waits for."""
    return [str(wait["child"]) for wait in view["waits"] if wait["child"]]


def _wait(wait: View, family: Mapping[str, View]) -> list[str]:
    if wait["kind"] == "operator":
        return _operator(wait)
    if wait["child"] in family:
        return _child(wait, family, "  ")
    due = f", looked at {wait['dueAt']}" if wait["dueAt"] else ""
    return [f"  waits for {wait['what']}, since {wait['since']}{due}", f"    what ends it: {wait['endsWhen']}"]


def _operator(wait: View) -> list[str]:
    lines = [f"  waits for an operator since {wait['since']}: {wait['what'].removeprefix('operator: ')}"]
    longest = max((len(one["command"]) for one in wait["remedies"]), default=0)
    if longest:
        lines.append("  what ends it:")
    return lines + [f"    {one['command']:<{longest}}   {one['says']}" for one in wait["remedies"]]


def _child(wait: View, family: Mapping[str, View], margin: str) -> list[str]:
    """One line for each level: what is waited for is what the child waits for."""
    child = family[wait["child"]]
    inner = [one for one in child["waits"] if one["kind"] != "deadline"]
    held = " (held)" if child["held"] else ""
    for_what = "; ".join(_short(one) for one in inner) or f"nothing: it is {child['status']}"
    name = f"{child['definition']} {child['sagaId']}{held}"
    lines = [f"{margin}waits for child {_step_name(wait)} → {name} → {for_what}"]
    for one in inner:
        if one["child"] in family:
            lines += _child(one, family, margin + "  ")
    if any(one["kind"] == "operator" for one in inner) or child["held"]:
        lines.append(f"{margin}  what ends it: amends explain {child['sagaId']}")
    return lines


def _short(wait: View) -> str:
    if wait["kind"] == "child":
        return f"child {_step_name(wait)}"
    return str(wait["what"])


def _step_name(step: View) -> str:
    return str(step["step"]) if step["item"] is None else f"{step['step']}[{step['item']}]"
