import { test } from 'vitest';
import { MAX_LOSSES } from '../../../src/task-folder/losses.js';
import { goesOnAfter } from './outage-support.js';

test(
  'stops of Codex for outages never count as crashes, however many they are',
  () => goesOnAfter(MAX_LOSSES + 1),
  240_000,
);
