import { writeFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { findCodex } from '../../src/codex/binary.js';
import { renderConfig } from '../../src/codex/config-toml.js';
import type { Rpc } from '../../src/codex/rpc.js';
import type { CodexTaskInput } from '../../src/contract/index.js';
import {
  modelProvider,
  startModelServer,
  type ModelScript,
  type ModelServer,
} from '../../src/dev/model-server.js';
import type { Thread } from '../../src/session/conversation/thread.js';
import type { HostContext } from '../../src/session/model/host-context.js';
import { launchSession } from '../../src/session/connect/launch-session.js';
import type { LiveSession } from '../../src/session/model/live-session.js';
import { openLedger } from '../../src/task-folder/ledger.js';
import { taskFolder, type TaskFolder } from '../../src/task-folder/task-folder.js';
import { parseTaskInput } from '../../src/input/parse-task-input.js';
import { connect } from '../codex/test-codex.js';
import { memoryJournal, type SessionEvent } from '../fakes/memory-journal.js';
import { preparedTask } from '../fakes/prepared-task.js';
import { testFolder } from '../support/folders.js';
import { until } from '../support/until.js';

export interface Signal {
  name: string;
  argument: unknown;
}

export interface AskedRequest {
  requestId: string;
  kind: string;
  summary: string;
  input: Record<string, unknown>;
}

export interface RealSession {
  session: LiveSession;
  thread: Thread;
  folder: TaskFolder;
  model: ModelServer;
  /** What the workflow was told. */
  signals: Signal[];
  events: SessionEvent[];
  /** The first event of this method or type, also one that `matches`, waited for. */
  saw(name: string, matches?: (event: SessionEvent) => boolean): Promise<SessionEvent>;
  /** Ended turns, waited for until there are so many. */
  turns(count: number): Promise<SessionEvent[]>;
  /** The request of codex that was announced to the workflow as the `nth`, waited for. */
  asked(nth?: number): Promise<AskedRequest>;
  /** A second client of the app-server, its handshake done. */
  connect(): Promise<Rpc>;
  /** Events that end a request. */
  answered(): SessionEvent[];
}

/** A real codex, launched as a worker launches it, in front of a model that follows the script. */
export async function startRealSession(
  script: ModelScript,
  input: CodexTaskInput = {},
  config: Record<string, unknown> = {},
  seedConfigToml = '',
): Promise<RealSession> {
  const dataDir = await testFolder();
  const model = await startModelServer({ script });
  onTestFinished(() => model.close());
  const spec = parseTaskInput({ mode: 'conversation', credential: { none: true }, ...input }, 't1');
  const folder = taskFolder(dataDir, 't1');
  for (const path of [folder.work, folder.codexHome, folder.journal])
    await mkdir(path, { recursive: true, mode: 0o700 });
  await writeFile(
    join(folder.codexHome, 'config.toml'),
    renderConfig({
      dataDir,
      workDir: folder.work,
      sandbox: spec.sandbox,
      approvals: { policy: spec.approvals.policy },
      codexConfig: { model: 'gpt-5.5', ...modelProvider(model.url), ...config },
      seedConfigToml,
    }),
  );
  const { journal, events } = memoryJournal();
  const ledger = await openLedger(folder.ledger);
  const signals: Signal[] = [];
  const host = {
    config: { dataDir, commandEnv: [], minFreeBytes: 1 },
    codex: await findCodex(),
    env: process.env,
    hostId: 'h1',
    guard: () => undefined,
    hostLease: { isHeld: () => true, whenHeld: () => Promise.resolve(), isToEvict: () => false },
    log: pino({ enabled: false }),
    signalWorkflow(_ref: unknown, name: string, argument: unknown) {
      signals.push({ name, argument });
      return Promise.resolve('sent' as const);
    },
  } as unknown as HostContext;
  const prepared = preparedTask({ spec, folder, journal, ledger });
  onTestFinished(() => ledger.close());
  const session = await launchSession(host, prepared, new AbortController().signal);
  onTestFinished(() => session.stop());
  const { thread } = session;
  thread.turns.begin();
  const named = (name: string) => events.filter(({ method, type }) => (method ?? type) === name);
  const requests = () => signals.filter(({ name }) => name === 'permissionRequested');
  return {
    session,
    thread,
    folder,
    model,
    signals,
    events,
    saw: (name, matches = () => true) => until(name, () => named(name).find(matches)),
    turns: (count) =>
      until(
        `${count} turns`,
        () => named('turn/completed').length >= count && named('turn/completed'),
        60_000,
      ),
    asked: (nth = 1) => until('a request of codex', () => requests()[nth - 1]?.argument as AskedRequest),
    connect: () => connect(folder.socket).then(({ rpc }) => rpc),
    answered: () => named('x-optio-permission-answered'),
  };
}
