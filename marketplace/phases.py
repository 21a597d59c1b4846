"""Phases from agents' answers, and phase 1 where no agent gave one (req. A2 to A4, J1 to J4, X40)."""

from collections.abc import Iterable, Sequence

from marketplace.plans import PRIORITIES, Opportunity, Phase

TASKS_MAX = 5
NAME = "Fase 1 - Otimizações de Impacto Rápido"
WEEKS = "Semanas 1-4"
INVESTMENT = "Equipe interna, ferramentas básicas"
IMPACT = "15-20% de melhoria em KPIs"
REVIEW = "Revisar o plano: nenhuma oportunidade foi encontrada"


def merged_phases(answers: Iterable[Sequence[Phase]]) -> list[Phase]:
    """The phases of some answers as those of one plan: those of one number are one, with the tasks of all."""
    found: dict[int, Phase] = {}
    for phase in (phase for phases in answers for phase in phases):
        first = found.setdefault(phase.number, phase)
        if first is not phase:
            tasks = list(dict.fromkeys([*first.tasks, *phase.tasks]))
            found[phase.number] = first.model_copy(update={"tasks": tasks})
    return [found[number] for number in sorted(found)]


def first_phase(phases: Sequence[Phase]) -> Phase | None:
    """Phase 1 of a plan, if it has one with tasks. A missing number has been filled in by the order (req. A3)."""
    return next((phase for phase in phases if phase.number == 1 and phase.tasks), None)


def generate_first_phase(opportunities: Sequence[Opportunity]) -> Phase:
    """Phase 1 made from opportunities: those of the highest priority that any has, at most five; never empty."""
    chosen: list[Opportunity] = []
    for priority in PRIORITIES:
        chosen = [opportunity for opportunity in opportunities if opportunity.priority == priority][:TASKS_MAX]
        if chosen:
            break
    tasks = [f"{opportunity.title}: {opportunity.what}" for opportunity in chosen] or [REVIEW]
    return Phase(
        number=1, name=NAME, weeks=WEEKS, tasks=tasks, investment=INVESTMENT, expected_impact=IMPACT, generated=True
    )
