import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { upsertSearchAttributes } from '@temporalio/workflow';
import { BUDGETS, cutText } from '../budgets/budgets.js';
import type { TaskStatus } from '../contract/index.js';

const keyword = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);
const ATTRIBUTES = {
  state: keyword('CodexState'),
  model: keyword('CodexModel'),
  seedId: keyword('CodexSeed'),
  host: keyword('CodexHost'),
  quarantineId: keyword('CodexQuarantine'),
};

/**
 * Sets the search attributes whose values differ from `shown`, and notes them there.
 * @param known those that the namespace has; `true`: all
 */
export function upsertChanged(
  status: TaskStatus,
  shown: Record<string, string | null>,
  known: true | readonly string[],
): void {
  const names = Object.keys(ATTRIBUTES) as (keyof typeof ATTRIBUTES)[];
  const valueOf = (name: keyof typeof ATTRIBUTES) =>
    status[name] && cutText(status[name], BUDGETS.searchAttribute);
  const isKnown = (name: keyof typeof ATTRIBUTES) => known === true || known.includes(ATTRIBUTES[name].name);
  const changed = names.filter((name) => isKnown(name) && valueOf(name) !== (shown[name] ?? null));
  if (changed.length === 0) return;
  for (const name of changed) shown[name] = valueOf(name);
  upsertSearchAttributes(changed.map((name) => ({ key: ATTRIBUTES[name], value: valueOf(name) })));
}
