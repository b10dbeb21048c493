import type { CodexRequestMethod, NamedEvent } from './events.js';

/** Whether an event is a question of codex, which its `id` answers. */
export const isRequest = <E extends NamedEvent>(
  event: E,
): event is E & { readonly name: CodexRequestMethod } =>
  event.name !== 'unknown' && 'method' in event.event && 'id' in event.event;
