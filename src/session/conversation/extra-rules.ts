import { isNothing, type Extras } from '../../input/request-extras.js';
import type { PermissionKind, PermissionRule } from '../../contract/index.js';

/**
 * Whether an allow rule names all that a request asks for beyond its sandbox. A request for permissions asks for
 * nothing else, so a rule without such conditions covers all of it.
 */
export function coversExtras(rule: PermissionRule, kind: PermissionKind, extras: Extras): boolean {
  const { network, grants } = rule;
  const names = network !== undefined || grants !== undefined;
  if (isNothing(extras)) return !names || NARROWS.some((key) => rule[key] !== undefined);
  if (!names) return kind === 'permissions';
  return (
    !extras.isUnknown &&
    extras.hosts.every((host) => !!network?.includes('*') || !!network?.includes(host)) &&
    extras.paths.every(
      ({ path, access }) =>
        !!grants?.some((grant) => isBelow(path, grant.path) && (grant.access === 'rw' || access === 'ro')),
    )
  );
}

/** Conditions that select the request; without one a rule covers only requests for more. */
const NARROWS = ['kind', 'commandPrefix', 'pattern', 'path', 'server', 'tool'] as const;

/** Whether a deny or ask rule matches something that a request asks for, or something unknown. */
export function meetsExtras({ network, grants }: PermissionRule, extras: Extras): boolean {
  const meets = (isMet: boolean) => isMet || extras.isUnknown;
  const isHost = network?.some((host) =>
    host === '*' ? extras.hosts.length > 0 : extras.hosts.some((each) => each === host || each === '*'),
  );
  const isPath = grants?.some((grant) =>
    extras.paths.some(
      ({ path, access }) =>
        (isBelow(path, grant.path) || isBelow(grant.path, path)) &&
        (grant.access === 'ro' || access === 'rw'),
    ),
  );
  return (isHost === undefined || meets(isHost)) && (isPath === undefined || meets(isPath));
}

function isBelow(path: string, folder: string): boolean {
  const parts = path.split('/');
  const prefix = folder.replace(/\/+$/, '');
  return !parts.includes('..') && (path === prefix || path.startsWith(`${prefix}/`));
}
