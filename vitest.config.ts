import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Where CI wants the results as JSON too. */
const report = process.env['CODEX_TASK_TEST_REPORT'];

/**
 * What waits longest for processes and leases begins first, so that none of it is what is left. One project after the
 * other: a process takes files of one only, and to begin another costs seconds.
 */
class WaitingFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId, project }: TestSpecification) => {
      const rank = FIRST.findIndex((pattern) => pattern.test(moduleId));
      return PROJECTS.indexOf(project.name) * (FIRST.length + 1) + (rank === -1 ? FIRST.length : rank);
    };
    return (await super.sort(files)).sort((a, b) => place(a) - place(b));
  }
}

const PROJECTS = ['whole', 'apart', 'parts', 'alone', 'long', 'timed'];
const FIRST = [
  /\/(e2e\/(host-|drain|reset-)|workflows\/(stranded|step-))/,
  /\/(e2e|chaos)\//,
  /\/(workflows|cli|worker|dev)\//,
  /\/session\/account\//,
  /\/(conversation|sandbox|verify-seed|adopt-tasks|drain-sessions|stop-on-full-disk)/,
];

/** Parts that share a process: no mocks of modules, nothing that a process has only once. */
const TOGETHER = [
  ...['codex', 'credentials', 'guard', 'journal', 'reach', 'session', 'snapshots', 'store'],
  ...['async', 'budgets', 'task-folder', 'temporal', 'workdir'],
];
const together = [...TOGETHER.map((part) => `test/${part}/**/*.test.ts`), 'test/*.test.ts'];
/** The second two count timers, which are those of all that a process does. */
const apart = [
  'test/store/model/**/*.test.ts',
  'test/async/within.test.ts',
  'test/listener/silent-body.test.ts',
];
/** What waits for real leases, or starts many processes: `npm run test:long`. */
const long = ['test/**/*.long.test.ts'];
/** Those of them that hold a promise of seconds: they run after the others, with little beside them. */
const timed = [
  'test/e2e/drain.long.test.ts',
  'test/e2e/long-life.long.test.ts',
  'test/e2e/ways-to-stop.long.test.ts',
  'test/worker/faults.long.test.ts',
  'test/workflows/stranded.long.test.ts',
];
/** Those that need a process of their own: their modules set up a stack, or a store with a mistake in it, once. */
const alone = ['test/{chaos,e2e}/**/*.long.test.ts', 'test/store/model/**/*.long.test.ts'];

const common = {
  setupFiles: 'test/support/open-files.ts',
  // Temporal's native core crashes in worker threads.
  pool: 'forks',
  // Time limits end what hangs, also on a busy machine. A promise about time is an assertion of its test.
  testTimeout: 150_000,
  hookTimeout: 240_000,
  expect: { poll: { timeout: 60_000 } },
} as const;

// Most of them wait for leases.
const ofLong = { ...common, maxWorkers: 6, sequence: { groupOrder: 1 } };

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
          exclude: [...together, ...apart, ...long],
        },
      },
      { test: { ...common, name: 'apart', include: apart, exclude: long } },
      { test: { ...ofLong, name: 'alone', include: alone, exclude: timed } },
      { test: { ...ofLong, name: 'long', isolate: false, include: long, exclude: [...alone, ...timed] } },
      { test: { ...common, name: 'timed', include: timed, maxWorkers: 3, sequence: { groupOrder: 2 } } },
    ],
  },
});
