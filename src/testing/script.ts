import type { ErrorCode } from '../errors.js';
import * as is from '../input/checks.js';
import { badInput } from '../input/faults.js';
import { parseAsked, type AskedRequest } from './asked-request.js';

/** One thing that the scripted codex, its account or its host does. */
export type ScriptStep =
  | { readonly does: 'message'; readonly text: string }
  | {
      readonly does: 'ask';
      readonly request: AskedRequest;
      readonly onAllow: readonly ScriptStep[];
      readonly onDeny: readonly ScriptStep[];
    }
  | { readonly does: 'await-message' }
  | { readonly does: 'hang' }
  | { readonly does: 'time-out' }
  | { readonly does: 'park'; readonly forMs: number }
  | { readonly does: 'lose-host' }
  | { readonly does: 'fail-turn'; readonly reason: string }
  | { readonly does: 'fail'; readonly code: ScriptedFailure; readonly message: string }
  | { readonly does: 'end' };

/** What a scripted worker plays. */
export interface Script {
  readonly steps: readonly ScriptStep[];
}

/** What follows a decision: something said, or more of a script. */
export type Branch = string | ((codex: ScriptedCodex) => Script);

/** The codes with which a script may end a task. */
export type ScriptedFailure = keyof typeof FAILURES;

/** Whether it comes before codex runs, so that it is the only step of its script. */
const FAILURES = {
  NoCredential: true,
  BadInput: true,
  SnapshotUnreadable: true,
  CodexFailed: false,
  LeaseLost: false,
  CredentialDead: false,
} as const satisfies Partial<Record<ErrorCode, boolean>>;

/** A script under way. Each method gives a new one and throws TaskError `BadInput` for an argument that is none. */
export interface ScriptedCodex extends Script {
  /**
   * Codex says something. The last text of a task's last turn is `result.finalMessage`, and with an `outputSchema` that it
   * fits `result.output`; one that does not fit is followed by the turn that comes next, or by `BadOutput`.
   */
  message(text: string): ScriptedCodex;
  /**
   * Codex asks for a permission and waits. What is decided, by whatever way, leads on to `onAllow` or `onDeny`; without
   * them the script goes on. The task's `approvals.rules` decide first, as on a real host.
   */
  asks(request: AskedRequest): AskedCodex;
  /**
   * The turn ends; the next message that the task is sent begins another, which goes on from here. In mode `task` a task
   * without a message that waits is `completed`.
   */
  awaitsMessage(): ScriptedCodex;
  /** The turn goes on until it is interrupted, the task is closed, or `limits.turnMs` is over, in real time. */
  hangs(): ScriptedCodex;
  /** The turn takes longer than `limits.turnMs`, at once: `TurnTimedOut` in mode `task`. */
  timesOut(): ScriptedCodex;
  /**
   * The account is out of quota for `forMs` milliseconds: the task is `parked`, gives its seed back and goes on from here
   * once they are over.
   */
  parks(forMs: number): ScriptedCodex;
  /** The host is lost for good: the task goes on from here on another one, with a lease of its own. */
  losesHost(): ScriptedCodex;
  /**
   * The turn fails: `CodexFailed` in mode `task`, `state.lastError` in mode `conversation`, which goes on after the next
   * `awaitsMessage()`, as it does after a turn that was interrupted or timed out.
   */
  failsTurn(reason: string): ScriptedCodex;
  /** The task fails with this code. `NoCredential`, `BadInput` and `SnapshotUnreadable` must be the only step. */
  fails(code: ScriptedFailure, message: string): Script;
  /** The last turn ends, with these words if any. A conversation is idle then until it is closed. */
  ends(text?: string): Script;
}

/** The same after a question: what its decision leads to. */
export interface AskedCodex extends ScriptedCodex {
  onAllow(branch: Branch): AskedCodex;
  onDeny(branch: Branch): AskedCodex;
}

/** Begins a script. Scripts are values: the same one may be played by any number of tasks, each from its start. */
export const scriptedCodex = (): ScriptedCodex => after([]);

/** A script that a caller without types may have put together. @throws TaskError `BadInput` */
export function checkScript(script: unknown): Script {
  if (MADE.has(script as object)) return script as Script;
  return refuse('script', 'what scriptedCodex() began', script);
}

/** Scripts that were made here, and so are checked. */
const MADE = new WeakSet<object>();

function made<T extends Script>(script: T): T {
  MADE.add(script);
  return script;
}

function after(steps: readonly ScriptStep[]): ScriptedCodex {
  return made(methods(steps));
}

function methods(steps: readonly ScriptStep[]): ScriptedCodex {
  const then = (step: ScriptStep) => after([...steps, step]);
  const last = (...more: ScriptStep[]): Script => made({ steps: [...steps, ...more] });
  return {
    steps,
    message: (text) => then({ does: 'message', text: textOf('message', text) }),
    asks: (request) => asked(steps, { does: 'ask', request: parseAsked(request), onAllow: [], onDeny: [] }),
    awaitsMessage: () => then({ does: 'await-message' }),
    hangs: () => then({ does: 'hang' }),
    timesOut: () => then({ does: 'time-out' }),
    parks: (forMs) => then({ does: 'park', forMs: msOf(forMs) }),
    losesHost: () => then({ does: 'lose-host' }),
    failsTurn: (reason) => then({ does: 'fail-turn', reason: textOf('failsTurn', reason) }),
    fails: (code, message) => last(failure(steps, code, message)),
    ends: (text) =>
      text === undefined
        ? last({ does: 'end' })
        : last({ does: 'message', text: textOf('ends', text) }, { does: 'end' }),
  };
}

function asked(steps: readonly ScriptStep[], ask: Extract<ScriptStep, { does: 'ask' }>): AskedCodex {
  return made({
    ...methods([...steps, ask]),
    onAllow: (branch) => asked(steps, { ...ask, onAllow: stepsOf('onAllow', branch) }),
    onDeny: (branch) => asked(steps, { ...ask, onDeny: stepsOf('onDeny', branch) }),
  });
}

function stepsOf(name: string, branch: unknown): readonly ScriptStep[] {
  if (typeof branch === 'string') return [{ does: 'message', text: textOf(name, branch) }];
  if (typeof branch !== 'function') return refuse(name, 'a text, or a function that goes on', branch);
  const script: unknown = (branch as (codex: ScriptedCodex) => unknown)(scriptedCodex());
  if (MADE.has(script as object)) return (script as Script).steps;
  return refuse(name, 'a function that gives the script it went on with', script);
}

function failure(
  steps: readonly ScriptStep[],
  code: ScriptedFailure,
  message: string,
): Extract<ScriptStep, { does: 'fail' }> {
  if (!Object.hasOwn(FAILURES, code))
    return refuse(
      'fails',
      Object.keys(FAILURES)
        .join(', ')
        .replace(/, (\w+)$/, ' or $1'),
      code,
    );
  if (FAILURES[code] && steps.length > 0)
    return refuse('fails', `no step before ${code}, which comes before codex runs`, steps.length);
  return { does: 'fail', code, message: textOf('fails', message) };
}

const textOf = (name: string, value: unknown): string => checked(name, is.messageText, value);
const msOf = (value: unknown): number => checked('parks', is.milliseconds, value);

function checked<T>(name: string, schema: Parameters<typeof is.check>[0], value: unknown): T {
  const faults = is.check(schema, value);
  if (faults.length > 0) throw badInput(name, faults);
  return value as T;
}

function refuse(name: string, expected: string, value: unknown): never {
  throw badInput(name, [{ path: [], expected, value }]);
}
