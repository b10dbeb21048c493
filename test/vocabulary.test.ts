import { expect, test } from 'vitest';
import { read, sourceFiles } from './support/documents.js';

/** Words of the code that have a standard name now, which the glossary of ARCHITECTURE.md has. */
const GONE = {
  'assignment, generation': /\bstay(?:s?[A-Z]\w*|Id)\b|\b\w*[a-z]Stays?\b|\bStay[A-Z]?\w*\b(?! )/,
  'hook request': /errand/i,
  'permission requests': /\b\w*Desk\b|\bdesk\b/,
  'activity, of Temporal’s': /\bSTEP_\w+|\b(?:shared|host|text|retried)Steps\b|\bHostSteps\b/,
  evict: /\bhostLeft\b|\bisToLetGo\b/,
  'seed available': /\bcredentialFree\b/,
  'turn queue': /\bTurnLine\w*\b/,
  thread: /\bConversation\w*\b|\bconversation(?=[.,] ?[a-z}]|\)| })/,
  'kind, of a state': /\{ is: '|\b(?:phase|stage|task)\.is\b/,
  'host lease': /\bHostRight\b|\bholdsRight\b|\bhost\.right\b|\brequireRight\b/,
  superseded: /\bisLeft\b|\bLEFT_GRACE_MS\b|\btimeLeft\b/,
  'previous host': /\bMoved\b/,
  'guard, a process': /\bAccountGuard\b|\bguardAccount\b/,
  'task manifest': /\bKeptTask\b|\bkeepTask\b|\breadKept\b/,
  orphan: /\bputBack\b|\bsaveAbandoned\b|\bopenLeftTask\b/,
  report: /\bsay(?:Fault|Closed|Unsaved|TooLate|Refused|Back)\b|\btellSurely\b|\blastWords\b/,
} as const;

const code = (text: string): string => text.replace(/\/\*[\s\S]*?\*\/|\/\/ [^\n]*/g, '');

test.each(Object.entries(GONE))('the code uses standard words for “%s”', (_, gone) => {
  const found = sourceFiles.filter((name) => gone.test(code(read(name))));
  expect(found).toEqual([]);
});

/** Calls of a log, and the event that each writes: `log.warn({ taskId }, 'task.moved')`. */
const LOGGED =
  /\blog\.(?:debug|info|warn|error|fatal)\(\s*(?:\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\},\s*)?'([^']+)'/g;

/** Words of log events that the glossary has dropped, or that only the code's own history explains. */
const GONE_FROM_LOGS =
  /\b(?:stays?|errand|desk|abandoned|untold|left|kept|back|again|not|cannot|note|unknown|unsettled)\b/;

test('log events are named by a thing and what happened to it', () => {
  const events = sourceFiles.flatMap((name) =>
    [...read(name).matchAll(LOGGED)].map(([, event = '']) => event),
  );
  expect(events.length).toBeGreaterThan(90);
  expect(
    events.filter((event) => GONE_FROM_LOGS.test(event) || !/^[a-z]+(?:[.-][a-z]+)+$/.test(event)),
  ).toEqual([]);
});

/** Words of comments that have a plainer one: again, even when, idempotent, a hook request. */
const PLAINER = /\banew\b|\b[Aa]lso when\b|\bRepeatable\b|\berrands?\b/;

test('comments use the plainer words', () => {
  const comments = (text: string) =>
    (text.match(/\/\*[\s\S]*?\*\/|(?<![:'"`\w])\/\/ [^\n]*/g) ?? []).join('\n');
  expect(sourceFiles.filter((name) => PLAINER.test(comments(read(name))))).toEqual([]);
});

test('the glossary has at most 25 words', () => {
  const [, table = ''] = read('ARCHITECTURE.md').split('## Words\n');
  const rows = table
    .split('\n## ')[0]!
    .split('\n')
    .filter((line) => /^\| (?!Word |-)/.test(line));
  expect(rows.length).toBeGreaterThan(15);
  expect(rows.length).toBeLessThanOrEqual(25);
});
