// Rows of the table beside the listener's: deltas through a conversation, a subscriber that never reads, real parts,
// rotations of a credential.
import { bareStream, conversationStream } from './conversation-stream.mjs';
import { median } from './lib.mjs';
import { realParts } from './real.mjs';
import { rotations } from './rotation.mjs';
import { besideStalled } from './stalled.mjs';

const MANY = { deltas: 100_000, messages: 100 };
const ONE = { deltas: 100_000, messages: 1 };
/** Long enough for several ticks of a second. */
const LONG = { deltas: 1_000_000, messages: 1_000 };

const atMost = (what, limit, ours, unit) => ({
  what: `${what} (${unit})`,
  target: `≤ ${limit}`,
  ours,
  met: ours <= limit,
});
const atLeast = (what, limit, ours, bare) => ({
  what: `${what} (events/s)`,
  target: `≥ ${limit.toLocaleString('en')}`,
  ours,
  bare,
  met: ours >= limit,
});
/** Of no target. */
const noted = (what, ours) => ({ what, target: '–', ours, met: true });

/** Medians of `runs`; of what must never happen, the worst. */
export async function streamRows(runs) {
  const [bare, many, one, long, without, beside] = [[], [], [], [], [], []];
  for (let run = 0; run < runs; run++) {
    bare.push((await bareStream(MANY)).perS);
    many.push((await conversationStream(MANY)).perS);
    one.push((await conversationStream(ONE)).perS);
    long.push(await conversationStream(LONG));
    without.push((await besideStalled(false)).cpuUs);
    beside.push(await besideStalled(true));
  }
  const worst = (key, figures) => Math.max(...figures.map((each) => each[key]));
  const cost = median(beside.map(({ cpuUs }) => cpuUs)) / median(without);
  return [
    atLeast('app-server → conversation → journal → one subscriber', 200_000, median(many), median(bare)),
    atLeast('the same, all deltas of one message', 200_000, median(one)),
    atMost('time of one message beside that of 100', 1.25, median(many) / median(one), 'ratio'),
    atMost('1,000,000 deltas: worst delay of a 5 ms timer', 100, worst('fineMs', long), 'ms'),
    atMost('1,000,000 deltas: worst lateness of a 1 s interval', 100, worst('beatMs', long), 'ms'),
    atMost('one of 11 never reads: CPU per delivery beside none', 1.25, cost, 'ratio'),
    atMost('one of 11 never reads: most queued for it', 1, worst('queuedMb', beside), 'MB'),
  ];
}

export async function realRows() {
  const of = await realParts();
  return [
    atMost('decision posted 150 ms after its request → codex has it, p50', 25, of.decisionP50, 'ms'),
    atMost('the same, p99', 100, of.decisionP99, 'ms'),
    noted('decision posted at once → codex has it, p50 (ms)', of.atOnceP50),
    noted('the same, p99 (ms)', of.atOnceP99),
    atMost('history of one permission', 15, of.perPermission, 'events'),
    atMost('history of a turn with one message and one permission', 35, of.perTurn, 'events'),
    noted('history of a whole task with that one turn (events)', of.perTask),
    atMost('workflow start → first turn running, beyond codex', 900, of.beyondMs, 'ms'),
    noted('codex alone: spawn → thread ready (ms)', of.codexReadyMs),
    noted('codex alone: spawn → first turn running (ms)', of.codexMs),
    atMost('worker killed: next one started → subscriber receives', 2_000, of.fromStartMs, 'ms'),
    noted('worker killed: next one started → its stream can be had (ms)', of.servedMs),
  ];
}

export async function rotationRows() {
  const { p50, p99, worst } = await rotations();
  return [
    atMost('rotation of auth.json → durable in the database, p50 of 100', 100, p50, 'ms'),
    noted('the same, p99 (ms)', p99),
    noted('the same, the slowest (ms)', worst),
  ];
}
