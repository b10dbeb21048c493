import { streamedMessage, type Step } from './model-items.js';

/** A message whose deltas are sent when the caller says so. */
export interface ControlledMessage {
  /** To be put into an answer, once. */
  message: Step;
  push: (delta: string) => void;
  end: () => void;
}

export function controlledMessage(): ControlledMessage {
  const waiting: string[] = [];
  let ended = false;
  let wake: () => void = () => undefined;
  async function* pieces() {
    for (;;) {
      const next = waiting.shift();
      if (next !== undefined) yield next;
      else if (ended) return;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  }
  return {
    message: streamedMessage(pieces()),
    push: (delta) => {
      waiting.push(delta);
      wake();
    },
    end: () => {
      ended = true;
      wake();
    },
  };
}
