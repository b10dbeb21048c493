import type { PermissionKind } from '../contract/input.js';
import { itemAt, itemKey, putRequest, requestKey, type Draft } from './draft.js';
import { textOf, type Fields } from './fields.js';
import { placeOf, type About } from './turns.js';
import type { RequestAnswer } from './types.js';

const KINDS: Readonly<Record<string, PermissionKind>> = {
  'item/commandExecution/requestApproval': 'command',
  'item/fileChange/requestApproval': 'fileChange',
  'item/permissions/requestApproval': 'permissions',
  'item/tool/requestUserInput': 'userInput',
  'mcpServer/elicitation/request': 'elicitation',
};

/** A question of codex. One that is shown again under its id is the same one. */
export function openRequest(
  draft: Draft,
  about: About,
  requestId: string,
  method: string,
  input: Fields,
): void {
  const key = requestKey(requestId);
  if (itemAt(draft, key)) return;
  const itemId = textOf(input['itemId']);
  const item = itemAt(draft, itemKey(draft, about.turnId, itemId));
  const known = Object.hasOwn(KINDS, method) ? KINDS[method]! : null;
  putRequest(draft, {
    key,
    isOpen: true,
    kind: 'request',
    requestId,
    itemId,
    method,
    asks: known === 'command' && input['kind'] === 'writeStdin' ? 'stdin' : known,
    input,
    changes: item?.kind === 'fileChange' ? item.changes : [],
    answer: null,
    ...placeOf(about),
  });
}

/** The first answer counts. */
export function answerRequest(draft: Draft, requestId: string, answer: RequestAnswer): void {
  const request = itemAt(draft, requestKey(requestId));
  if (request?.kind === 'request' && request.answer === null)
    putRequest(draft, { ...request, isOpen: false, answer });
}

/** Nobody answers them any more: the task is over. */
export function dropRequests(draft: Draft, at: number | null): void {
  for (const key of [...draft.waiting]) {
    const request = itemAt(draft, key);
    if (request?.kind === 'request')
      answerRequest(draft, request.requestId, { behavior: 'deny', decidedBy: 'closed', at });
  }
}
