"""An approved plan becomes tasks that sellers see; half of it never stays (req. G-1)."""

import json
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from amends import Context, Permanent, Saga, Transaction
from marketplace.phases import first_phase, generate_first_phase
from marketplace.plans import Approve, Phase, Plan, Task

TEAM = ("catálogo", "operações", "atendimento", "mídia")

approval = Saga("approval", input=Approve)


@approval.step("plan")
async def approve_plan(request: Approve, context: Context, transaction: Transaction) -> Plan:
    """Mark the plan approved by this saga; only a plan that awaits approval can be."""
    row = await transaction.fetchrow(
        "UPDATE marketplace_plans SET status = 'approved', approved_by = $2, approval_id = $3::text::uuid, "
        "updated_at = clock_timestamp() WHERE id = $1 AND status = 'pending' RETURNING plan_data::text",
        request.plan_id,
        request.approved_by,
        context.saga_id,
    )
    if row is None:
        raise Permanent(f"plan {request.plan_id} does not exist, or does not await approval")
    return Plan.model_validate_json(row["plan_data"])


@approve_plan.undo
async def restore_plan(request: Approve, context: Context, transaction: Transaction) -> None:
    """The plan awaits approval again."""
    await transaction.execute(
        "UPDATE marketplace_plans SET status = 'pending', approved_by = NULL, approval_id = NULL, "
        "updated_at = clock_timestamp() WHERE id = $1 AND status = 'approved' AND approval_id = $2::text::uuid",
        request.plan_id,
        context.saga_id,
    )


@approval.step("phase1", queue="phase1-tasks")
async def take_phase1(plan: Plan) -> Phase:
    """Take the plan's phase 1."""
    phase = first_phase(plan.phases)
    if phase is None:
        raise Permanent("the plan has no phase 1")
    return phase


@take_phase1.fallback
async def generate_phase1(plan: Plan) -> Phase:
    """Make phase 1 from the opportunities; no agent is asked (req. X50)."""
    return generate_first_phase(plan.opportunities)


@approval.step("tasks", queue="phase1-tasks")
async def create_tasks(request: Approve, phase1: Phase, transaction: Transaction) -> list[Task]:
    """Create the tasks of phase 1."""
    tasks = [
        Task(id=str(uuid5(NAMESPACE_URL, f"{request.plan_id}/1/{place}")), title=title)
        for place, title in enumerate(phase1.tasks)
    ]
    await transaction.executemany(
        "INSERT INTO tasks (id, plan_id, phase, position, title, generated, status) "
        "VALUES ($1::text::uuid, $2, 1, $3, $4, $5, 'pending')",
        [(task.id, request.plan_id, place, task.title, phase1.generated) for place, task in enumerate(tasks)],
    )
    await _save_phase(transaction, request.plan_id, phase1)
    return tasks


@create_tasks.undo
async def delete_tasks(request: Approve, result: list[Task], transaction: Transaction) -> None:
    """Delete what was created, and the phase that was made for it."""
    await transaction.execute(
        "UPDATE marketplace_plans SET plan_data = jsonb_set(plan_data, '{phases}', "
        "jsonb_path_query_array(plan_data, '$.phases[*] ? (!(@.generated == true))')) WHERE id = $1",
        request.plan_id,
    )
    await transaction.execute("DELETE FROM tasks WHERE id = ANY($1::text[]::uuid[])", [task.id for task in result])


@approval.step("assignment", queue="task-assignment")
async def assign_tasks(tasks: list[Task], transaction: Transaction) -> dict[str, str]:
    """Give each task to a team, in turn."""
    chosen = {task.id: TEAM[place % len(TEAM)] for place, task in enumerate(tasks)}
    await transaction.executemany(
        "UPDATE tasks SET assignee = $2, status = 'assigned' WHERE id = $1::text::uuid", list(chosen.items())
    )
    return chosen


@assign_tasks.undo
async def unassign_tasks(result: dict[str, str], transaction: Transaction) -> None:
    """Take the tasks away from the teams."""
    await transaction.execute(
        "UPDATE tasks SET assignee = NULL, status = 'pending' WHERE id = ANY($1::text[]::uuid[])", list(result)
    )


@approval.step("published", pivot=True, after=[assign_tasks])
async def publish_plan(request: Approve, context: Context, transaction: Transaction) -> None:
    """Show the plan to sellers. From here there is no way back."""
    done = await transaction.execute(
        "UPDATE marketplace_plans SET status = 'ready', updated_at = clock_timestamp() "
        "WHERE id = $1 AND status = 'approved' AND approval_id = $2::text::uuid",
        request.plan_id,
        context.saga_id,
    )
    if done == "UPDATE 0":
        raise Permanent(f"plan {request.plan_id} is no longer what was approved")


@approval.step("notified", after=[publish_plan])
async def notify(request: Approve, tasks: list[Task], context: Context, transaction: Transaction) -> None:
    """Tell who approved it."""
    await transaction.execute(
        "INSERT INTO marketplace_notifications (key, plan_id, recipient, text) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT DO NOTHING",
        context.idempotency_key,
        request.plan_id,
        request.approved_by,
        f"O plano foi publicado com {len(tasks)} tarefas",
    )


async def _save_phase(transaction: Transaction, plan_id: UUID, phase: Phase) -> None:
    """A generated phase becomes part of the plan, marked as generated (req. X40)."""
    if not phase.generated:
        return
    data: dict[str, Any] = phase.model_dump(mode="json")
    await transaction.execute(
        "UPDATE marketplace_plans SET plan_data = jsonb_set(plan_data, '{phases}', "
        "jsonb_build_array($2::text::jsonb) || coalesce(plan_data -> 'phases', '[]')) WHERE id = $1",
        plan_id,
        json.dumps(data, ensure_ascii=False),
    )
