import { mkdir } from 'node:fs/promises';
import { onTestFinished } from 'vitest';
import { readConfig } from '../../src/config.js';
import type { ControlChange, PermissionDecision, TaskMessage } from '../../src/contract/index.js';
import { answerFault, type Answer } from '../../src/input/answers.js';
import { operatorToken, taskPassword } from '../../src/listener-secret.js';
import { createLog } from '../../src/log.js';
import { createApp } from '../../src/listener/app.js';
import type { StreamOptions } from '../../src/listener/event-stream.js';
import { listen } from '../../src/listener/listen.js';
import { keepEnded } from '../../src/session/host/ended-journals.js';
import type { Decided, HostContext } from '../../src/session/model/host-context.js';
import { HostTasks } from '../../src/session/model/host-tasks.js';
import { type Journal, type JournalOptions } from '../../src/journal/journal.js';
import type { LiveSession } from '../../src/session/model/live-session.js';
import { openLedger, type Ledger } from '../../src/task-folder/ledger.js';
import { taskFolder, type TaskFolder } from '../../src/task-folder/task-folder.js';
import { parseTaskInput } from '../../src/input/parse-task-input.js';
import { preparedTask } from '../fakes/prepared-task.js';
import { testFolder } from '../support/folders.js';
import { openJournal } from '../../src/journal/open-journal.js';

const SECRET = 'x'.repeat(40);

export interface ServedTask {
  readonly host: HostContext;
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly folder: TaskFolder;
  readonly dataDir: string;
  /** `http://…/tasks/t1` */
  readonly url: string;
  readonly origin: string;
  readonly password: string;
  readonly operator: string;
  readonly auth: { readonly authorization: string };
  readonly session: FakeSession;
  /** What the workflow was given to decide. */
  readonly decisions: PermissionDecision[];
  /** What the workflow says to a decision; replaceable. */
  temporal: (decision: PermissionDecision) => Promise<Decided>;
  notReady: string | null;
  /** Makes the task live, with its listener open unless told otherwise. */
  goLive(mounted?: boolean): void;
}

/** A request whose answer must hold a field. */
export const FORM = {
  requestId: 'form',
  input: { mode: 'form', requestedSchema: { required: ['approved'] } },
};

/** A request for more permissions. */
export const GRANT = { requestId: 'grant', input: { permissions: { network: { enabled: true } } } };

/** The part of a session that the listener uses; what it was asked is kept. */
export interface FakeSession {
  closed: boolean;
  readonly messages: TaskMessage[];
  readonly controls: ControlChange[];
  interrupts: number;
  /** Requests that may be decided. */
  readonly open: Set<string>;
}

export interface ServeOptions {
  readonly limits?: { uploadBytes?: number; downloadBytes?: number };
  readonly corsOrigins?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly journal?: JournalOptions;
  readonly streams?: StreamOptions;
  readonly recovered?: Promise<void>;
}

/** The real listener over real files with one task `t1`, live; false are only codex and Temporal. */
export async function serveTask(options: ServeOptions = {}): Promise<ServedTask> {
  const dataDir = await testFolder();
  const folder = taskFolder(dataDir, 't1');
  for (const path of [folder.work, folder.home]) await mkdir(path, { recursive: true, mode: 0o700 });
  const journal = await openJournal(folder.journal, options.journal);
  onTestFinished(() => journal.close());
  const ledger = await openLedger(folder.ledger);
  const config = readConfig({
    CODEX_TASK_DATA_DIR: dataDir,
    ...options.env,
    ...(options.corsOrigins && { CODEX_TASK_CORS_ORIGINS: options.corsOrigins }),
  });
  const tasks = new HostTasks(10);
  const ended = keepEnded(dataDir, 3_600_000, (error) => {
    throw error as Error;
  });
  onTestFinished(() => ended.close());
  const decisions: ServedTask['decisions'] = [];
  const host = {
    config,
    hostId: 'h1',
    log: createLog('silent'),
    tasks,
    ended,
    accounts: { saved: 3, quarantined: 2 },
    async decidePermission(_ref: unknown, decision: PermissionDecision) {
      const decided = await served.temporal(decision);
      decisions.push(decision);
      return decided;
    },
  } as unknown as HostContext;
  const app = createApp({
    host,
    secret: SECRET,
    notReady: () => served.notReady,
    quarantined: () => Promise.resolve(3),
    ...(options.streams && { streams: options.streams }),
    ...(options.recovered && { recovered: options.recovered }),
  });
  const listening = await listen(app, { host: '127.0.0.1', port: 0 });
  onTestFinished(() => listening.close());

  const spec = parseTaskInput({ limits: options.limits ?? {} }, 't1');
  const prepared = preparedTask({ spec, folder, journal, ledger });
  const { ref } = prepared;
  onTestFinished(() => ledger.close());
  const { session, fake } = fakeSession();
  const origin = `http://127.0.0.1:${listening.port}`;
  const password = taskPassword(SECRET, 't1');
  const served: ServedTask = {
    host,
    journal,
    ledger,
    folder,
    dataDir,
    url: `${origin}/tasks/t1`,
    origin,
    password,
    operator: operatorToken(SECRET),
    auth: { authorization: `Basic ${Buffer.from(`optio:${password}`).toString('base64')}` },
    session: fake,
    decisions,
    temporal: () => Promise.resolve('taken'),
    notReady: null,
    goLive(mounted = true) {
      tasks.set({ kind: 'live', ref, stopping: new AbortController(), prepared, session, mounted });
    },
  };
  tasks.set({ kind: 'prepared', ref, stopping: new AbortController(), prepared });
  return served;
}

/** The same, live. */
export async function serveLiveTask(options: ServeOptions = {}): Promise<ServedTask> {
  const served = await serveTask(options);
  served.goLive();
  return served;
}

function fakeSession(): { session: LiveSession; fake: FakeSession } {
  const fake: FakeSession = { closed: false, messages: [], controls: [], interrupts: 0, open: new Set() };
  const thread = {
    accept(message: TaskMessage) {
      if (fake.messages.some(({ messageId }) => messageId === message.messageId))
        return Promise.resolve(false);
      fake.messages.push(message);
      return Promise.resolve(true);
    },
    interrupt() {
      fake.interrupts++;
      return Promise.resolve();
    },
    setControl(change: ControlChange) {
      fake.controls.push(change);
      return Promise.resolve();
    },
    report: () => ({}),
    permissions: {
      claim(requestId: string, answer: Answer) {
        const fault =
          (requestId === FORM.requestId && answerFault('elicitation', FORM.input, answer)) ||
          (requestId === GRANT.requestId && answerFault('permissions', GRANT.input, answer));
        return fault || fake.open.delete(requestId);
      },
      unclaim: (requestId: string) => void fake.open.add(requestId),
    },
  };
  const session = {
    thread,
    link: { sessionChanged: () => undefined, told: () => Promise.resolve() },
    get closed() {
      return fake.closed;
    },
  } as unknown as LiveSession;
  return { session, fake };
}

/** Posts a body; objects as JSON. */
export async function post(
  { url, auth }: Pick<ServedTask, 'url' | 'auth'>,
  route: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: unknown; headers: Headers }> {
  const response = await fetch(`${url}/${route}`, {
    method: 'POST',
    headers: { ...auth, ...headers },
    ...(body !== undefined && {
      body: typeof body === 'string' || body instanceof FormData ? body : JSON.stringify(body),
    }),
  });
  const text = await response.text();
  return {
    status: response.status,
    body: text === '' ? null : (JSON.parse(text) as unknown),
    headers: response.headers,
  };
}
