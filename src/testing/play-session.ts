import { randomUUID } from 'node:crypto';
import { firstToSettle } from '../async/first-to-settle.js';
import { pause } from '../async/pause.js';
import { boundOutput } from '../budgets/bound-output.js';
import type { SessionEnd } from '../contract/activities.js';
import type { TaskMessage, TokenUsage } from '../contract/index.js';
import { TaskError } from '../errors.js';
import { endWhenIdle } from '../session/conversation/end-rule.js';
import { askPermission } from './ask-permission.js';
import type { TurnOutcome } from '../session/recall/turn-outcome.js';
import { judgeAnswer } from './judge-answer.js';
import { flushRecords, untilSo, type Cut, type Play, type PlayedTurn } from './play.js';
import type { ScriptStep } from './script.js';

type End = SessionEnd['end'];

/** Tokens of each turn that ends. */
const TURN_USAGE = { totalTokens: 15, inputTokens: 10, outputTokens: 5 };

/**
 * Plays on until the session ends.
 * @throws TaskError `HostLost` where the script loses its host; the signal's reason when it aborts before
 */
export async function playSession(play: Play, signal: AbortSignal): Promise<SessionEnd> {
  const end = await untilEnd(play, signal);
  flushRecords(play);
  await play.signals.said();
  const { finalMessage, output } = play;
  return { end, report: play.report(), finalMessage, finalMessageTruncated: false, ...boundOutput(output) };
}

async function untilEnd(play: Play, signal: AbortSignal): Promise<End> {
  for (;;) {
    signal.throwIfAborted();
    const end = play.turn ? await playTurn(play, play.turn, signal) : await nextTurn(play, signal);
    if (end) return end;
  }
}

/** Begins a turn with the next message, or gives the end of a session that has none. */
async function nextTurn(play: Play, signal: AbortSignal): Promise<End | null> {
  const { spec, queue, last } = play;
  for (;;) {
    const message = play.closing ? undefined : queue.shift();
    if (message) return beginTurn(play, message);
    const end = endWhenIdle(spec.mode, play.closing, last, spec.limits.turnMs);
    if (end) return end;
    if (last && !play.isIdleTold) {
      play.isIdleTold = true;
      play.signals.say('sessionChanged', play.report());
    }
    const isWanted = () => play.closing || queue.length > 0;
    const over = await inTime(spec.limits.idleMs, (stop) => untilSo(play, isWanted, stop), signal);
    if (over === 'late') return { kind: 'closed' };
  }
}

function beginTurn(play: Play, { messageId, outputSchema = play.spec.outputSchema }: TaskMessage): null {
  play.turn = { id: randomUUID(), messageId, outputSchema, cut: null };
  play.isIdleTold = false;
  play.finalMessage = null;
  play.output = undefined;
  if (play.left.length === 0 && play.last)
    play.left.push({
      does: 'fail-turn',
      reason: `the script has no turn for message ${messageId}: say awaitsMessage() and what follows it`,
    });
  return null;
}

/** Plays the steps of a turn up to its end; gives that of the session where a step ends it. */
async function playTurn(play: Play, turn: PlayedTurn, signal: AbortSignal): Promise<End | null> {
  for (;;) {
    signal.throwIfAborted();
    if (play.closing) turn.cut ??= 'close';
    const step = play.left[0];
    if (turn.cut || !step) {
      endTurn(play, turn.cut ? cutShort(play, turn.cut) : {});
      return null;
    }
    // A step that does not come to its end is done again by the next codex.
    const then = await playStep(play, turn, step, signal);
    if (then === 'turn-over') return null;
    if (then) return then;
  }
}

async function playStep(
  play: Play,
  turn: PlayedTurn,
  step: ScriptStep,
  signal: AbortSignal,
): Promise<End | 'turn-over' | null> {
  const { left, spec } = play;
  switch (step.does) {
    case 'message':
      left.shift();
      play.finalMessage = step.text;
      return null;
    case 'ask': {
      const decided = await askPermission(play, turn, step.request, signal);
      if (decided === null) return null;
      left.splice(0, 1, ...(decided === 'allow' ? step.onAllow : step.onDeny));
      return null;
    }
    case 'await-message':
      left.shift();
      return endTurn(play);
    case 'end':
      left.splice(0);
      return endTurn(play);
    case 'hang': {
      const isCut = () => turn.cut !== null;
      const over = await inTime(spec.limits.turnMs, (stop) => untilSo(play, isCut, stop), signal);
      if (over === 'late') turn.cut = 'turn-timed-out';
      return null;
    }
    case 'time-out':
      turn.cut = 'turn-timed-out';
      return null;
    case 'fail-turn':
      dropTurn(play);
      return endTurn(play, { status: 'failed', error: step.reason });
    case 'fail':
      return { kind: 'failed', code: step.code, message: step.message };
    case 'park': {
      left.shift();
      const resetsAt = new Date((await play.now()) + step.forMs).toISOString();
      return {
        kind: 'limited',
        turnId: turn.id,
        resetsAt,
        limit: { kind: 'reset', limitId: null, times: 1 },
      };
    }
    case 'lose-host':
      left.shift();
      throw new TaskError('HostLost', 'The script loses its host here');
  }
}

/** The turn is over before its steps are: those that it has left are not played. */
function dropTurn({ left }: Play): void {
  const next = left.findIndex(({ does }) => does === 'await-message');
  left.splice(0, next === -1 ? left.length : next + 1);
}

function cutShort(play: Play, cut: Cut): TurnEnd {
  dropTurn(play);
  return { status: 'interrupted', timedOut: cut === 'turn-timed-out' };
}

type TurnEnd = Partial<Pick<TurnOutcome, 'status' | 'error' | 'timedOut'>>;

function endTurn(play: Play, ended: TurnEnd = {}): 'turn-over' {
  const { status = 'completed', error = null, timedOut = false } = ended;
  play.last = { id: play.turn?.id ?? null, status, error, timedOut };
  if (status === 'completed' && play.turn) play.last = judgeAnswer(play, play.turn, play.last);
  play.turn = null;
  if (error !== null) play.lastError = error;
  if (status === 'completed') play.turns++;
  play.usage = sum(play.usage, TURN_USAGE);
  flushRecords(play);
  return 'turn-over';
}

const sum = (usage: TokenUsage, more: Partial<TokenUsage>): TokenUsage => ({
  ...usage,
  totalTokens: usage.totalTokens + (more.totalTokens ?? 0),
  inputTokens: usage.inputTokens + (more.inputTokens ?? 0),
  outputTokens: usage.outputTokens + (more.outputTokens ?? 0),
});

/** What comes first, the act or so many milliseconds. @throws the signal's reason when it aborts before */
async function inTime(
  ms: number,
  act: (stop: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<'done' | 'late'> {
  const late = async (stop: AbortSignal): Promise<'late'> => {
    await pause(ms, stop);
    stop.throwIfAborted();
    return 'late';
  };
  const done = async (stop: AbortSignal): Promise<'done'> => {
    await act(stop);
    return 'done';
  };
  return firstToSettle<'done' | 'late'>([done, late], signal);
}
