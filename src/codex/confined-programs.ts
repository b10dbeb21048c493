import { isAbsolute } from 'node:path';
import { TaskError } from '../errors.js';
import { isTable, type TomlTable } from './toml-values.js';
import { isWritable } from './task-places.js';

/**
 * Has each program that codex starts by itself, outside the sandbox, begin where commands cannot write: it may load
 * what lies in its working folder. A folder that the task names must be such a one; one of a seed is dropped, with a
 * warning.
 * @param asked the task's own settings
 * @throws TaskError `BadInput` naming `codexConfig.<path>`
 */
export function withWorkingFolders(
  config: TomlTable,
  asked: TomlTable,
  { folder, writable, warnings }: { folder: string; writable: readonly string[]; warnings: string[] },
): TomlTable {
  const isFit = (cwd: unknown) => typeof cwd === 'string' && isAbsolute(cwd) && !isWritable(cwd, writable);
  const placed = (program: TomlTable, path: readonly string[]): TomlTable => {
    const { cwd } = program;
    if (cwd === undefined || isFit(cwd)) return { ...program, cwd: cwd ?? folder };
    const name = `${path.join('.')}.cwd`;
    if (valueAt(asked, [...path, 'cwd']) !== undefined)
      throw new TaskError(
        'BadInput',
        `codexConfig.${name}: expected an absolute folder that commands cannot write`,
      );
    warnings.push(`Left out of the seed's or snapshot's config.toml: ${name}, which commands can write`);
    return { ...program, cwd: folder };
  };
  const servers = eachOf(config['mcp_servers'], (server, id) =>
    server['command'] === undefined ? server : placed(server, ['mcp_servers', id]),
  );
  const providers = eachOf(config['model_providers'], (provider, id) => {
    const { auth } = provider;
    return isTable(auth) ? { ...provider, auth: placed(auth, ['model_providers', id, 'auth']) } : provider;
  });
  return {
    ...config,
    ...(servers && { mcp_servers: servers }),
    ...(providers && { model_providers: providers }),
  };
}

function eachOf(tables: unknown, change: (table: TomlTable, id: string) => TomlTable): TomlTable | null {
  if (!isTable(tables)) return null;
  return Object.fromEntries(
    Object.entries(tables).map(([id, table]) => [id, isTable(table) ? change(table, id) : table]),
  );
}

function valueAt(table: unknown, [key, ...rest]: readonly string[]): unknown {
  if (key === undefined) return table;
  return isTable(table) && Object.hasOwn(table, key) ? valueAt(table[key], rest) : undefined;
}
