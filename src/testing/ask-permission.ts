import { setTimeout as delay } from 'node:timers/promises';
import { SHORT_WAIT_MS, type Behavior } from '../contract/index.js';
import { answerFault } from '../input/answers.js';
import { parseExecpolicy } from '../input/execpolicy.js';
import { boundedInput } from '../session/conversation/bounded-input.js';
import { decideByRules, subjectOf } from '../session/conversation/permission-rules.js';
import { recordOf } from '../session/conversation/rule-book.js';
import { changedPaths, placeRules } from '../session/conversation/rule-paths.js';
import { describeAsked, type AskedRequest } from './asked-request.js';
import { untilSo, type Play, type PlayedTurn } from './play.js';

/** A wait that lasts so long is told once more, as a real host does. Milliseconds. */
const LASTS_MS = SHORT_WAIT_MS + 500;

/**
 * Asks as a host does: the task's rules first, then whoever decides.
 * @returns what was decided; null: the turn was cut short before
 * @throws the signal's reason when it aborts before
 */
export async function askPermission(
  play: Play,
  turn: PlayedTurn,
  asked: AskedRequest,
  signal: AbortSignal,
): Promise<'allow' | 'deny' | null> {
  const { signals, spec, workDir, threadId } = play;
  const number = play.asked++;
  const requestId = `${play.incarnation}-${number}`;
  const at = { threadId, turnId: turn.id, itemId: `call_${requestId}`, workDir };
  const { kind, summary, input } = describeAsked(asked, at, spec);
  const paths = kind === 'fileChange' ? changedPaths(input['changes'], input['grantRoot'], workDir) : [];
  const { rules, execpolicy = '' } = spec.approvals;
  const subject = subjectOf(kind, input, paths);
  const policy = parseExecpolicy(execpolicy);
  const judge = () => {
    const given = play.rules.rules.map(({ rule }) => rule);
    return decideByRules(placeRules([...rules, ...given], workDir), subject, policy);
  };
  const record = (behavior: Behavior) => {
    play.records.push(recordOf(requestId, kind, summary, behavior));
    return behavior;
  };
  const ruled = judge();
  if (ruled) return record(ruled);
  const openedAt = new Date(await play.now()).toISOString();
  const request = { requestId, kind, summary, ...boundedInput(input), openedAt };
  const open: NonNullable<Play['open']> = { request, decision: null };
  play.open = open;
  signals.say('permissionRequested', request);
  play.anyAsked.notifyAll();
  const answered = new AbortController();
  void delay(LASTS_MS, undefined, { signal: AbortSignal.any([signal, answered.signal]) }).then(
    () => signals.say('sessionChanged', play.report()),
    () => undefined,
  );
  try {
    await untilSo(play, () => open.decision !== null || turn.cut !== null || judge() !== null, signal);
  } finally {
    answered.abort();
    play.open = null;
  }
  const { decision } = open;
  if (decision) {
    play.heard.decisions.push(decision);
    // The workflow may have known only a part of the request.
    return answerFault(kind, input, decision) === null ? decision.behavior : 'deny';
  }
  const ruledLater = turn.cut === null ? judge() : null;
  if (ruledLater) return record(ruledLater);
  signals.say('permissionSettled', { requestId, reason: turn.cut! });
  return null;
}
