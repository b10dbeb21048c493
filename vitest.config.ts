import { defineConfig } from 'vitest/config';

/** Where CI wants the results as JSON too. */
const report = process.env['CODEX_TASK_TEST_REPORT'];

export default defineConfig({
  test: {
    // Temporal's native core crashes in worker threads; every file gets its own process.
    pool: 'forks',
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    maxWorkers: 3,
    testTimeout: 30_000,
    // Machines of CI are shared: what fails there has to fail twice. Elsewhere once is enough.
    retry: report ? 1 : 0,
    hookTimeout: 60_000,
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
  },
});
