import { open, readFile } from 'node:fs/promises';
import { parse } from 'smol-toml';
import { TaskError } from '../errors.js';
import { isKnownSetting } from '../input/config-keys.js';
import { launchAppServer, type AppServer, type LaunchOptions } from './launch.js';
import { isTable } from './toml-values.js';

const LOG_BYTES = 64 * 1024;

export interface StrictLaunchOptions extends LaunchOptions {
  /** The config.toml that codex reads. */
  configToml: string;
  /** What the task asked to have in it. */
  codexConfig: Readonly<Record<string, unknown>>;
  warnings: string[];
}

/**
 * Starts an app-server that must take every setting of its config.toml (`--strict-config`): without that codex ignores
 * a file with one wrong value whole, the sandbox in it too. A setting that only the seed brings and this codex does not
 * know is reported and ignored.
 * @throws TaskError `BadInput` naming `codexConfig.<path>`, or the setting of the seed whose value codex refuses; else
 * as `launchAppServer`
 */
export async function launchStrictly(options: StrictLaunchOptions): Promise<AppServer> {
  const { codexConfig, warnings, configToml } = options;
  // One that this codex has, and nobody here has looked at, might undo what the worker promises.
  const unknown = Object.keys(codexConfig).find((key) => !isKnownSetting(key));
  if (unknown !== undefined)
    throw new TaskError('BadInput', `codexConfig.${unknown}: codex does not know this setting`);
  try {
    return await launchAppServer({ ...options, args: [...(options.args ?? []), '--strict-config'] });
  } catch (error) {
    if (!(error instanceof TaskError) || error.code !== 'CodexFailed') throw error;
    const fault = faultIn(await headOf(options.logFile), await readFile(configToml, 'utf8'));
    if (!fault) throw error;
    const name = fault.path.join('.');
    if (isIn(codexConfig, fault.path))
      throw new TaskError('BadInput', `codexConfig.${name}: codex refuses it, ${fault.what}`);
    if (!fault.isUnknown)
      throw new TaskError(
        'BadInput',
        `config.toml of the seed or snapshot: ${name}: codex refuses it, ${fault.what}`,
      );
    warnings.push(`codex does not know ${name} of the seed’s config.toml`);
    return launchAppServer(options);
  }
}

export interface ConfigFault {
  path: string[];
  what: string;
  /** There is no such setting; otherwise its value is wrong, and codex would ignore the whole file. */
  isUnknown: boolean;
}

/** What codex said against the file that `renderConfig` wrote before it ended; null: that was not why. */
export function faultIn(said: string, configToml: string): ConfigFault | null {
  const provider = /^Error: (Model provider `.*` not found)/m.exec(said)?.[1];
  if (provider) return { path: ['model_provider'], what: provider, isUnknown: false };
  const [, line, what] = /^Error: \S.*\/config\.toml:(\d+):\d+: (.+)$/m.exec(said) ?? [];
  if (line === undefined || what === undefined) return null;
  const path = pathAt(configToml, Number(line));
  return path && { path, what, isUnknown: what.startsWith('unknown configuration field') };
}

/** The setting on a line (from 1) of a file that `renderConfig` wrote: one table header or key on each. */
function pathAt(toml: string, line: number): string[] | null {
  const lines = toml.split('\n');
  const above = lines.slice(0, line);
  const header = above
    .findLast((text) => text.startsWith('['))
    ?.replaceAll('[[', '[')
    .replaceAll(']]', ']');
  const own = lines[line - 1] ?? '';
  const setting = own.startsWith('[') ? '' : own;
  try {
    return keysOf(parse([header ?? '', setting].join('\n')));
  } catch {
    return null;
  }
}

/** Of a table that holds one value, the keys that lead to it. */
function keysOf(value: unknown): string[] {
  const [entry] = isTable(value) ? Object.entries(value) : [];
  return entry ? [entry[0], ...keysOf(entry[1])] : [];
}

/** Whether the task asked for this setting or for what it belongs to. */
function isIn(config: unknown, [key, ...rest]: readonly string[]): boolean {
  if (key === undefined) return true;
  if (!isTable(config)) return true;
  return Object.hasOwn(config, key) && isIn(config[key], rest);
}

async function headOf(path: string): Promise<string> {
  const file = await open(path, 'r').catch(() => null);
  if (!file) return '';
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(LOG_BYTES), 0, LOG_BYTES, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}
