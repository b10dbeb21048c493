import { defineConfig } from 'vitest/config';

/** Tests of the sources themselves: they need no server, so the check fetches and starts none. */
export default defineConfig({
  test: { pool: 'forks', include: ['test/architecture.test.ts'] },
});
