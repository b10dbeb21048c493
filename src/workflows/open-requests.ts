import { BUDGETS, jsonBytes } from '../budgets/budgets.js';
import { boundRequest, shrinkRequests } from '../budgets/bound-request.js';
import type { PermissionRequest } from '../contract/index.js';

/** Open requests by id, oldest first, which together fit into one answer. */
export interface OpenRequests {
  readonly byId: ReadonlyMap<string, PermissionRequest>;
  /** Adds a request and cuts inputs when not all fit; `false`: there is no room for another. */
  add(request: PermissionRequest): boolean;
  delete(requestId: string): boolean;
}

/** Codex asks a few at a time; more than this comes from somebody else. */
const MAX_OPEN = 500;
/** The part of the free room that a request may have, and the least that each gets. */
const SHARE = 0.5;
const LEAST = 1_024;
/** Keeps this much free for the next requests when inputs have to be cut. */
const FREED = 0.75;

/** @param list the open requests, oldest first: plain JSON, which is kept up to date */
export function openRequests(list: PermissionRequest[]): OpenRequests {
  const open = new Map<string, PermissionRequest>();
  const placeOf = (requestId: string) => list.findIndex((each) => each.requestId === requestId);
  const sizes = new Map<string, number>();
  let size = 0;
  const count = (request: PermissionRequest) => {
    const bytes = jsonBytes(request) + 1;
    size += bytes - (sizes.get(request.requestId) ?? 0);
    sizes.set(request.requestId, bytes);
    open.set(request.requestId, request);
  };
  const put = (request: PermissionRequest) => {
    count(request);
    const at = placeOf(request.requestId);
    if (at === -1) list.push(request);
    else list[at] = request;
  };
  const remove = (requestId: string) => {
    if (!open.has(requestId)) return false;
    list.splice(placeOf(requestId), 1);
    size -= sizes.get(requestId) ?? 0;
    sizes.delete(requestId);
    return open.delete(requestId);
  };
  list.forEach(count);
  return {
    byId: open,
    add(request: PermissionRequest): boolean {
      if (open.size >= MAX_OPEN) return false;
      const room = Math.max((BUDGETS.openRequests - size) * SHARE, LEAST);
      put(boundRequest(request, Math.min(room, BUDGETS.requestInput)));
      if (size <= BUDGETS.openRequests) return true;
      shrinkRequests([...open.values()], BUDGETS.openRequests * FREED).forEach(put);
      if (size <= BUDGETS.openRequests) return true;
      remove(request.requestId);
      return false;
    },
    delete: remove,
  };
}
