import { join } from 'node:path';
import { providerIn, providerUrlIn } from '../../codex/config-toml.js';
import { isRecord } from '../../codex/narrow.js';
import { isLoopback, proxyFor, proxyHost } from '../../proxies.js';
import { readOwnFile } from '../../task-folder/own-file.js';

/** How long Codex may try to reach its model before that is reported. */
const PATIENCE_MS = 60_000;

/** Detects from Codex's notifications that turns wait for the network. */
export interface NetworkWait {
  readonly seen: (method: string, params: unknown) => void;
  readonly stop: () => void;
}

/**
 * Codex retries without a limit when it cannot connect, and only clients see it.
 * @param onLongWait is called once for each long silence of a thread
 */
export function watchNetwork(onLongWait: () => void, patienceMs = PATIENCE_MS): NetworkWait {
  const waiting = new Map<string, NodeJS.Timeout>();
  const end = (threadId: string) => {
    clearTimeout(waiting.get(threadId));
    waiting.delete(threadId);
  };
  return {
    seen(method, params) {
      if (!isRecord(params) || typeof params['threadId'] !== 'string') return;
      const { threadId, willRetry } = params;
      if (method !== 'error' || willRetry !== true) {
        if (/^(error$|item\/|turn\/)/.test(method)) end(threadId);
      } else if (!waiting.has(threadId)) waiting.set(threadId, setTimeout(onLongWait, patienceMs).unref());
    },
    stop: () => [...waiting.keys()].forEach(end),
  };
}

/**
 * Text for the task: which provider does not answer, and which proxy is in between.
 * @param baseUrl of the model provider; null: Codex's own
 * @param env of Codex
 */
export function longWait(
  provider: string,
  baseUrl: string | null,
  env: Readonly<Record<string, string>>,
): string {
  const url = baseUrl !== null && URL.canParse(baseUrl) ? new URL(baseUrl) : null;
  const name = proxyFor(baseUrl ?? 'https:', env);
  const isDirect = name === null || (url !== null && isLoopback(url.hostname));
  const way = isDirect
    ? 'no proxy is in between'
    : `unless NO_PROXY names it, through the proxy of ${name} (${proxyHost(env[name] ?? '')})`;
  return `Codex has waited for a minute for its model provider ${provider}${url ? ` at ${url.host}` : ''}; ${way}. It retries until the turn’s time limit`;
}

/** The same, for the Codex with this home. */
export async function longWaitOf(codexHome: string, env: Readonly<Record<string, string>>): Promise<string> {
  const config = (await readOwnFile(join(codexHome, 'config.toml'))) ?? '';
  return longWait(providerIn(config), providerUrlIn(config), env);
}
