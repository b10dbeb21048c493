import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { upsertSearchAttributes } from '@temporalio/workflow';
import type { TaskStatus } from '../contract.js';

const keyword = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);
const ATTRIBUTES = {
  state: keyword('CodexState'),
  model: keyword('CodexModel'),
  seedId: keyword('CodexSeed'),
  host: keyword('CodexHost'),
  quarantineId: keyword('CodexQuarantine'),
};

/** Sets the search attributes whose values are not those in `shown`, and notes them there. */
export function upsertChanged(status: TaskStatus, shown: Record<string, string | null>): void {
  const names = Object.keys(ATTRIBUTES) as (keyof typeof ATTRIBUTES)[];
  const changed = names.filter((name) => status[name] !== (shown[name] ?? null));
  if (changed.length === 0) return;
  for (const name of changed) shown[name] = status[name];
  upsertSearchAttributes(changed.map((name) => ({ key: ATTRIBUTES[name], value: status[name] })));
}
