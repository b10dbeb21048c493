import { test } from 'vitest';
import { MAX_LOSSES } from '../../../src/task-folder/losses.js';
import { goesOnAfter } from './outage-support.js';

test(
  'outages that stop codex are no losses of codex, however many there are',
  () => goesOnAfter(MAX_LOSSES + 1),
  240_000,
);
