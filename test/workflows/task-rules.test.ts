import { expect, it } from 'vitest';
import { CARRIED_BUDGETS } from '../../src/workflows/carried-fields.js';
import { BUDGETS } from '../../src/budgets/budgets.js';
import { rulesQuery, setRulesSignal, type TaskRule } from '../../src/contract/index.js';
import type { Delivery, RulesInForce } from '../../src/contract/activities.js';
import { connectShortRuns } from '../support/temporal.js';
import { until } from '../support/until.js';
import { runLongTask } from './long-task.js';
import { useTemporal } from './run-task.js';
import { saveHistory } from './histories.js';
import { ended, report, untilCancelled, type Stubs } from './stub-host.js';

const temporal = useTemporal(connectShortRuns);

const ruleOf = (n: number, more: object = {}): TaskRule => ({
  ruleId: `rule-${n}`,
  rule: { kind: 'command', commandPrefix: [`c${n}`], then: 'allow', ...more },
});
const idsOf = (rules: readonly TaskRule[] = []) => rules.map(({ ruleId }) => ruleId);

/** A session that takes rules until it is ended. */
function session() {
  let end: () => void = () => undefined;
  const over = new Promise<void>((resolve) => (end = resolve));
  const told: RulesInForce[] = [];
  let launches = 0;
  const steps = {
    launchAppServer: async () => {
      launches++;
      return { threadId: 'thread-1', model: 'm', controls: [], warnings: [] };
    },
    followSession: async () => {
      await Promise.race([over, untilCancelled()]);
      return ended('completed');
    },
    deliver: async ({ rules = [] }: Delivery) => {
      told.push(...rules);
      return report('running');
    },
  } satisfies Partial<Stubs>;
  return { steps, told, launches: () => launches, end: () => end() };
}

it('keeps the rules that a task is given over its further runs, and tells its host each change once', async () => {
  const { steps, told, end } = session();
  const rounds = 40;
  const { runs, result } = await runLongTask(
    temporal.environment,
    { input: { prompt: 'x' }, steps: () => steps },
    async ({ handle }) => {
      for (let n = 0; n < rounds; n++) {
        await handle.signal(setRulesSignal, { add: [ruleOf(n)], remove: [`rule-${n - 3}`] });
        // What changes nothing is not told.
        await handle.signal(setRulesSignal, { add: [ruleOf(n, { then: 'deny' })], remove: ['unknown'] });
        await until('the rules at the host', () => idsOf(told.at(-1)?.rules).includes(`rule-${n}`));
      }
      expect(await handle.query(rulesQuery)).toEqual([37, 38, 39].map((n) => ruleOf(n)));
      await saveHistory(temporal.environment.client, handle.workflowId, 'rules-of-a-running-task');
      end();
    },
  );
  expect(result?.outcome).toBe('completed');
  expect(runs.length).toBeGreaterThan(1);
  expect(told.at(-1)?.rules).toEqual([37, 38, 39].map((n) => ruleOf(n)));
  expect(told.length).toBeLessThanOrEqual(rounds);
  const revisions = told.map(({ revision }) => revision);
  expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
});

it('takes no more rules than it can carry, all of a change or nothing of it, and says so', async () => {
  const { steps, told, end } = session();
  const large = (n: number) => ruleOf(n, { pattern: '漢'.repeat(1_600) });
  await runLongTask(
    temporal.environment,
    { input: { prompt: 'x' }, steps: () => steps },
    async ({ handle }) => {
      await handle.signal(setRulesSignal, { add: [large(0), large(1)] });
      await handle.signal(setRulesSignal, { add: [large(2), large(3)] });
      expect(idsOf(await handle.query(rulesQuery))).toEqual(['rule-0', 'rule-1']);
      await handle.signal(setRulesSignal, { remove: ['rule-0', 'rule-1'] });
      for (let n = 0; n < 3; n++)
        await handle.signal(setRulesSignal, {
          add: Array.from({ length: 90 }, (_, i) => ruleOf(100 + n * 90 + i)),
        });
      await until('the rules at the host', () => told.at(-1)?.rules.length === 180);
      const { warnings } = await handle.query<{ warnings: string[] }>('state');
      expect(warnings).toEqual([
        'Signal setRules ignored: expected at most 16384 bytes of rules',
        'Signal setRules ignored: expected at most 200 rules in all',
      ]);
      end();
    },
  );
  expect(Buffer.byteLength(JSON.stringify(told.at(-1)))).toBeLessThanOrEqual(CARRIED_BUDGETS.rules);
  expect(CARRIED_BUDGETS.rules).toBeLessThan(BUDGETS.delivery);
});
