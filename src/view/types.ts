import type { PermissionKind } from '../contract/input.js';
import type { Behavior } from '../contract/permissions.js';
import type { Progress, TokenUsage } from '../contract/status.js';
import type { Fields } from './fields.js';

/** An event as a view takes it: those of the client are, and so is what a caller parsed from the stream itself. */
export interface ViewEvent {
  readonly id: number;
  readonly event: object;
}

/** A task as its events tell of it so far. */
export interface View {
  /**
   * Takes in an event and tells what it changed. One that was taken already, by its id, changes nothing; so does one
   * that is not known. Never throws.
   */
  apply(event: ViewEvent): ViewChanges;
  /** In the order of their first event. An item that changes becomes another object; the list stays the same one. */
  readonly items: readonly ViewItem[];
  /** What waits for a decision, oldest first. */
  readonly requests: readonly RequestItem[];
  /** In the order of their first event; those of sub-agents too. */
  readonly turns: readonly ViewTurn[];
  /** What the task's thread and its sub-agents' threads used together. */
  readonly usage: TokenUsage;
  readonly state: ViewState;
  /** All of it as it is now, in lists that no later event changes; the same object until one changes something. */
  snapshot(): ViewSnapshot;
}

export type ViewSnapshot = Pick<View, 'items' | 'requests' | 'turns' | 'usage' | 'state'>;

export interface ViewChanges {
  /** Places in `items`. */
  readonly items: readonly number[];
  /** Places in `turns`. */
  readonly turns: readonly number[];
  readonly requests: boolean;
  readonly usage: boolean;
  readonly state: boolean;
}

interface Item {
  /** Names the item within its view. */
  readonly key: string;
  /** Empty where the event names none. */
  readonly threadId: string;
  readonly turnId: string;
  /** When its first event was made, in milliseconds since 1970. Null: the event does not say. */
  readonly at: number | null;
  /** More may come of it. */
  readonly isOpen: boolean;
  /** It ended without codex's word: what came of it may lack its end. */
  readonly isCut: boolean;
  /** Of an earlier task, whose thread this one goes on with. */
  readonly isHistory: boolean;
}

export interface MessageItem extends Item {
  readonly kind: 'message';
  readonly role: 'user' | 'agent';
  readonly itemId: string;
  readonly text: string;
  /** Paths, addresses, or what codex calls the picture. */
  readonly images: readonly string[];
  /** Codex's, such as `final_answer`. */
  readonly phase: string | null;
  /** The `messageId` that a user's message was sent with. */
  readonly messageId: string | null;
}
export interface ReasoningItem extends Item {
  readonly kind: 'reasoning';
  readonly itemId: string;
  readonly summary: string;
  readonly text: string;
}
export interface CommandItem extends Item {
  readonly kind: 'command';
  readonly itemId: string;
  readonly command: string;
  readonly cwd: string;
  /** Codex's: `inProgress`, `completed`, `failed`, `declined`. */
  readonly status: string;
  readonly output: string;
  readonly exitCode: number | null;
  readonly durationMs: number | null;
}
export interface FileChangeItem extends Item {
  readonly kind: 'fileChange';
  readonly itemId: string;
  readonly status: string;
  readonly changes: readonly FileChange[];
}
export interface FileChange {
  readonly path: string;
  /** Codex's: `add`, `delete`, `update`. */
  readonly change: string;
  readonly movedTo: string | null;
  /** Whole content for `add` and `delete`, unified diff for `update`. */
  readonly diff: string;
}
export interface McpItem extends Item {
  readonly kind: 'mcp';
  readonly itemId: string;
  readonly server: string;
  readonly tool: string;
  readonly arguments: unknown;
  readonly status: string;
  readonly error: string | null;
  readonly progress: string;
}
/** A plan that codex proposes as text, or the steps of a turn with how far they are. */
export interface PlanItem extends Item {
  readonly kind: 'plan';
  readonly text: string;
  readonly steps: readonly { readonly step: string; readonly status: string }[];
}
export interface RequestItem extends Item {
  readonly kind: 'request';
  readonly requestId: string;
  readonly itemId: string;
  readonly method: string;
  /** Null: of a kind that this version does not know. */
  readonly asks: PermissionKind | null;
  /** Codex's parameters. */
  readonly input: Fields;
  /** What a file change would do. */
  readonly changes: readonly FileChange[];
  /** Null: it waits. */
  readonly answer: RequestAnswer | null;
}
export interface RequestAnswer {
  readonly behavior: Behavior;
  readonly decidedBy: string;
  readonly at: number | null;
}
/** Something to know that is no step of a turn. */
export interface NoticeItem extends Item {
  readonly kind: 'notice';
  /** The `type` or `method` of its event. */
  readonly name: string;
  readonly level: 'info' | 'warning' | 'error';
  /** One line for people. */
  readonly text: string;
  readonly event: Fields;
}
/** The end of a turn. */
export interface TurnItem extends Item {
  readonly kind: 'turn';
  readonly status: string;
  readonly error: string | null;
}
/** Any other step: a web search, a sub-agent, a compaction, … */
export interface OtherItem extends Item {
  readonly kind: 'other';
  readonly itemId: string;
  /** Codex's. */
  readonly type: string;
  readonly item: Fields;
}

export type ViewItem =
  | MessageItem
  | ReasoningItem
  | CommandItem
  | FileChangeItem
  | McpItem
  | PlanItem
  | RequestItem
  | NoticeItem
  | TurnItem
  | OtherItem;

export interface ViewTurn {
  readonly turnId: string;
  readonly threadId: string;
  /** Codex's: `inProgress`, `completed`, `interrupted`, `failed`. */
  readonly status: string;
  readonly error: string | null;
  /** Milliseconds since 1970; null where no event says. */
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly isCut: boolean;
  readonly isHistory: boolean;
  /** The unified diff of its changes so far. */
  readonly diff: string;
}

export interface ViewState {
  readonly phase:
    'starting' | 'idle' | 'running' | 'waiting-for-permission' | 'parked' | 'recovering' | 'closed';
  /** Id of the newest event; what a reader gives as `lastEventId`. */
  readonly lastId: number;
  /** The task's own thread. */
  readonly threadId: string | null;
  readonly model: string | null;
  readonly effort: string | null;
  /** Model and effort as a user interface shows them; `Control` of the contract. */
  readonly controls: readonly Fields[];
  readonly progress: Progress | null;
  /** ISO 8601, in phase `parked`. */
  readonly parkedUntil: string | null;
  readonly lastError: string | null;
  /** How the task ended, in phase `closed`. */
  readonly ended: {
    readonly outcome: string;
    readonly reason: string;
    readonly dropped: readonly string[];
  } | null;
}
