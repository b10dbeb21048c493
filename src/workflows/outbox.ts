import type { ControlChange, ErrandAnswer, TaskMessage } from '../contract.js';
import type { Delivery, TaskRef } from '../step-arguments.js';
import type { PermissionDesk } from './permission-desk.js';

/** What signals and hooks have for the session, until a delivery takes it to the host. */
export interface Outbox {
  readonly isEmpty: boolean;
  /** Of messages. */
  readonly ids: string[];
  /** Takes a message once by its id. */
  message(message: TaskMessage): void;
  control(change: ControlChange): void;
  answer(answer: ErrandAnswer): void;
  interrupt(): void;
  take(ref: TaskRef): Delivery;
  /** Takes back what did not arrive. */
  giveBack(delivery: Delivery): void;
  carry(): CarriedOutbox;
}

/** The outbox as it goes into the next run. */
export interface CarriedOutbox {
  messages: TaskMessage[];
  controls: ControlChange[];
  answers: ErrandAnswer[];
  interrupt: boolean;
  closeSent: boolean;
  /** Ids of messages that were taken, oldest first. */
  seen: string[];
}

const MESSAGE_IDS = 1_000;

export function openOutbox(desk: PermissionDesk, isClosing: () => boolean, carried?: CarriedOutbox): Outbox {
  const seen = new Set<string>(carried?.seen);
  let { messages, controls, answers, interrupt, closeSent } = carried ?? EMPTY;
  return {
    get isEmpty() {
      const toClose = isClosing() && !closeSent;
      const waiting = messages.length + controls.length + answers.length;
      return waiting === 0 && !interrupt && !toClose && !desk.hasDecisions;
    },
    get ids() {
      return messages.map(({ messageId }) => messageId);
    },
    message(message) {
      if (seen.has(message.messageId)) return;
      seen.add(message.messageId);
      if (seen.size > MESSAGE_IDS) seen.delete(seen.values().next().value!);
      messages = [...messages, message];
    },
    control: (change) => void (controls = [...controls, change]),
    answer: (answer) => void (answers = [...answers, answer]),
    interrupt: () => void (interrupt = true),
    take(ref) {
      const close = isClosing();
      const delivery = {
        ref,
        messages,
        answers,
        controls,
        interrupt,
        close,
        decisions: desk.takeDecisions(),
      };
      ({ messages, controls, answers, interrupt } = EMPTY);
      closeSent = close;
      return delivery;
    },
    giveBack(delivery) {
      messages = [...delivery.messages, ...messages];
      controls = [...delivery.controls, ...controls];
      answers = [...delivery.answers, ...answers];
      interrupt ||= delivery.interrupt;
      closeSent = false;
      desk.giveBack(delivery.decisions);
    },
    carry: () => ({ messages, controls, answers, interrupt, closeSent, seen: [...seen] }),
  };
}

const EMPTY: Omit<CarriedOutbox, 'seen'> = {
  messages: [],
  controls: [],
  answers: [],
  interrupt: false,
  closeSent: false,
};
