import { onTestFinished } from 'vitest';
import type {
  PermissionRecord,
  PermissionRequest,
  PermissionSettled,
  SessionReport,
} from '../../src/contract/index.js';
import { Thread, type ThreadOptions } from '../../src/session/conversation/thread.js';
import type { Journal } from '../../src/journal/journal.js';
import { openLedger, type Ledger } from '../../src/task-folder/ledger.js';
import type { WorkflowLink } from '../../src/session/conversation/workflow-link.js';
import { join } from 'node:path';
import { testFolder } from '../support/folders.js';
import { until } from '../support/until.js';
import { memoryJournal, type SessionEvent } from './memory-journal.js';

export interface ScriptedCall {
  method: string;
  params: Record<string, unknown>;
  resolve(result: unknown): void;
  reject(error: Error): void;
}

export interface ScriptedCodex {
  thread: Thread;
  ledger: Ledger;
  journal: Journal;
  events: SessionEvent[];
  /** Calls of the conversation, answered by the test alone. */
  calls: ScriptedCall[];
  /** What codex was answered, by its request id. */
  answers: Map<string | number, unknown>;
  requested: PermissionRequest[];
  settled: PermissionSettled[];
  recorded: PermissionRecord[];
  reports: SessionReport[];
  /** The `nth` call of this method, waited for. */
  called(method: string, nth?: number): Promise<ScriptedCall>;
  notify(method: string, params: object): void;
  ask(id: number, method: string, params?: object): void;
  /** Answers the `nth` turn/start and begins the turn. */
  begin(turnId: string, nth?: number): Promise<void>;
  complete(turnId: string, status?: string): void;
  item(event: 'started' | 'completed', turnId: string, item: object): void;
}

const THREAD = 'thread';

/** A conversation whose codex says and answers only what the test lets it. */
export async function scriptedCodex(
  options: Partial<ThreadOptions> & {
    ledgerPath?: string;
    /** Methods that codex answers at once. */
    answered?: readonly string[];
  } = {},
): Promise<ScriptedCodex> {
  const folder = await testFolder();
  const ledger = await openLedger(options.ledgerPath ?? join(folder, 'ledger'));
  const { journal, events } = memoryJournal();
  const calls: ScriptedCall[] = [];
  const answers = new Map<string | number, unknown>();
  const [requested, settled, recorded, reports] = [[], [], [], []] as [
    PermissionRequest[],
    PermissionSettled[],
    PermissionRecord[],
    SessionReport[],
  ];
  const link: WorkflowLink = {
    permissionRequested: (request) => void requested.push(request),
    permissionSettled: (each) => void settled.push(each),
    permissionsRecorded: (records) => void recorded.push(...records),
    sessionChanged: (report) => void reports.push(report),
    flush: () => undefined,
    close: () => undefined,
  } as Partial<WorkflowLink> as WorkflowLink;
  const thread = new Thread({
    codex: {
      call: (method, params) =>
        new Promise((resolve, reject) => {
          calls.push({ method, params: params as Record<string, unknown>, resolve, reject });
          if (options.answered?.includes(method)) resolve({});
        }),
      respond: (id, result) => void answers.set(id, result),
      respondError: (id, code) => void answers.set(id, { error: code }),
    },
    journal,
    ledger,
    link,
    incarnation: 1,
    mode: 'conversation',
    threadId: THREAD,
    workDir: folder,
    models: { models: [], default: null },
    model: 'gpt-5.5',
    effort: null,
    wantedEffort: null,
    rules: [],
    turnMs: 60_000,
    idleMs: 60_000,
    ...options,
  });
  onTestFinished(async () => {
    thread.fail('CodexFailed', 'the test is over');
    await ledger.close().catch(() => undefined);
  });
  const notify = (method: string, params: object) => {
    const whole = { threadId: THREAD, ...params };
    thread.router.route(method, whole, JSON.stringify({ method, params: whole }));
  };
  const called = (method: string, nth = 1) =>
    until(`${method} ${nth}`, () => calls.filter((call) => call.method === method)[nth - 1]);
  const turn = (id: string, status: string) => ({ turn: { id, status, items: [], error: null } });
  return {
    thread,
    ledger,
    journal,
    events,
    calls,
    answers,
    requested,
    settled,
    recorded,
    reports,
    called,
    notify,
    ask: (id, method, params = {}) =>
      thread.permissions.ask(id, method, { threadId: THREAD, turnId: 't1', itemId: 'i1', ...params }),
    async begin(turnId, nth = 1) {
      (await called('turn/start', nth)).resolve(turn(turnId, 'inProgress'));
      notify('turn/started', turn(turnId, 'inProgress'));
    },
    complete: (turnId, status = 'completed') => notify('turn/completed', turn(turnId, status)),
    item: (event, turnId, item) => notify(`item/${event}`, { turnId, item }),
  };
}
