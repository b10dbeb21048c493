import { defineConfig } from 'vitest/config';

/** Tests of the sources themselves: they need no server, so the check fetches and starts none. */
export default defineConfig({
  test: {
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 120_000,
    include: [
      'test/architecture.test.ts',
      'test/format-writers.test.ts',
      'test/functions.test.ts',
      'test/sleeps.test.ts',
      'test/titles.test.ts',
      'test/vocabulary.test.ts',
      'test/waiting.test.ts',
    ],
  },
});
