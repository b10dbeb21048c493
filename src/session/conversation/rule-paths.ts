import { realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { PermissionRule } from '../../contract/index.js';

/** Rules with each `path` absolute: relative ones are below the workdir. */
export const placeRules = (rules: readonly PermissionRule[], workDir: string): PermissionRule[] =>
  rules.map((rule) => (rule.path === undefined ? rule : { ...rule, path: reallyAt(workDir, rule.path) }));

/**
 * Every path that a file change touches, as named and as resolved, so that no link and no detour leads out of an
 * allowed folder.
 * @param changes `changes` of Codex's file change item
 * @param grantRoot a folder that the request would open as a whole
 */
export function changedPaths(changes: unknown, grantRoot: unknown, workDir: string): string[] {
  const named = (Array.isArray(changes) ? (changes as unknown[]) : []).flatMap(pathsOf);
  if (typeof grantRoot === 'string') named.push(grantRoot);
  return [...new Set(named.flatMap((path) => [resolve(workDir, path), reallyAt(workDir, path)]))];
}

function pathsOf(change: unknown): string[] {
  const { path, kind } = (change ?? {}) as { path?: unknown; kind?: unknown };
  const moved = (kind as { move_path?: unknown } | null | undefined)?.move_path;
  return [path, moved].filter((each) => typeof each === 'string');
}

/** The resolved path, even of a file that does not exist yet. */
export function reallyAt(workDir: string, path: string): string {
  const absolute = resolve(workDir, path);
  try {
    return realpathSync(absolute);
  } catch {
    const parent = dirname(absolute);
    return parent === absolute ? absolute : join(reallyAt(workDir, parent), basename(absolute));
  }
}
