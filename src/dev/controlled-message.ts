import { Notifier } from '../async/notifier.js';
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
  const changes = new Notifier();
  async function* pieces() {
    for (;;) {
      const next = waiting.shift();
      if (next !== undefined) yield next;
      else if (ended) return;
      else await changes.wait();
    }
  }
  return {
    message: streamedMessage(pieces()),
    push: (delta) => {
      waiting.push(delta);
      changes.notifyAll();
    },
    end: () => {
      ended = true;
      changes.notifyAll();
    },
  };
}
