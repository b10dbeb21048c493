import { existsSync, lstatSync, mkdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, sep } from 'node:path';
import type { SandboxSettings } from '../contract/index.js';
import { TaskError } from '../errors.js';
import { HIDDEN_FOLDERS } from '../process/data-folder.js';
import { closedPlaces, homesOf } from './closed-places.js';
import { namesBeside, programPlaces } from './home-programs.js';
import { isPattern, isWithin, outermost, placesBeside } from './readable-places.js';
import { placesOf } from './task-places.js';
import type { TomlTable } from './toml-values.js';

/** Id of the permission profile that every task but a `danger-full-access` one runs under. */
export const TASK_PROFILE = 'task';

export interface SandboxPlaces {
  /** Out of sight but for `workDir` and the grants: it holds every task's folder and secrets. */
  dataDir: string;
  workDir: string;
  sandbox: SandboxSettings;
  /** Of commands; what it names is in sight before anything else. */
  path?: string | undefined;
  /** Names the home of the worker's user. */
  workerEnv?: NodeJS.ProcessEnv | undefined;
  /** What commands do not see but for what is named of it; default: by `workerEnv`. */
  closed?: readonly string[] | undefined;
  /** Codex's executable, which each command goes through, and what else commands need wherever it lies. */
  needed?: readonly string[] | undefined;
  /** Gets a line about each folder that commands see in part only. */
  warnings?: string[] | undefined;
}

/**
 * The settings that choose and define codex's sandbox (permission profiles of codex; they do not go
 * with `sandbox_mode`).
 * @throws TaskError `BadInput` on a grant that is not absolute, not there, or would open another task
 */
export function sandboxSettings(input: SandboxPlaces): TomlTable {
  const { dataDir, workDir, sandbox, warnings } = input;
  const { mode = 'workspace-write', network = false, grants = [], git = 'read-only' } = sandbox;
  // A profile that extends it is refused, and then codex ignores its whole config.
  if (mode === 'danger-full-access') return { default_permissions: ':danger-full-access' };
  // Bubblewrap cannot mount over a link.
  const data = plainPath(realpathSync(dataDir), 'CODEX_TASK_DATA_DIR');
  const work = realpathSync(workDir);
  const granted = grants.map((grant, index) => ({
    path: grantedPath(grant, `sandbox.grants[${index}].path`, data, work),
    access: grant.access === 'rw' ? 'write' : 'read',
  }));
  const places = [
    ...granted,
    { path: work, access: mode === 'read-only' ? 'read' : 'write' },
    ...(mode === 'workspace-write' && git === 'writable' ? writableGit(work, warnings) : []),
  ];
  const { user, cache, temp, bin } = placesOf(work);
  const beside = [
    { path: user, access: 'read' },
    { path: bin, access: 'read' },
    ...[cache, temp].map((path) => ({ path, access: mode === 'read-only' ? 'read' : 'write' })),
  ].filter(({ path }) => existsSync(path));
  const isDenied = needsDenial(data, places);
  const shown = isDenied ? places : outsideOf(data, places);
  const filesystem = {
    ':minimal': 'read',
    ...pathTable(inSight(data, input, granted, shown)),
    ...pathTable(shown),
    ...pathTable(beside),
    ...pathTable(isDenied ? [{ path: data, access: 'deny' }] : secretPlaces(data, work)),
  };
  return {
    default_permissions: TASK_PROFILE,
    permissions: { [TASK_PROFILE]: { filesystem, network: { enabled: network } } },
  };
}

/**
 * The `.git` that commands may write. Codex mounts it for each command, so that none can put a link in its place, but only
 * where it is a folder by then: through a link, later commands would write what it leads to.
 */
function writableGit(work: string, warnings: string[] = []): Placement[] {
  const path = join(work, '.git');
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) mkdirSync(path);
  if (lstatSync(path).isDirectory()) return [{ path, access: 'write' }];
  warnings.push('sandbox.git: .git of the workdir is no folder, so commands cannot write it');
  return [];
}

/** What is denied by name, so that an escalated command, which sees all the rest, does not see it either. */
function secretPlaces(data: string, work: string): Placement[] {
  const task = dirname(work);
  const places = [
    join(task, 'home'),
    join(task, 'journal'),
    join(data, 'listener-secret'),
    ...HIDDEN_FOLDERS.map((name) => join(data, name)),
    // The embedded database, with all seeds.
    join(data, 'dev'),
  ];
  return places.filter((path) => existsSync(path)).map((path) => ({ path, access: 'deny' }));
}

interface Placement {
  path: string;
  access: string;
}

const pathTable = (places: readonly Placement[]): TomlTable =>
  Object.fromEntries(places.map(({ path, access }) => [path, access]));

/**
 * Whether the data folder must be denied: a writable grant holds it. Otherwise it is only left out of what is named,
 * since codex runs even an escalated command with what was denied out of sight, the workdir in it too, and below a
 * denied folder it ignores what may be read.
 */
function needsDenial(data: string, places: readonly Placement[]): boolean {
  const readsInside = places.some(({ path, access }) => access === 'read' && isWithin(path, data));
  return !readsInside && places.some(({ path, access }) => access === 'write' && isWithin(data, path));
}

/**
 * What commands see of the machine besides what they are given by name: all but what is closed, of that the programs in
 * PATH, and of a grant that holds the data folder all that is next to it.
 */
function inSight(
  data: string,
  { path = '', workerEnv = {}, closed = closedPlaces(workerEnv), needed = [], warnings = [] }: SandboxPlaces,
  granted: readonly Placement[],
  shown: readonly Placement[],
): Placement[] {
  const hidden = closed.filter((each) => !granted.some((grant) => isWithin(each, grant.path)));
  const { places, leftOut } = placesBeside([data, ...hidden], path);
  for (const { folder, count } of leftOut)
    warnings.push(
      `Commands do not see ${count} of the entries of ${folder} (over 200, long or with *?[]{} in their names; what ` +
        'PATH names comes first): grant what is needed, or move CODEX_TASK_DATA_DIR out of it',
    );
  const around = granted.filter((grant) => isWithin(data, grant.path));
  const given = around.length === 0 ? [] : placesBeside([data], path).places;
  const programs = [...programPlaces(path, hidden), ...needed.filter((each) => isClosed(each, hidden))];
  const seen = [
    ...places,
    ...given.filter((each) => around.some((grant) => isWithin(each, grant.path))),
    ...outermost(programs),
  ];
  const isFit = (each: string) =>
    !isPattern(each) &&
    !isWithin(each, data) &&
    !isWithin(data, each) &&
    // Below a writable grant it would be read-only; one to read shows it already.
    !shown.some((place) => isWithin(each, place.path));
  const fit = outermost(seen.filter(isFit));
  const names = namesBeside([...programs, ...fit], {
    path,
    homes: homesOf(workerEnv),
    seen: [...fit, ...shown.map((place) => place.path)],
  });
  return [...fit, ...names.filter(isFit)].map((each) => ({ path: each, access: 'read' }));
}

const isClosed = (path: string, closed: readonly string[]): boolean =>
  closed.some((each) => path !== each && isWithin(path, each));

/** Without the grants that hold the data folder: what is next to it is readable anyway. */
function outsideOf(data: string, places: readonly Placement[]): Placement[] {
  const around = places.filter(({ path }) => isWithin(data, path));
  const writable = around.find(({ access }) => access === 'write');
  if (writable)
    throw new TaskError(
      'BadInput',
      `sandbox.grants: ${writable.path} cannot be writable while a place in the worker's data folder is read-only`,
    );
  return places.filter((place) => !around.includes(place));
}

function grantedPath(
  { path, access }: NonNullable<SandboxSettings['grants']>[number],
  name: string,
  data: string,
  work: string,
): string {
  if (!isAbsolute(path)) throw new TaskError('BadInput', `${name}: expected an absolute path, got ${path}`);
  const real = realPath(path);
  if (real === undefined) throw new TaskError('BadInput', `${name}: ${path} is not on this host`);
  if (real === data || (isOfWorker(real, data) && !isWithin(real, work)))
    throw new TaskError('BadInput', `${name}: ${path} belongs to the worker`);
  // With a writable file in its profile the sandbox of codex cannot run any command.
  if (access === 'rw' && !statSync(real).isDirectory())
    throw new TaskError('BadInput', `${name}: expected a folder for access rw, got ${path}`);
  return plainPath(real, name);
}

/** Entries of the data folder that the worker makes: no grant opens one. */
const OF_WORKER = ['tasks', ...HIDDEN_FOLDERS, 'dev', 'listener-secret', 'host-id', 'guard.log'];

function isOfWorker(real: string, data: string): boolean {
  const [entry = ''] = isWithin(real, data) ? relative(data, real).split(sep) : [];
  return OF_WORKER.includes(entry) || entry.endsWith('.lock');
}

function plainPath(path: string, name: string): string {
  if (isPattern(path))
    throw new TaskError('BadInput', `${name}: expected a path without *?[]{}, got ${path}`);
  return path;
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}
