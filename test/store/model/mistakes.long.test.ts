import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { BEYOND } from './beyond.js';
import { CREDENTIAL_MISTAKES } from './credential-mistakes.js';
import { MISTAKES } from './mistakes.js';
import { openMutants, type Mutant } from './mutants.js';
import type { ModelClock } from './world.js';

const ACTS = 40;
/** Runs that look for a mistake which its own run does not find any more. */
const RUNS = Number(process.env['MODEL_RUNS'] ?? 300);

// Only a mistake whose run is to be found anew takes longer than a second.
vi.setConfig({ testTimeout: 300_000 });

let mutants: Awaited<ReturnType<typeof openMutants>>;
beforeAll(async () => {
  mutants = await openMutants();
});
afterAll(() => mutants?.close());

const ALL = [...MISTAKES, ...CREDENTIAL_MISTAKES];

/** What the first of these runs says that breaks such a rule. */
async function find(
  { runModel, memoryBackend }: Mutant,
  seeds: Iterable<number>,
  says = /./,
): Promise<string | null> {
  for (const seed of seeds) {
    const clock: ModelClock = { now: Date.UTC(2026, 0, 1) };
    const backend = memoryBackend(() => clock.now);
    const said = await runModel(seed, ACTS, backend, clock).then(
      () => null,
      (error: unknown) => String(error),
    );
    if (said !== null && says.test(said)) return `${seed}: ${said}`;
  }
  return null;
}

function* from(first: number): Generator<number> {
  for (let seed = first; seed < first + RUNS; seed++) yield seed;
}

test.each(ALL)('the model finds the mistake: $name', async ({ name, file, changes, seed, says }) => {
  const mutant = await mutants.make(file, changes);
  const known = seed === undefined ? null : await find(mutant, [seed], says);
  const said = known ?? (await find(mutant, from(1), says));
  if (known === null) console.log(`${name}: seed ${said ?? 'none'}`);
  expect(said).not.toBeNull();
});

test('the real store breaks no rule in the runs that find mistakes', async () => {
  const seeds = ALL.flatMap(({ seed }) => seed ?? []);
  expect(await find(await mutants.make('seeds', []), seeds)).toBeNull();
});

test('a mistake outside the model is found by a test of its own', async () => {
  for (const { test: named } of BEYOND) {
    const [file, title] = named;
    const source = await readFile(new URL(`../../${file}`, import.meta.url), 'utf8');
    expect([file, title, source.includes(title)]).toEqual([file, title, true]);
  }
});
