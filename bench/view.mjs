// Events → view, beside what it costs to parse them: `node bench/view.mjs`.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createView } from '../lib/view/index.js';
import { median } from './lib.mjs';

const RUNS = 9;
const DELTAS = 100_000;

const delta = (turnId, itemId) => ({
  method: 'item/agentMessage/delta',
  params: { threadId: 'th', turnId, itemId, delta: 'word ' },
  emittedAtMs: 1_764_000_000_000,
});

/** The journals of the tests, one after the other as if they were one task's, until there are so many events. */
function realEvents(count) {
  const folder = join(import.meta.dirname, '../test/view/journals');
  const events = readdirSync(folder).flatMap((file) =>
    readFileSync(join(folder, file), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).event)
      .filter(({ type }) => type !== 'x-optio-closed'),
  );
  return Array.from({ length: count }, (_, i) => events[i % events.length]);
}

const LOADS = {
  'deltas of one message': Array.from({ length: DELTAS }, () => delta('tu', 'm')),
  'deltas of 1,000 messages': Array.from({ length: DELTAS }, (_, i) => delta('tu', `m${i % 1_000}`)),
  'events of real tasks': realEvents(DELTAS),
};

const timed = (run) => {
  const begun = performance.now();
  run();
  return performance.now() - begun;
};

for (const [name, events] of Object.entries(LOADS)) {
  const lines = events.map((event) => JSON.stringify(event));
  const applied = [];
  const parsed = [];
  for (let run = 0; run < RUNS; run++) {
    parsed.push(timed(() => lines.forEach((line) => JSON.parse(line))));
    const view = createView();
    applied.push(timed(() => events.forEach((event, i) => view.apply({ id: i + 1, event }))));
  }
  const [view, parse] = [median(applied), median(parsed)];
  const ratio = (view / parse).toFixed(2);
  console.log(`${name}: ${events.length} events in ${view.toFixed(0)} ms, ${ratio} of their parsing`);
}
