"""A sealed saga as people see it: the table of `describe`, the graph, and what `check` warns of."""

from sagas.durations import readable
from sagas.manifest import Handler, Manifest, Node, RetryPolicy
from sagas.seal import Sealed

HEAD = ("STEP", "CLASS", "AFTER", "GIVES", "IF IT FAILS OR NOBODY KNOWS")
SILENT = ("None", "list[None]", "list[None] | None")
CLASS_NAMES = {"no_undo": "no undo", "pivot": "PIVOT"}


def describe(sealed: Sealed, open_sagas: int | None = None) -> str:
    """The table of a saga; two facts at a glance: where the way back ends, and which steps begin at `start`."""
    manifest = sealed.manifest
    rows = [(node, _row(manifest, node)) for node in manifest.nodes]
    widths = [max(len(line[column]) for line in [HEAD, *(row for _, row in rows)]) for column in range(4)]
    deadline = f"deadline {readable(manifest.deadline)}" if manifest.deadline is not None else "no deadline"
    facts = [deadline, f"fingerprint {manifest.fingerprint[:6]}"]
    facts += [f"{open_sagas} open"] if open_sagas is not None else []
    lines = [f"{manifest.name}({manifest.input}) -> {manifest.result}        {' · '.join(facts)}", _line(HEAD, widths)]
    for node, row in sorted(rows, key=lambda entry: entry[0].name in manifest.behind_pivot):
        lines.append(_line(row, widths))
        if node.pivot:
            text = " no way back from here"
            lines.append("-" * max(len(lines[1]) - len(text), 20) + text)
    undone = [node.name for node in reversed(manifest.nodes) if node.undo is not None]
    lines.append(f"Turning back undoes, in this order: {', '.join(undone) or 'nothing'}")
    needs = ", ".join(manifest.resources) or "no resources"
    lines.append(f"A worker needs: {needs} · queues {', '.join(manifest.queues) or 'none'}")
    return "\n".join(lines)


def mermaid(manifest: Manifest) -> str:
    """The graph in Mermaid's language."""
    lines = ["flowchart TD", "  start((start))"]
    for node in manifest.nodes:
        shape = f'{node.name}{{{{"{node.name}"}}}}' if node.pivot else f'{node.name}["{node.name}"]'
        lines.append(f"  {shape}")
        lines += [f"  {before} --> {node.name}" for before in node.after or ("start",)]
    return "\n".join(lines)


def warnings(manifest: Manifest) -> list[str]:
    """What is allowed and probably not meant (def_R8, def_R9)."""
    found: list[str] = []
    waits = _longest_wait(manifest)
    if manifest.deadline is not None and waits >= manifest.deadline:
        found.append(
            f"saga '{manifest.name}': its waits on one way add up to {readable(waits)}, "
            f"its deadline is {readable(manifest.deadline)}"
        )
    for node in manifest.nodes:
        if node.kind != "step":
            continue
        if not node.after and node.gives in SILENT and node.undo is None and len(manifest.nodes) > 1:
            found.append(f"step '{node.name}' of '{manifest.name}' begins at the start, gives nothing and has no undo: "
                         "was it meant to come last? say after=[...]")  # fmt: skip
        if node.pivot and not node.transactional and node.probe is None:
            found.append(f"pivot '{node.name}' of '{manifest.name}' has neither a Transaction nor a probe: when nobody "
                         "knows whether it happened, an operator must say")  # fmt: skip
    return found


def _longest_wait(manifest: Manifest) -> float:
    """The seconds of waits and sleeps on the way where they are most; what is parallel is not added up."""
    ends: dict[str, float] = {}
    for node in manifest.nodes:  # declared before use (def_R3), so one pass is enough
        own = (node.timeout if node.kind == "signal" else node.length) or 0.0
        ends[node.name] = own + max((ends[before] for before in node.after), default=0.0)
    return max(ends.values(), default=0.0)


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    return "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()


def _row(manifest: Manifest, node: Node) -> tuple[str, str, str, str, str]:
    class_name = CLASS_NAMES.get(node.step_class, node.step_class)
    return node.name, class_name, ", ".join(node.after) or "start", node.gives, _fate(manifest, node)


def _fate(manifest: Manifest, node: Node) -> str:
    match node.kind:
        case "signal":
            return f"after {readable(node.timeout or 0.0)}: {'back' if node.on_timeout == 'compensate' else 'on'}"
        case "sleep":
            return readable(node.length or 0.0)
        case "sleep_until":
            return f"until {node.moment}"
        case "child":
            return f"saga {node.child} with {node.child_input}"
        case "step":
            return _step_fate(manifest, node, node.handler or Handler(function=""))


def _step_fate(manifest: Manifest, node: Node, handler: Handler) -> str:
    parts: list[str] = []
    if node.each is not None:
        parts.append(f"one for each {node.each}")
    conditions = [f"only when {node.when}"] if node.when is not None else []
    conditions += [f"unless {node.unless}"] if node.unless is not None else []
    if conditions:
        parts.append(" and ".join(conditions))
    if node.breaker is not None:
        each = f" for each {node.breaker.per}" if node.breaker.per is not None else ""
        parts.append(f"breaker {node.breaker.name}{each}")
    spare = f"fallback {node.fallback.function}" if node.fallback is not None else None
    if node.name in manifest.behind_pivot:
        left_out = ", is left out," if node.item_failure == "leave_out" else ""
        parts.append(spare or f"until it succeeds{left_out} or an operator decides")
        return "; ".join(parts)
    parts.append(_retries(handler.retry))
    parts += [f"then {spare}"] if spare is not None else []
    end = "then left out" if node.item_failure == "leave_out" else "then back"
    parts.append(end + (f". Unknown: {_unknown(node)}" if _unknown(node) else ""))
    return "; ".join(parts)


def _retries(policy: RetryPolicy) -> str:
    if not policy.delays:
        return "no retry"
    shown = ", ".join(readable(delay) for delay in policy.delays[:6]) + (", …" if len(policy.delays) > 6 else "")
    many = len(policy.delays)
    return f"{many} {'retry' if many == 1 else 'retries'} ({shown})" + (", for ever" if policy.forever else "")


def _unknown(node: Node) -> str:
    if node.probe is not None:
        return node.probe.function
    if node.transactional:
        return "its transaction tells"
    if node.pivot:
        return "an operator"
    if node.undo is not None:
        takes = any(parameter.source == "result" for parameter in node.undo.parameters)
        return f"{node.undo.function}({'None' if takes else ''})"
    return ""
