import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startChaosStack, type ChaosStack } from './chaos-stack.js';
import { FAULTS, makePlan, planText, type Fault } from './plan.js';
import { runPlan, type RunCounts } from './run-plan.js';

/** `CHAOS_RUNS` runs from `CHAOS_SEED` on; `CHAOS_FAULTS` names those to choose from. */
const first = Number(process.env['CHAOS_SEED'] ?? '100');
const runs = Number(process.env['CHAOS_RUNS'] ?? '1');
const asked = process.env['CHAOS_FAULTS']?.split(',');
const faults = asked ? FAULTS.filter((fault) => asked.includes(fault)) : FAULTS;

let stack: ChaosStack;
const totals: RunCounts[] = [];

beforeAll(async () => {
  stack = await startChaosStack();
  await stack.ready();
}, 180_000);
afterAll(async () => {
  await stack.close();
  if (totals.length > 0) console.log(report(totals));
});

describe('whatever is killed, frozen or cut off', () => {
  it.each(Array.from({ length: runs }, (_, i) => first + i))(
    'loses nothing (run again with CHAOS_RUNS=1 CHAOS_SEED=%i)',
    async (seed) => {
      const plan = makePlan(seed, faults);
      if (process.env['CHAOS_RUNS']) console.log(planText(plan));
      const counts = await runPlan(stack, plan).catch((error: unknown) => {
        if (process.env['CHAOS_LOG']) writeFileSync(process.env['CHAOS_LOG'], stack.log.join(''));
        throw error;
      });
      totals.push(counts);
      expect(counts.messages).toBe(plan.tasks.flat().length);
    },
    200_000,
  );
});

function report(all: readonly RunCounts[]): string {
  const sum = (of: (counts: RunCounts) => number) => all.reduce((total, counts) => total + of(counts), 0);
  const hits = new Map<Fault, number>();
  for (const fault of all.flatMap((counts) => counts.faults)) hits.set(fault, (hits.get(fault) ?? 0) + 1);
  return [
    `chaos: ${all.length} runs, ${sum(({ tasks }) => tasks)} tasks, ${sum(({ messages }) => messages)} messages,`,
    `${sum(({ events }) => events)} events, ${sum(({ decisions }) => decisions)} decisions,`,
    `${sum(({ rotations }) => rotations)} rotations; ${[...hits].map(([fault, n]) => `${n} × ${fault}`).join(', ')}`,
  ].join(' ');
}
