import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Where CI wants the results as JSON too. */
const report = process.env['CODEX_TASK_TEST_REPORT'];

/** What waits for leases to end begins first, then the other whole stacks, so that none of them is what is left. */
class WaitingFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const place = FIRST.findIndex((pattern) => pattern.test(moduleId));
      return place === -1 ? FIRST.length : place;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

const FIRST = [/\/e2e\/(host-|drain)/, /\/(e2e|chaos)\//, /\/(workflows|cli|worker|dev)\//];

/** Parts that share a process: no mocks of modules, nothing that a process has only once. */
const TOGETHER = ['codex', 'credentials', 'guard', 'host', 'server', 'session', 'store'];
const together = [...TOGETHER.map((part) => `test/${part}/**/*.test.ts`), 'test/*.test.ts'];
const apart = ['test/store/model/**/*.test.ts'];
/** What waits for real leases to end: `npm run test:long`. */
const long = ['test/**/*.long.test.ts'];

const common = {
  // Temporal's native core crashes in worker threads.
  pool: 'forks',
  // Time limits end what hangs, also on a busy machine. A promise about time is an assertion of its test.
  testTimeout: 60_000,
  hookTimeout: 120_000,
  expect: { poll: { timeout: 20_000 } },
} as const;

export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts'],
    // Most of them wait for other processes most of their time.
    maxWorkers: 5,
    sequence: { sequencer: WaitingFirst },
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
    projects: [
      {
        test: { ...common, name: 'parts', isolate: false, include: together, exclude: [...apart, ...long] },
      },
      {
        test: {
          ...common,
          name: 'whole',
          isolate: false,
          include: ['test/**/*.test.ts'],
          exclude: [...together, ...long],
        },
      },
      { test: { ...common, name: 'apart', include: apart, exclude: long } },
      { test: { ...common, name: 'long', include: long } },
    ],
  },
});
