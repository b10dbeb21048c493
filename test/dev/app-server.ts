import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

interface Message {
  id?: number;
  method?: string;
  params?: { turn?: { status?: string }; item?: { type?: string; text?: string } };
  result?: Record<string, unknown>;
}

/** What the real codex made of one message: its last words, and how the turn ended. */
export interface TurnResult {
  status: string | undefined;
  finalMessage: string | undefined;
  approvals: number;
}

/** Sends one message to a real app-server on stdio whose model is at `url`, and answers each approval. */
export async function runTurn(
  folder: string,
  url: string,
  text: string,
  decision: 'accept' | 'decline',
): Promise<TurnResult> {
  const home = join(folder, 'home');
  await mkdir(home, { recursive: true });
  await writeFile(join(home, 'config.toml'), configOf(url));
  const codex = createRequire(import.meta.url).resolve('@openai/codex/bin/codex.js');
  const child = spawn(process.execPath, [codex, 'app-server', '--disable', 'plugins', '--disable', 'apps'], {
    cwd: folder,
    env: { PATH: process.env['PATH'], HOME: home, CODEX_HOME: home },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const exited = once(child, 'exit');
  const send = (message: object) => void child.stdin.write(`${JSON.stringify(message)}\n`);
  let finalMessage: string | undefined;
  let approvals = 0;
  send({ id: 1, method: 'initialize', params: { clientInfo: { name: 't', title: 't', version: '0' } } });
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const { id, method, params, result } = JSON.parse(line) as Message;
      if (id === 1 && result) {
        send({ method: 'initialized' });
        send({ id: 2, method: 'thread/start', params: { cwd: folder, approvalPolicy: 'on-request' } });
      } else if (id === 2 && result) {
        const { id: threadId } = result['thread'] as { id: string };
        send({ id: 3, method: 'turn/start', params: { threadId, input: [{ type: 'text', text }] } });
      } else if (method?.endsWith('/requestApproval')) {
        approvals += 1;
        send({ id, result: { decision } });
      } else if (method === 'item/completed' && params?.item?.type === 'agentMessage') {
        finalMessage = params.item.text;
      } else if (method === 'turn/completed') {
        return { status: params?.turn?.status, finalMessage, approvals };
      }
    }
    throw new Error('the app-server ended before the turn did');
  } finally {
    child.stdin.end();
    await exited;
  }
}

const configOf = (url: string) => `
model = "gpt-5.5"
model_provider = "scripted"
analytics.enabled = false
[model_providers.scripted]
name = "scripted"
base_url = "${url}"
wire_api = "responses"
`;
