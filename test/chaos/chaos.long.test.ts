import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildPackage } from '../support/built-package.js';
import { makeFolder } from '../support/folders.js';
import { startChaosStack, type ChaosStack } from './chaos-stack.js';
import { FAULTS } from './faults-of-chaos.js';
import { makePlan, planText, type Plan } from './plan.js';
import { reportOf } from './report.js';
import { openResults, type RunResult } from './results.js';
import { runPlan } from './run-plan.js';

/**
 * `CHAOS_RUNS` runs from `CHAOS_SEED` on, on `CHAOS_STACKS` hosts at a time; `CHAOS_FAULTS` names those to choose
 * from. `CHAOS_RESULTS` keeps each run in a file, and leaves out those it has; `CHAOS_REPORT` is a file for the
 * report; `CHAOS_LOG` one for what the workers of a failed run
 * wrote, the histories of its tasks beside it.
 */
const env = process.env;
const first = Number(env['CHAOS_SEED'] ?? '140');
const count = Number(env['CHAOS_RUNS'] ?? '1');
const asked = env['CHAOS_FAULTS']?.split(',');
const faults = asked ? FAULTS.filter((fault) => asked.includes(fault)) : FAULTS;
const isSet = env['CHAOS_RUNS'] !== undefined;
const results = openResults(env['CHAOS_RESULTS']);
const seeds = Array.from({ length: count }, (_, i) => first + i).filter((seed) => !results.has(seed));

const stacks: ChaosStack[] = [];
let removePackage: () => Promise<void>;

beforeAll(async () => {
  const { path, remove } = await makeFolder();
  removePackage = remove;
  await buildPackage(path);
  const main = join(path, 'lib/cli/main.js');
  const wanted = Math.min(Number(env['CHAOS_STACKS'] ?? '3'), seeds.length);
  for (let i = 0; i < wanted; i++) stacks.push(await startChaosStack(main));
  await Promise.all(stacks.map((stack) => stack.ready()));
}, 300_000);
afterAll(async () => {
  await Promise.all(stacks.map((stack) => stack.close()));
  await removePackage();
  if (!isSet) return;
  const report = reportOf(results.all);
  console.log(report);
  if (env['CHAOS_REPORT']) writeFileSync(env['CHAOS_REPORT'], `${report}\n`);
}, 300_000);

describe('a stack under kills, freezes, full disks and cuts', () => {
  it(
    `loses nothing (seeds from ${first} on; one of them again: CHAOS_RUNS=1 CHAOS_SEED=…)`,
    async () => {
      const failed: string[] = [];
      const left = [...seeds];
      await Promise.all(
        stacks.map(async (stack) => {
          for (let seed = left.shift(); seed !== undefined; seed = left.shift()) {
            const run = await runTwiceIfWrong(stack, makePlan(seed, faults));
            results.add(run);
            if (run.wrong.length > 0) failed.push(`seed ${seed}: ${run.wrong.join('\n  ')}`);
          }
        }),
      );
      expect(failed.join('\n')).toBe('');
    },
    // The runs have a limit of their own.
    (seeds.length + 1) * 600_000,
  );
});

/** The seed of a failing run is said at once, with what is wrong, and its plan run again. */
async function runTwiceIfWrong(stack: ChaosStack, plan: Plan): Promise<RunResult> {
  const run = await runPlan(stack, plan, env['CHAOS_LOG']);
  const howLong = `${(run.ms / 1_000).toFixed(1)} s`;
  if (run.wrong.length === 0) {
    if (isSet) console.log(`${planText(plan)}: ${run.tasks.join(', ')}, ${howLong}`);
    return run;
  }
  console.log(`FAILED ${planText(plan)}, ${howLong}\n  ${run.wrong.join('\n  ')}`);
  if (env['CHAOS_LOG']) writeFileSync(env['CHAOS_LOG'], stack.log.join(''));
  if (!isSet) return run;
  const { wrong: again } = await runPlan(stack, plan);
  console.log(`  again: ${again.length === 0 ? 'whole' : again.join('\n  ')}`);
  return { ...run, again };
}
