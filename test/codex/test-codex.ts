import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { findCodex } from '../../src/codex/binary.js';
import { childEnvironment } from '../../src/codex/child-environment.js';
import { renderConfig, type ConfigInput } from '../../src/codex/config-toml.js';
import { launchAppServer, type AppServer } from '../../src/codex/launch.js';
import type { RequestId } from '../../src/codex/protocol.js';
import { connectRpc, type Rpc } from '../../src/codex/rpc.js';
import { stopProcess } from '../../src/process/stop-process.js';
import { runs, says, startModelStub, type ModelStub } from '../fakes/model-stub.js';
import { testFolder } from '../support/folders.js';
import { until } from '../support/until.js';

export interface Received {
  id?: RequestId;
  method: string;
  params: unknown;
}

/** Folders as a worker lays them out, for one task `a` beside another task `b`. */
export interface TestTask {
  dataDir: string;
  home: string;
  codexHome: string;
  work: string;
  socket: string;
  logFile: string;
}

export interface TestCodex extends TestTask {
  server: AppServer;
  rpc: Rpc;
  model: ModelStub;
  received: Received[];
  threadId: string;
  /** What a command gives the model, run as a turn of it, with its errors where they came between its output. */
  run(command: string, more?: Record<string, unknown>): Promise<string>;
  /** Starts a turn in which the model asks for this command. */
  startTurn(command: string, more?: Record<string, unknown>): Promise<string>;
  saw(method: string): Promise<Received>;
}

export interface TestCodexOptions {
  /** Called with the folders, before anything is launched. */
  config?: (task: TestTask) => Partial<ConfigInput> | Promise<Partial<ConfigInput>>;
  workerEnv?: NodeJS.ProcessEnv;
  passEnv?: string[];
  apiKeyEnv?: string;
  approvals?: 'on-request' | 'never';
  /** Default: the packaged codex. */
  binary?: string;
  /** Default: a folder of the test. */
  dataDir?: string;
  args?: string[];
}

/** The folders alone; removed at the end of the test. */
export async function testTask(place?: string): Promise<TestTask> {
  const dataDir = place ?? (await testFolder());
  const root = join(dataDir, 'tasks', 'a');
  const home = join(root, 'home');
  const task = {
    dataDir,
    home,
    codexHome: join(home, '.codex'),
    work: join(root, 'work'),
    socket: join(root, 'codex.sock'),
    logFile: join(root, 'codex.log'),
  };
  for (const folder of [task.codexHome, task.work, join(dataDir, 'tasks', 'b', 'work')])
    await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(join(task.codexHome, 'auth.json'), '{"OPENAI_API_KEY":"key-of-task-a"}', { mode: 0o600 });
  await writeFile(join(dataDir, 'tasks', 'b', 'work', 'other.txt'), 'text of task b');
  return task;
}

/** A real codex with a thread, in front of a model that does what the test says; all ends with the test. */
export async function startTestCodex(options: TestCodexOptions = {}): Promise<TestCodex> {
  const task = await testTask(options.dataDir);
  const model = await startModelStub();
  onTestFinished(() => model.close());
  const binary = options.binary ?? (await findCodex()).path;
  const workerEnv = { ...process.env, ...options.workerEnv };
  const given = { codex: binary, workerEnv, ...(await options.config?.(task)) };
  const config = renderConfig(withStub(model, task, given, options));
  await writeFile(join(task.codexHome, 'config.toml'), config, { mode: 0o600 });
  const server = await launchAppServer({
    binary,
    workDir: task.work,
    socketPath: task.socket,
    logFile: task.logFile,
    args: options.args ?? [],
    env: childEnvironment({
      workerEnv,
      home: task.home,
      codexHome: task.codexHome,
      passEnv: options.passEnv,
      apiKeyEnv: options.apiKeyEnv,
    }),
  });
  onTestFinished(async () => {
    await stopProcess(server, { codexHome: task.codexHome, socketPath: task.socket, graceMs: 200 });
  });
  const { rpc, received } = await connect(task.socket);
  const { thread } = await rpc.call(
    'thread/start',
    { cwd: task.work, approvalPolicy: options.approvals ?? 'never' },
    { timeoutMs: 10_000 },
  );
  return {
    ...task,
    server,
    rpc,
    model,
    received,
    threadId: thread.id,
    ...verbs(rpc, model, received, thread.id),
  };
}

/** A connection with the handshake done, which keeps all it receives. */
export async function connect(socket: string): Promise<{ rpc: Rpc; received: Received[] }> {
  const received: Received[] = [];
  const rpc = await connectRpc(socket, {
    onNotification: (method, params) => received.push({ method, params }),
    onRequest: (id, method, params) => received.push({ id, method, params }),
  });
  onTestFinished(() => rpc.close());
  const clientInfo = { name: 'test', version: '0' };
  await rpc.call(
    'initialize',
    { clientInfo, capabilities: { experimentalApi: true } },
    { timeoutMs: 10_000 },
  );
  rpc.notify('initialized');
  return { rpc, received };
}

function withStub(
  model: ModelStub,
  task: TestTask,
  given: Partial<ConfigInput>,
  options: TestCodexOptions,
): ConfigInput {
  const stub = { name: 'stub', base_url: model.baseUrl, wire_api: 'responses' };
  return {
    dataDir: task.dataDir,
    workDir: task.work,
    apiKey: options.apiKeyEnv !== undefined,
    ...given,
    codexConfig: {
      model: 'gpt-5.5',
      ...('openai_base_url' in (given.codexConfig ?? {})
        ? {}
        : { model_provider: 'stub', model_providers: { stub } }),
      ...given.codexConfig,
    },
  };
}

function verbs(rpc: Rpc, model: ModelStub, received: Received[], threadId: string) {
  const saw = (method: string) =>
    until(`a ${method} from codex`, () => received.find((each) => each.method === method));
  const startTurn = async (command: string, more?: Record<string, unknown>) => {
    model.replies.push([runs(command, more)], [says('done')]);
    const input = [{ type: 'text' as const, text: 'go' }];
    const started = await rpc.call('turn/start', { threadId, input }, { timeoutMs: 10_000 });
    return started.turn.id;
  };
  return {
    saw,
    startTurn,
    async run(command: string, more?: Record<string, unknown>) {
      received.length = 0;
      // Codex reads output and errors from two pipes and joins them in whatever order they come.
      await startTurn(`exec 2>&1\n${command}`, more);
      await saw('turn/completed');
      return commandOutput(model);
    },
  };
}

/** What the model was told last about a command. */
export function commandOutput(model: ModelStub): string {
  const input = model.requests.at(-1)?.body['input'] as { type: string; output?: unknown }[];
  const { output } = input.findLast(({ type }) => type === 'function_call_output') ?? {};
  const text = typeof output === 'string' ? output : JSON.stringify(output);
  return text.split('Output:\n').at(-1) ?? '';
}
