import type { PermissionKind } from '../contract/index.js';
import { isObject as isRecord } from './clean-json.js';

/** What a request asks for beyond the sandbox, as codex names it. */
export interface Extras {
  /** Hosts; `*` is every one. */
  readonly hosts: readonly string[];
  readonly paths: readonly { path: string; access: 'ro' | 'rw' }[];
  /** It asks for something that is not understood here. */
  readonly isUnknown: boolean;
}

const NOTHING: Extras = { hosts: [], paths: [], isUnknown: false };

/** Whether nothing is asked for. */
export const isNothing = ({ hosts, paths, isUnknown }: Extras): boolean =>
  hosts.length + paths.length === 0 && !isUnknown;

/** The network and the paths of `additionalPermissions`, `networkApprovalContext` and `permissions`. */
export function extrasOf(kind: PermissionKind, input: Readonly<Record<string, unknown>>): Extras {
  const asked = kind === 'permissions' ? input['permissions'] : input['additionalPermissions'];
  const { hosts, paths, isUnknown } = profileOf(asked);
  const context = input['networkApprovalContext'];
  if (context === undefined || context === null) return { hosts, paths, isUnknown };
  const host = isRecord(context) ? context['host'] : undefined;
  return { hosts: [...hosts, typeof host === 'string' ? host : '*'], paths, isUnknown };
}

function profileOf(asked: unknown): Extras {
  if (asked === undefined || asked === null) return NOTHING;
  if (!isRecord(asked)) return { ...NOTHING, isUnknown: true };
  const { network, fileSystem, ...others } = asked;
  const wantsNetwork = isRecord(network)
    ? network['enabled'] !== false
    : network !== undefined && network !== null;
  const files = filesOf(fileSystem);
  return {
    hosts: wantsNetwork ? ['*'] : [],
    paths: files.paths,
    isUnknown:
      files.isUnknown || Object.values(others).some((value) => value !== null && value !== undefined),
  };
}

function filesOf(fileSystem: unknown): Pick<Extras, 'paths' | 'isUnknown'> {
  if (fileSystem === undefined || fileSystem === null) return NOTHING;
  if (!isRecord(fileSystem)) return { paths: [], isUnknown: true };
  const { read, write, entries, globScanMaxDepth: _depth, ...others } = fileSystem;
  const listed = [...placesIn(read, 'ro'), ...placesIn(write, 'rw'), ...entriesIn(entries)];
  const paths = listed.filter((each) => each !== null);
  const isOdd = Object.values(others).some((value) => value !== null && value !== undefined);
  return { paths, isUnknown: isOdd || paths.length < listed.length };
}

type Placement = Extras['paths'][number];

function placesIn(list: unknown, access: Placement['access']): (Placement | null)[] {
  if (list === undefined || list === null) return [];
  if (!Array.isArray(list)) return [null];
  return list.map((path: unknown) => (typeof path === 'string' ? { path, access } : null));
}

/** `{path: {type: 'path', path}, access}` each; a place that is no path is not understood. */
function entriesIn(entries: unknown): (Placement | null)[] {
  if (entries === undefined || entries === null) return [];
  if (!Array.isArray(entries)) return [null];
  return entries.map((entry: unknown) => {
    const place = isRecord(entry) ? entry['path'] : null;
    const path = isRecord(place) ? place['path'] : place;
    const access = isRecord(entry) ? entry['access'] : null;
    if (typeof path !== 'string' || typeof access !== 'string') return null;
    return { path, access: access === 'read' ? 'ro' : 'rw' };
  });
}
