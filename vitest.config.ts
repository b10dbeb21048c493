import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // Temporal's native core crashes in worker threads; every file gets its own process.
    pool: 'forks',
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
