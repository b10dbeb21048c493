import { BUDGETS, jsonBytes } from '../budgets/budgets.js';
import type { RulesInForce } from '../contract/activities.js';
import type { RulesChange, TaskRule } from '../contract/index.js';
import { MAX_RULES } from '../input/task-schema.js';
import type { Task } from './task.js';

export const noRules = (): RulesInForce => ({ revision: 0, rules: [] });

/**
 * Takes rules for requests from now on and for those that are open, and forgets others: all of it or nothing. A rule
 * whose id is known changes nothing.
 * @throws Error where there would be too many
 */
export function changeRules(task: Task, change: RulesChange): void {
  const { rules: before } = task.state.rules;
  const rules = changed(before, change);
  if (rules.length === before.length && rules.every((each, i) => each === before[i])) return;
  if (rules.length > MAX_RULES) throw new Error(`expected at most ${MAX_RULES} rules in all`);
  if (jsonBytes(rules) > BUDGETS.rules) throw new Error(`expected at most ${BUDGETS.rules} bytes of rules`);
  take(task, rules);
}

function changed(before: readonly TaskRule[], { add = [], remove = [] }: RulesChange): TaskRule[] {
  const gone = new Set(remove);
  const rules = before.filter(({ ruleId }) => !gone.has(ruleId));
  const known = new Set(rules.map(({ ruleId }) => ruleId));
  for (const each of add) {
    if (known.has(each.ruleId)) continue;
    known.add(each.ruleId);
    rules.push(each);
  }
  return rules;
}

/** Has them told again: another host, or another folder on this one, knows nothing of them yet. */
export function tellRules(task: Task): void {
  const { revision, rules } = task.state.rules;
  if (revision > 0) take(task, rules);
}

/** A time, so that a run that is reset to before its last change is behind no host that knows of that change. */
function take({ state, outbox }: Task, rules: TaskRule[]): void {
  state.rules = { revision: Math.max(state.rules.revision + 1, Date.now()), rules };
  outbox.rules(state.rules);
}
