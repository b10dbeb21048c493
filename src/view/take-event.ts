import { isPiece, applyPiece } from './deltas.js';
import { putItem, setState, type Draft } from './draft.js';
import { arrayOf, numberOrNull, objectOf, textOf, textOrNull, type Fields } from './fields.js';
import { noticeOf } from './notices.js';
import { answerRequest, dropRequests, openRequest } from './requests.js';
import {
  cutAll,
  endItem,
  endTurn,
  goOn,
  placeOf,
  setDiff,
  setPlan,
  startItem,
  showTurnStart,
  type About,
} from './turns.js';
import { setUsage } from './usage.js';

/** Takes in one event that was not taken before. Reads no more of it than it needs, and takes anything for it. */
export function takeEvent(draft: Draft, id: number, event: Fields): void {
  const { type, method, id: requestId } = event;
  if (typeof type === 'string') return takeOwn(draft, id, type, event);
  if (typeof method !== 'string') return;
  if (requestId === undefined) return takeNotification(draft, id, method, event, false);
  const about = aboutOf(draft, event, false);
  goOn(draft, about);
  openRequest(draft, about, textOf(requestId), method, objectOf(event['params']));
}

function takeNotification(draft: Draft, id: number, method: string, event: Fields, isLate: boolean): void {
  const params = objectOf(event['params']);
  if (isPiece(method)) return applyPiece(draft, method, params, () => aboutOf(draft, event, isLate));
  const about = aboutOf(draft, event, isLate);
  switch (method) {
    case 'turn/started':
      showTurnStart(draft, about, objectOf(params['turn']));
      return begin(draft, about);
    case 'turn/completed':
      return endTurn(draft, about, objectOf(params['turn']));
    case 'item/started':
      return startItem(draft, about, objectOf(params['item']));
    case 'item/completed':
      return endItem(draft, about, objectOf(params['item']));
    case 'turn/plan/updated':
      return setPlan(draft, about, params);
    case 'turn/diff/updated':
      return setDiff(draft, about, params);
    case 'thread/started':
    case 'thread/status/changed':
      return begin(draft, about);
    case 'thread/tokenUsage/updated':
      return setUsage(draft, about.threadId, params);
    case 'thread/settings/updated': {
      const { model, effort } = objectOf(params['threadSettings']);
      if (about.threadId === draft.state.threadId)
        setState(draft, { model: textOrNull(model), effort: textOrNull(effort) });
      return;
    }
    case 'model/rerouted':
      if (about.threadId === draft.state.threadId) setState(draft, { model: textOrNull(params['toModel']) });
      return notice(draft, id, method, event, about);
    case 'error':
      if (params['willRetry'] !== true)
        setState(draft, { lastError: textOf(objectOf(params['error'])['message']) });
      return notice(draft, id, method, event, about);
    default:
      return notice(draft, id, method, event, about);
  }
}

function takeOwn(draft: Draft, id: number, type: string, event: Fields): void {
  const about = aboutOf(draft, event, false);
  const { at } = about;
  switch (type) {
    case 'x-optio-permission-answered': {
      const { request_id: requestId, behavior, decidedBy } = event;
      const isAllowed = behavior === 'allow';
      return answerRequest(draft, textOf(requestId), {
        behavior: isAllowed ? 'allow' : 'deny',
        decidedBy: textOf(decidedBy),
        at,
      });
    }
    case 'x-optio-late': {
      const late = objectOf(event['event']);
      if (typeof late['method'] === 'string') takeNotification(draft, id, late['method'], late, true);
      return;
    }
    case 'x-optio-control-update':
      return setControls(draft, arrayOf(event['controls']).map(objectOf));
    case 'x-optio-status':
      return setState(draft, {
        progress: { percent: numberOrNull(event['percent']), text: textOf(event['text']) },
      });
    case 'x-optio-gap':
      cutAll(draft, true);
      // A reader who was further than the gap's beginning misses only the rest.
      event = { ...event, from: Math.max(numberOrNull(event['from']) ?? 0, draft.state.lastId + 1) };
      break;
    case 'x-optio-recovering':
      setState(draft, { isRecovering: true });
      break;
    case 'x-optio-parked':
      setState(draft, { parkedUntil: textOf(event['until']), isRecovering: false });
      break;
    case 'x-optio-unparked':
      setState(draft, { parkedUntil: null });
      break;
    case 'x-optio-closed':
      close(draft, event, at);
      break;
    default:
  }
  notice(draft, id, type, event, about);
}

function close(draft: Draft, event: Fields, at: number | null): void {
  dropRequests(draft, at);
  cutAll(draft, false);
  const dropped = arrayOf(event['dropped']).map(textOf);
  setState(draft, {
    ended: { outcome: textOf(event['outcome']), reason: textOf(event['reason']), dropped },
    parkedUntil: null,
  });
}

function setControls(draft: Draft, controls: readonly Fields[]): void {
  const valueOf = (id: string) => textOrNull(controls.find((each) => each['id'] === id)?.['value']);
  setState(draft, { controls, model: valueOf('model'), effort: valueOf('reasoning_effort') });
}

/** Codex is there. */
function begin(draft: Draft, { isHistory }: About): void {
  const { isBegun, isRecovering } = draft.state;
  if (!isHistory && (!isBegun || isRecovering)) setState(draft, { isBegun: true, isRecovering: false });
}

function notice(draft: Draft, id: number, name: string, event: Fields, about: About): void {
  const told = noticeOf(name, event);
  if (!told) return;
  const { level, text } = told;
  const key = `notice/${id}`;
  putItem(draft, { key, isOpen: false, kind: 'notice', name, level, text, event, ...placeOf(about) });
}

function aboutOf(draft: Draft, event: Fields, isLate: boolean): About {
  const params = objectOf(event['params']);
  const threadId = textOf(params['threadId'] ?? objectOf(params['thread'])['id']);
  if (draft.state.threadId === null && threadId !== '') setState(draft, { threadId });
  return {
    threadId,
    turnId: textOf(params['turnId'] ?? objectOf(params['turn'])['id']),
    at: numberOrNull(event['at'] ?? event['x-optio-at'] ?? event['emittedAtMs']),
    isHistory: event['x-optio-history'] === true,
    isCut: event['x-optio-cut'] === true,
    isLate,
  };
}
