import { TaskError } from '../errors.js';
import type { TaskSpec } from '../task-input.js';

/**
 * Refuses what the contract has and this version does not do: a task that ignored it would seem to work.
 * @throws TaskError `BadInput` naming every such field
 */
export function refuseUnsupported(spec: TaskSpec): void {
  const { credential } = spec;
  const asked: [string, boolean][] = [
    ['hooks', Object.keys(spec.hooks).length > 0],
    ['hostProtocol', spec.hostProtocol],
    ['credential.hostOwnedTokens', 'hostOwnedTokens' in credential && credential.hostOwnedTokens === true],
  ];
  const refused = asked.filter(([, isAsked]) => isAsked).map(([field]) => field);
  if (refused.length > 0)
    throw new TaskError('BadInput', `This version does not support: ${refused.join(', ')}`);
}
